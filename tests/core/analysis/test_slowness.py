"""Is slower what takes longer than stable took before, and does one interval never set the marks it is measured by?"""

from dataclasses import replace
from fractions import Fraction

import pytest

from lockgate.core.analysis.finding import Conclusion, Trigger
from lockgate.core.analysis.number import Exact, Number
from lockgate.core.analysis.odds import add, log_mean, log_sound, log_worse
from lockgate.core.analysis.sequential import weighed
from lockgate.core.analysis.slowness import FADES, buckets, conclude_slowness, learn, nothing_timed, time
from lockgate.core.analysis.table import Counts, Histogram, Spread, Table
from lockgate.errors import VerificationError
from tests.simulated import LATENCY

BOUNDS = (10, 20, 30)
TWO = replace(LATENCY, quantiles=(Number("0.5"), Number("0.9")))
EARLIER = Histogram(BOUNDS, (50, 40, 10, 0))
LEARNT = learn(nothing_timed(TWO), EARLIER)


def spread(candidate, stable):
    return (Spread(Histogram(BOUNDS, candidate), Histogram(BOUNDS, stable)),)


SLOW = spread((0, 0, 20, 0), (100, 80, 20, 0))
SAME = spread((50, 40, 10, 0), (500, 400, 100, 0))


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ((50, 40, 10, 0), [0, 1]),
        ((49, 41, 10, 0), [1, 1]),
        ((50, 39, 11, 0), [0, 2]),
        ((0, 0, 0, 5), [3, 3]),
        ((1, 0, 0, 0), [0, 0]),
        ((100, 0, 0, 0), [0, 0]),
    ],
)
def test_a_quantile_lies_in_the_first_bucket_that_reaches_it(counts, found):
    assert buckets(TWO, Histogram(BOUNDS, counts)) == found


def test_marks_come_from_before_and_their_e_values_are_averaged():
    tally, odds = time(TWO, LEARNT, SLOW), weighed(TWO)

    tables = Table(Counts(20, 20), Counts(200, 100)), Table(Counts(20, 20), Counts(200, 20))
    assert [(mark.candidate, mark.stable) for mark in tally.marks] == [(each.candidate, each.stable) for each in tables]
    rows = [add(odds.empty, table, odds) for table in tables]
    assert tally.peak == pytest.approx(log_mean([log_worse(row, odds) for row in rows]))
    assert tally.before.counts == (150, 120, 30, 0)


def test_an_interval_never_sets_its_own_marks():
    tally = time(TWO, nothing_timed(TWO), SLOW)

    assert (tally.peak, tally.missing, tally.before) == (0, 0, SLOW[0].stable)
    assert all(mark.candidate.n == 0 for mark in tally.marks)
    assert time(TWO, tally, SLOW).peak > 0


def test_it_fails_once_and_for_all():
    tally = time(TWO, time(TWO, LEARNT, SLOW), SLOW)

    for _ in range(3):
        finding = conclude_slowness(TWO, tally)
        assert (finding.conclusion, finding.trigger) == (Conclusion.FAILED, Trigger.LATENCY)
        tally = time(TWO, tally, spread((500, 0, 0, 0), (500, 400, 100, 0)))
    assert finding.says.endswith("took longer than 90 % of stable's before: it is worse")


def test_the_same_is_healthy_after_a_while_and_the_weakest_quantile_decides():
    tally = time(TWO, LEARNT, SAME)
    assert conclude_slowness(TWO, tally).conclusion is Conclusion.INCONCLUSIVE
    for _ in range(4):
        tally = time(TWO, tally, SAME)

    finding = conclude_slowness(TWO, tally)
    assert finding.conclusion is Conclusion.HEALTHY
    assert finding.e_values.odds_at_most == "2"


def test_the_weakest_of_the_quantiles_decides():
    slower_at_the_end = spread((50, 25, 25, 0), (500, 400, 100, 0))
    tally = time(TWO, LEARNT, slower_at_the_end)
    for _ in range(9):
        tally = time(TWO, tally, slower_at_the_end)

    assert log_sound(tally.marks[0].row, weighed(TWO)) > 3
    assert conclude_slowness(TWO, replace(tally, peak=Exact(0))).conclusion is Conclusion.INCONCLUSIVE


def test_rare_quantiles_are_not_waited_for():
    rare = replace(TWO, quantiles=(Number("0.5"), Number("0.999")))
    tally = learn(nothing_timed(rare), EARLIER)
    for _ in range(5):
        tally = time(rare, tally, SAME)

    assert conclude_slowness(rare, tally).conclusion is Conclusion.HEALTHY


@pytest.mark.parametrize("found", [(), spread((0, 0, 0, 0), (9, 9, 9, 9)), spread((9, 9, 9, 9), (0, 0, 0, 0))])
def test_what_has_one_arm_only_is_missing(found):
    tally = LEARNT
    for _ in range(TWO.consecutive_missing):
        assert conclude_slowness(TWO, tally).conclusion is Conclusion.INCONCLUSIVE
        tally = time(TWO, tally, found)

    finding = conclude_slowness(TWO, tally)
    assert (finding.conclusion, finding.trigger) == (Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING)
    assert time(TWO, tally, SAME).missing == 0


def test_stable_alone_teaches():
    tally = time(TWO, LEARNT, spread((0, 0, 0, 0), (0, 0, 9, 0)))

    assert tally.before.counts == (50, 40, 19, 0)
    assert tally.marks == LEARNT.marks


def test_old_times_fade():
    tally = learn(nothing_timed(TWO), Histogram(BOUNDS, (FADES, 0, 0, 0)))
    assert tally.before.n == FADES

    assert learn(tally, Histogram(BOUNDS, (0, 2, 0, 0))).before.counts == (FADES // 2, 1, 0, 0)


@pytest.mark.parametrize("missing", [False, True])
def test_other_bounds_are_refused(missing):
    other = Histogram((10, 20, 31), (0, 0, 0, 0) if missing else (1, 1, 1, 1))

    with pytest.raises(VerificationError, match="not the same bounds"):
        time(TWO, LEARNT, (Spread(other, other),))


def test_quantiles_are_exact():
    tenth = replace(TWO, quantiles=(Number("0.1"), Number("0.3")))
    assert Fraction("0.1") * 30 == 3

    assert buckets(tenth, Histogram(BOUNDS, (3, 6, 21, 0))) == [0, 1]
