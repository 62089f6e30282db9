"""Is each book judged by itself, so that users who are in two of them are not counted as two?"""

from dataclasses import replace
from math import log

import pytest

from lockgate.core.analysis.books import MAX_BOOKS, Judged, conclude_users, enter, nobody_judged, share_of
from lockgate.core.analysis.finding import Conclusion, Trigger
from lockgate.core.analysis.metric import Bounds, Users
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.sequential import conclude, count, nothing_counted
from lockgate.core.analysis.table import NONE, Counts, Table
from lockgate.formats.names import Name
from tests.simulated import ERRORS

BOUNDS = Bounds(Number("0.01"), Number("0.05"), Number("1"), Number("2"))
USERS = Users(Name("users"), BOUNDS, 60, dry_run=False)
SAME = Table(Counts(100, 5), Counts(1000, 50))
SUSPECT = Table(Counts(20, 4), Counts(180, 3))
WORSE = Table(Counts(100, 30), Counts(1000, 50))
EMPTY = Table(NONE, Counts(1000, 50))


def judged(table, book="host-1-1", incarnation="one"):
    return Judged(Name(book), incarnation, table)


def after(*intervals, metric=USERS):
    tally = nobody_judged()
    for interval in intervals:
        tally = enter(metric, tally, interval)
    return tally


def concluded(*intervals, metric=USERS):
    return conclude_users(metric, after(*intervals, metric=metric))


def single(*tables):
    tally = nothing_counted(ERRORS)
    for table in tables:
        tally = count(ERRORS, tally, (table,))
    return conclude(ERRORS, tally)


@pytest.mark.parametrize(
    ("intervals", "conclusion", "trigger"),
    [
        ([], Conclusion.INCONCLUSIVE, None),
        ([[judged(SAME)]], Conclusion.INCONCLUSIVE, None),
        ([[judged(SAME)]] * 6, Conclusion.HEALTHY, None),
        ([[judged(WORSE)]], Conclusion.FAILED, Trigger.SEQUENTIAL),
        ([[judged(WORSE)], *[[judged(SAME)]] * 200], Conclusion.FAILED, Trigger.SEQUENTIAL),
        ([[judged(SAME)]] * 6 + [[judged(EMPTY)]] * 60, Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING),
        ([[judged(EMPTY)]] * 60, Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING),
    ],
)
def test_what_books_come_to(intervals, conclusion, trigger):
    finding = concluded(*intervals)

    assert (finding.conclusion, finding.trigger) == (conclusion, trigger)


@pytest.mark.parametrize("other", [("host-1-2", "one"), ("host-2-1", "one"), ("host-1-1", "two")])
def test_the_same_users_in_another_book_are_no_further_evidence(other):
    suspected_twice = [judged(SUSPECT), judged(SUSPECT, *other)]

    assert single(SUSPECT, SUSPECT).conclusion is Conclusion.FAILED
    assert concluded([judged(SUSPECT)], [judged(SUSPECT)]).conclusion is Conclusion.FAILED
    assert concluded(suspected_twice).conclusion is Conclusion.INCONCLUSIVE
    assert concluded(suspected_twice).e_values.worse == concluded([judged(SUSPECT)]).e_values.worse


def test_all_books_together_have_one_alpha():
    assert share_of(1) == 0.5
    assert sum(share_of(number) for number in range(1, 100_000)) < 1

    alone, first = after([judged(WORSE)]).books[0].peak, float(concluded([judged(WORSE)]).e_values.worse)
    assert log(first) == pytest.approx(alone + log(0.5), rel=1e-3)
    assert float(concluded([judged(SAME)]).e_values.sound) == pytest.approx(
        float(single(SAME).e_values.sound) / 2, rel=1e-3
    )


def test_a_later_book_needs_more_and_can_still_say_that_it_is_worse():
    quiet = [judged(SAME, f"host-{number}-1") for number in range(7)]

    early, late = concluded([judged(WORSE, "late")], quiet), concluded(quiet, [judged(WORSE, "late")])

    assert float(late.e_values.worse) == pytest.approx(float(early.e_values.worse) / 36, rel=1e-3)
    assert late.conclusion is Conclusion.FAILED and "book late (of 8)" in late.says


def test_a_book_begins_when_both_have_users_and_goes_on_when_one_has_none():
    tally = after([judged(EMPTY)], [judged(EMPTY), judged(SAME, "host-2-1")], [judged(SAME), judged(EMPTY, "host-2-1")])

    assert [(str(book.name), book.stable.n) for book in tally.books] == [("host-2-1", 2000), ("host-1-1", 1000)]


def test_no_more_books_are_opened_than_there_may_be():
    full = [judged(SAME, f"host-{number}") for number in range(MAX_BOOKS)]

    assert concluded(full, [judged(WORSE, "one-more")] * 5).conclusion is not Conclusion.FAILED


def test_few_bad_users_are_acceptable_if_so_few_are():
    metric, quiet = replace(USERS, acceptable=Number("0.01")), Table(Counts(500, 0), Counts(4000, 0))

    assert concluded([judged(quiet)] * 3).conclusion is Conclusion.INCONCLUSIVE
    assert concluded([judged(quiet)] * 3, metric=metric).conclusion is Conclusion.HEALTHY


def test_it_says_how_many_users_of_which_book():
    finding = concluded([judged(WORSE)])

    assert finding.says == (
        "users with a failure in book host-1-1 (of 1): "
        "30 of 100 of the candidate, 50 of 1000 of stable: it is worse"
    )  # fmt: skip
    assert (finding.candidate, finding.stable) == (Counts(100, 30), Counts(1000, 50))
    assert concluded().says == "no users of both were judged: it is too early to say"
