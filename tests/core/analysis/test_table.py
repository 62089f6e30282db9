"""Are counts whole numbers of things that can be, and are both arms counted in the same way?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis.table import LARGEST, NONE, Counts, Histogram, Spread, Table, total
from lockgate.errors import VerificationError

TIMES = Histogram((10, 20), (3, 2, 1))


@pytest.mark.parametrize(
    "given_counts",
    [(-1, 0), (1, -1), (1, 2), (1.0, 0), (1, 0.0), (float("nan"), 0), (True, 0), (1, False), ("1", 0), (2**53, 0)],
)
def test_what_cannot_be_counted_is_refused(given_counts):
    with pytest.raises(VerificationError, match="wanted whole numbers"):
        Counts(*given_counts)


def test_as_many_as_there_are_may_be_bad():
    assert Counts(3, 3).plus(Counts(2, 0)) == total([Counts(5, 3), NONE]) == Counts(5, 3)


def test_an_interval_holds_so_many_and_no_more():
    Table(Counts(LARGEST, 0), Counts(LARGEST, LARGEST))

    for arms in ((Counts(LARGEST + 1, 0), NONE), (NONE, Counts(LARGEST + 1, 0))):
        with pytest.raises(VerificationError, match="in one interval is more than"):
            Table(*arms)


def test_two_arms_compare_only_if_both_served():
    assert Table(Counts(1, 0), Counts(1, 0)).compares
    assert not Table(Counts(1, 0), NONE).compares
    assert not Table(NONE, Counts(1, 0)).compares


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [
        ((), (1,)),
        ((10, 10), (1, 1, 1)),
        ((20, 10), (1, 1, 1)),
        ((-1, 10), (1, 1, 1)),
        ((10, 20), (1, 1)),
        ((10, 20), (1, 1, 1, 1)),
        ((10, 20), (1, -1, 1)),
        ((10, 20), (2**53, 0, 0)),
        (tuple(range(257)), (0,) * 258),
    ],
)
def test_a_histogram_that_cannot_be_is_refused(bounds, counts):
    with pytest.raises(VerificationError, match="histogram"):
        Histogram(bounds, counts)


def test_slower_is_what_lies_above_a_bucket():
    assert [TIMES.slower(bucket) for bucket in range(3)] == [Counts(6, 3), Counts(6, 1), Counts(6, 0)]
    assert Spread(TIMES, TIMES).slower(0) == Table(Counts(6, 3), Counts(6, 3))


@pytest.mark.parametrize("other", [Histogram((10, 30), (1, 1, 1)), Histogram((10,), (1, 1))])
def test_histograms_of_other_bounds_are_never_compared(other):
    with pytest.raises(VerificationError, match="not the same bounds"):
        Spread(TIMES, other)
    with pytest.raises(VerificationError, match="not the same bounds"):
        TIMES.plus(other)


def test_a_spread_holds_no_more_than_a_table():
    with pytest.raises(VerificationError, match="in one interval is more than"):
        Spread(TIMES, Histogram((10, 20), (LARGEST, 1, 0)))


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=3), st.lists(st.integers(0, 1000), min_size=3, max_size=3))
def test_adding_histograms_adds_what_is_slower(one, other):
    first, second = Histogram((10, 20), tuple(one)), Histogram((10, 20), tuple(other))

    for bucket in range(3):
        assert first.plus(second).slower(bucket) == first.slower(bucket).plus(second.slower(bucket))
