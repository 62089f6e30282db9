"""Is exactly what was counted since the last reading counted, once, whatever the counters went through?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis.counter import MAX_NODES, Counters, Raw, Reading, Step, advance, together
from lockgate.core.analysis.table import LARGEST, Counts, Histogram, Spread, Table
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Name

ONE, TWO = Name("host-1"), Name("host-2")
NEW = Counters({})


def raw(n, bad, *times):
    return Raw(Counts(n, bad), Histogram((10, 20), times) if times else None)


def reading(candidate, stable, incarnation="a"):
    return Reading(incarnation, candidate, stable)


def tables(*readings):
    counters, steps = NEW, ()
    for each in readings:
        counters, steps = advance(counters, each)
    return [step.table for step in steps]


FIRST = {ONE: reading(raw(10, 1), raw(100, 5))}


def test_the_first_reading_says_where_it_begins():
    assert tables(FIRST) == []


def test_the_second_says_what_was_counted_since():
    assert tables(FIRST, {ONE: reading(raw(14, 2), raw(130, 5))}) == [Table(Counts(4, 1), Counts(30, 0))]
    assert tables(FIRST, FIRST) == [Table(Counts(0, 0), Counts(0, 0))]


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (reading(raw(14, 2), raw(130, 5), "b"), Table(Counts(14, 2), Counts(130, 5))),
        (reading(raw(3, 0), raw(130, 5)), Table(Counts(3, 0), Counts(30, 0))),
        (reading(raw(14, 0), raw(130, 5)), Table(Counts(14, 0), Counts(30, 0))),
        (reading(raw(14, 2), raw(30, 1)), Table(Counts(4, 1), Counts(30, 1))),
    ],
)
def test_what_began_anew_counted_from_zero(after, wanted):
    assert tables(FIRST, {ONE: after}) == [wanted]


def test_a_node_that_was_silent_begins_anew():
    later = {ONE: reading(raw(14, 2), raw(130, 5)), TWO: reading(raw(5, 0), raw(5, 0))}

    assert tables(FIRST, {}, later) == []
    assert tables(FIRST, {TWO: reading(raw(1, 0), raw(1, 0))}, later) == [Table(Counts(4, 0), Counts(4, 0))]


def test_more_than_a_table_holds_begins_anew():
    much = {ONE: reading(raw(10 + LARGEST, 1), raw(100, 5))}
    too_much = {ONE: reading(raw(11 + LARGEST, 1), raw(100, 5))}
    after = {ONE: reading(raw(12 + LARGEST, 1), raw(100, 5))}

    assert tables(FIRST, much) == [Table(Counts(LARGEST, 0), Counts(0, 0))]
    assert tables(FIRST, too_much) == []
    assert tables(FIRST, too_much, after) == [Table(Counts(1, 0), Counts(0, 0))]


def test_times_are_counted_with_the_rest():
    before = {ONE: reading(raw(6, 0, 3, 2, 1), raw(6, 0, 1, 2, 3))}
    after = {ONE: reading(raw(8, 0, 3, 3, 2), raw(9, 0, 4, 2, 3))}
    fewer = {ONE: reading(raw(8, 0, 3, 1, 4), raw(9, 0, 4, 2, 3))}

    (step,) = advance(advance(NEW, before)[0], after)[1]
    assert step.spread == Spread(Histogram((10, 20), (0, 1, 1)), Histogram((10, 20), (3, 0, 0)))
    (step,) = advance(advance(NEW, before)[0], fewer)[1]
    assert step.table.candidate == Counts(8, 0)
    assert step.spread.candidate == Histogram((10, 20), (3, 1, 4))


def test_what_was_not_timed_on_both_sides_is_not_compared():
    before = {ONE: reading(raw(6, 0, 3, 2, 1), raw(6, 0, 1, 2, 3))}

    for after in (reading(raw(6, 0), raw(6, 0, 1, 2, 3)), reading(raw(6, 0, 3, 2, 1), raw(6, 0))):
        (step,) = advance(advance(NEW, before)[0], {ONE: after})[1]
        assert step.spread is None
        assert step.table == Table(Counts(0, 0), Counts(0, 0))


@pytest.mark.parametrize(
    "after",
    [
        reading(raw(12, 4), raw(100, 5)),
        reading(raw(10, 1), raw(101, 7)),
        reading(Raw(Counts(10, 1), Histogram((10, 30), (9, 9, 9))), raw(100, 5)),
    ],
)
def test_who_shows_what_cannot_be_is_left_out_and_holds_up_nobody(after):
    before = {ONE: reading(raw(10, 1, 5, 5, 5), raw(100, 5)), TWO: reading(raw(1, 0), raw(1, 0))}
    honest = reading(raw(3, 1), raw(9, 0))

    counters, (step,) = advance(Counters(before), {ONE: after, TWO: honest})
    assert step.table == Table(Counts(2, 1), Counts(8, 0))
    assert counters.last == {ONE: after, TWO: honest}


def test_a_full_table_leaves_the_largest_nodes_out():
    sizes = (LARGEST - 9, 4, 5, LARGEST)
    steps = [Step(Table(Counts(1, 0), Counts(size, 0)), None) for size in sizes]

    assert together(steps).table == Table(Counts(3, 0), Counts(LARGEST, 0))


def test_nodes_are_added_up():
    steps = [
        *advance(Counters(FIRST), {ONE: reading(raw(14, 2), raw(130, 5))})[1],
        *advance(Counters({TWO: reading(raw(0, 0, 0, 0, 0), raw(0, 0, 0, 0, 0))}),
                 {TWO: reading(raw(6, 0, 3, 2, 1), raw(6, 1, 1, 2, 3))})[1],
    ]  # fmt: skip

    whole = together(steps)

    assert whole.table == Table(Counts(10, 1), Counts(36, 1))
    assert whole.spread == Spread(Histogram((10, 20), (3, 2, 1)), Histogram((10, 20), (1, 2, 3)))
    assert together([]).spread is None


def test_so_many_nodes_and_no_more():
    with pytest.raises(VerificationError, match="more than"):
        advance(NEW, {Name(f"n{number}"): FIRST[ONE] for number in range(MAX_NODES + 1)})


def test_counters_are_the_same_after_they_were_written_and_read():
    counters, _ = advance(NEW, {ONE: reading(raw(6, 0, 3, 2, 1), raw(6, 0))})

    assert plain.decode(Counters, plain.encode(counters)) == counters


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=12))
def test_nothing_is_lost_and_nothing_counted_twice(intervals):
    n = bad = start = 0
    counters, _ = advance(NEW, {ONE: reading(raw(0, 0), raw(0, 0), "0")})
    for good_now, bad_now, restarts in intervals:
        n, bad, start = (0, 0, start + 1) if restarts else (n, bad, start)
        n, bad = n + good_now + bad_now, bad + bad_now
        counters, (step,) = advance(counters, {ONE: reading(raw(n, bad), raw(0, 0), str(start))})
        assert step.table.candidate == Counts(good_now + bad_now, bad_now)
