"""Is a fall told from noise, exactly?"""

from fractions import Fraction
from itertools import combinations, permutations
from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.trend import BLOCKS, PER_BLOCK, Window, block_means, chance, fall, is_falling, windows

LEVEL = Fraction(1, 1000)


def inversions(order):
    return sum(later < earlier for earlier, later in combinations(order, 2))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_the_chance_of_disorder_is_what_counting_all_orders_gives(size):
    found = [inversions(order) for order in permutations(range(size))]

    for least in range(size * (size - 1) // 2 + 2):
        assert chance(size, least) == Fraction(sum(each >= least for each in found), factorial(size))


def test_windows_are_all_of_it_halves_quarters_and_eighths_as_long_as_blocks_have_records():
    assert windows(30) == (Window(0, 30),)
    assert windows(29) == ()
    assert windows(60) == (Window(0, 60), Window(0, 30), Window(15, 45), Window(30, 60))
    assert len(windows(120)) == 1 + 3 + 7
    assert len(windows(10_000)) == 1 + 3 + 7 + 15


@given(st.integers(min_value=PER_BLOCK * BLOCKS, max_value=2000))
def test_every_window_lies_in_the_run_and_has_enough_for_each_block(records):
    for window in windows(records):
        assert 0 <= window.first < window.end <= records
        assert window.end - window.first >= PER_BLOCK * BLOCKS - 1


def test_what_falls_is_falling_and_what_rises_stays_or_falls_once_is_not():
    whole = Window(0, 30)

    assert is_falling(range(30, 0, -1), whole, LEVEL)
    assert not is_falling(range(30), whole, LEVEL)
    assert not is_falling([7] * 30, whole, LEVEL)
    assert not is_falling([7] * 15 + [1] * 15, whole, LEVEL)  # a step down, and level since: ties are no fall


def test_how_far_it_fell_is_said_by_both_ends():
    series = [9] * 9 + [5] * 12 + [3] * 9

    assert fall(series, Window(0, 30)) == 6
    assert fall(series[::-1], Window(0, 30)) == -6


@given(st.lists(st.integers(), min_size=30, max_size=60))
def test_blocks_cover_a_window_evenly_and_completely(series):
    means = block_means(series, Window(0, len(series)))

    assert len(means) == BLOCKS
    sizes = [len(series) * (n + 1) // BLOCKS - len(series) * n // BLOCKS for n in range(BLOCKS)]
    assert 0 <= sum(series) - sum(mean * size for mean, size in zip(means, sizes, strict=True)) <= len(series) - BLOCKS
    assert max(sizes) - min(sizes) <= 1
