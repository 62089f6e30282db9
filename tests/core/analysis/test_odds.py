"""Are the e-values exact? Compared with every possible split, in fractions, and with the plain definition in large.

The reference below is the definition and nothing else: sums of binomial coefficients as fractions.
"""

from fractions import Fraction
from functools import cache
from itertools import product
from math import comb, exp, inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis import odds
from lockgate.core.analysis.hypergeometric import _SHORT, log_likelihoods
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.odds import BETTER, WORSE, add, grid, log_mean, log_rare, log_sound, log_worse, upper_bound
from lockgate.core.analysis.table import Counts, Table

GRID = grid(Number("1"), Number("2"))
MARGINS = [("1", "2"), ("1.2", "1.5"), ("1.5", "20"), ("10", "100")]
SMALL = [(n, others, bad) for n, others in product(range(1, 5), range(1, 6)) for bad in range(1, n + others)]


@cache
def summed(n, others, bad, theta):
    splits = range(max(0, bad - others), min(bad, n) + 1)
    return sum(comb(n, j) * comb(others, bad - j) * theta**j for j in splits)


def likelihood(n, others, bad, j, theta):
    return comb(n, j) * comb(others, bad - j) * theta**j / summed(n, others, bad, theta)


def splits(n, others, bad):
    for j in range(max(0, bad - others), min(bad, n) + 1):
        yield j, Table(Counts(n, j), Counts(others, bad - j))


def exact_worse(n, others, bad, j, margin):
    worse = [Fraction(each) * margin for each in WORSE]
    worse = worse if Fraction(2) in worse or margin != 1 else [*worse, Fraction(2)]
    return (
        sum(likelihood(n, others, bad, j, theta) for theta in worse)
        / len(worse)
        / likelihood(n, others, bad, j, margin)
    )


def exact_sound(n, others, bad, j, tolerance):
    below = sorted({Fraction(each) for each in (*BETTER, "1", *WORSE)})
    below = [theta for theta in below if theta < tolerance]
    values = [likelihood(n, others, bad, j, theta) for theta in below]
    return sum(values) / len(values) / likelihood(n, others, bad, j, tolerance)


@pytest.mark.parametrize("size", SMALL)
def test_over_all_splits_the_e_values_are_one_exactly_and_ours_are_these(size):
    truth = {j: likelihood(*size, j, Fraction(1)) for j, _ in splits(*size)}
    too_bad = {j: likelihood(*size, j, Fraction(2)) for j, _ in splits(*size)}

    assert sum(truth.values()) == sum(too_bad.values()) == 1
    assert sum(truth[j] * exact_worse(*size, j, Fraction(1)) for j in truth) == 1
    assert sum(too_bad[j] * exact_sound(*size, j, Fraction(2)) for j in truth) == 1
    for j, table in splits(*size):
        row = add(GRID.empty, table, GRID)
        assert exp(log_worse(row, GRID)) == pytest.approx(float(exact_worse(*size, j, Fraction(1))), rel=1e-13)
        assert exp(log_sound(row, GRID)) == pytest.approx(float(exact_sound(*size, j, Fraction(2))), rel=1e-13)


@pytest.mark.parametrize("bounds", MARGINS)
@pytest.mark.parametrize("size", [(1, 9, 2), (3, 4, 3), (5, 40, 12)])
def test_at_the_margin_it_is_one_on_average_within_it_less_and_beyond_it_more(bounds, size):
    weighed = grid(*map(Number, bounds))
    margin, tolerance = (Number(each).exact for each in bounds)

    def average(function, theta):
        rows = [(j, add(weighed.empty, table, weighed)) for j, table in splits(*size)]
        return sum(float(likelihood(*size, j, theta)) * exp(function(row, weighed)) for j, row in rows)

    assert average(log_worse, margin) == pytest.approx(1, rel=1e-12)
    assert average(log_sound, tolerance) == pytest.approx(1, rel=1e-12)
    assert average(log_worse, margin * Fraction(4, 5)) < 1 < average(log_worse, margin * 3)
    assert average(log_sound, tolerance * 2) < 1 < average(log_sound, margin / 2)


def test_two_intervals_multiply_over_all_of_their_splits():
    sizes = (3, 4, 3), (2, 7, 2)
    whole = 0.0
    for (i, one), (j, other) in product(splits(*sizes[0]), splits(*sizes[1])):
        row = add(add(GRID.empty, one, GRID), other, GRID)
        whole += float(likelihood(*sizes[0], i, 1) * likelihood(*sizes[1], j, 1)) * exp(log_worse(row, GRID))

    assert whole == pytest.approx(1, rel=1e-12)


counts = st.integers(0, 60).flatmap(lambda n: st.builds(Counts, st.just(n), st.integers(0, n)))
tables = st.builds(Table, counts, counts)


@given(st.lists(tables, max_size=6), st.randoms())
def test_the_order_of_intervals_does_not_matter(given_tables, dice):
    shuffled = list(given_tables)
    dice.shuffle(shuffled)

    rows = [GRID.empty, GRID.empty]
    for one, other in zip(given_tables, shuffled, strict=True):
        rows = [add(rows[0], one, GRID), add(rows[1], other, GRID)]

    assert rows[0] == pytest.approx(rows[1], rel=1e-9, abs=1e-9)


@given(tables)
def test_one_more_bad_one_never_speaks_for_the_candidate(table):
    candidate, stable = table.candidate, table.stable
    if not (candidate.bad < candidate.n and stable.bad):
        return
    moved = Table(Counts(candidate.n, candidate.bad + 1), Counts(stable.n, stable.bad - 1))
    row, other = add(GRID.empty, table, GRID), add(GRID.empty, moved, GRID)

    assert log_worse(other, GRID) >= log_worse(row, GRID) - 1e-12
    assert log_sound(other, GRID) <= log_sound(row, GRID) + 1e-12


@given(tables)
def test_an_interval_without_contrast_says_nothing(table):
    bad, everything = table.candidate.bad + table.stable.bad, table.candidate.n + table.stable.n
    if bad in (0, everything) or not table.candidate.n or not table.stable.n:
        assert add(GRID.empty, table, GRID) == GRID.empty


@pytest.mark.parametrize(
    "table",
    [
        Table(Counts(0, 0), Counts(9, 3)),
        Table(Counts(9, 3), Counts(0, 0)),
        Table(Counts(9, 0), Counts(900, 0)),
        Table(Counts(9, 9), Counts(900, 900)),
    ],
)
def test_a_total_outage_says_nothing(table):
    assert add(GRID.empty, table, GRID) == GRID.empty


LONG = [
    (70, 700, 30, 40),
    (300, 2700, 200, 100),
    (2000, 500, 100, 400),
    (500, 500, 499, 1),
    (64, 64, 64, 0),
    (65, 900, 1, 64),
    (1_000_000, 100, 50, 13),
    (100, 1_000_000, 13, 50),
]


@pytest.mark.parametrize("size", [*LONG, (200, 900, 0, 150), (200, 900, 150, 0), (63, 63, 20, 43), (64, 64, 20, 43)])
def test_long_distributions_are_those_of_the_definition(size):
    n, others, bad, others_bad = size
    found = log_likelihoods(Table(Counts(n, bad), Counts(others, others_bad)), GRID.ratios)

    for place, theta in enumerate(sorted({Fraction(each) for each in (*BETTER, "1", *WORSE)})):
        wanted = (
            theta**bad / summed(n, others, bad + others_bad, theta) * summed(n, others, bad + others_bad, Fraction(1))
        )
        exact = log(wanted.numerator) - log(wanted.denominator)
        assert found[place] - found[GRID.margin] == pytest.approx(exact, rel=1e-11, abs=1e-11)


@given(st.integers(_SHORT - 3, _SHORT + 3), st.integers(0, 200))
def test_short_and_long_sums_agree_where_they_meet(bad, part):
    found = min(bad, part % (bad + 1))
    table = Table(Counts(100, found), Counts(300, bad - found))
    row = log_likelihoods(table, GRID.ratios)
    wanted = summed(100, 300, bad, Fraction(3)) / summed(100, 300, bad, Fraction(1))

    assert row[GRID.margin] - row[GRID.margin + 4] == pytest.approx(log(wanted) - found * log(3), rel=1e-10, abs=1e-10)


def test_the_largest_table_is_judged_in_reasonable_time():
    half = Table(Counts(10_000_000, 5_000_000), Counts(10_000_000, 5_000_000))

    row = add(GRID.empty, half, GRID)

    assert log_worse(row, GRID) < -10_000 and log_sound(row, GRID) > 10_000


def test_a_bound_is_found_from_above_and_not_through_a_gap(monkeypatch):
    assert upper_bound(GRID.empty, GRID, 0.05) is None
    row = add(GRID.empty, Table(Counts(400, 20), Counts(4000, 200)), GRID)
    assert upper_bound(row, GRID, 0.05) == 2
    assert upper_bound(row, GRID, 1e-9) == 5

    monkeypatch.setattr(odds, "_log_below", lambda _row, place: -inf if place == 8 else 99.0)
    assert upper_bound(row, GRID, 0.05) == GRID.ratios[9].value


def test_over_all_outcomes_a_rate_that_is_not_rare_is_one_on_average():
    for n in (1, 3, 40):
        chances = [comb(n, bad) * 0.1**bad * 0.9 ** (n - bad) for bad in range(n + 1)]
        found = sum(chance * exp(log_rare(Counts(n, bad), 0.1)) for bad, chance in enumerate(chances))
        assert found == pytest.approx(1, rel=1e-12)
    assert log_rare(Counts(0, 0), 0.1) == 0
    assert log_rare(Counts(100, 0), 0.1) > 4
    assert log_rare(Counts(100, 12), 0.1) < 0


def test_the_tolerance_stands_in_the_grid_once():
    assert len(grid(Number("1"), Number("2")).ratios) == len(grid(Number("1"), Number("2.0")).ratios) == 12
    with_more = grid(Number("1.2"), Number("1.7"))
    assert len(with_more.ratios) == 13
    assert [with_more.ratios[place].value for place in (with_more.margin, with_more.tolerance)] == [1.2, 1.7]


def test_a_mean_of_logarithms_neither_overflows_nor_vanishes():
    assert log_mean([-5000.0, -5000.0]) == -5000
    assert log_mean([5000.0, 0.0]) == pytest.approx(5000 - log(2))
