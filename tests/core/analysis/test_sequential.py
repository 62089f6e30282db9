"""Is worse told when it is beyond doubt, healthy when it is not beyond the tolerance, and nothing before?"""

from dataclasses import replace
from math import log

import pytest

from lockgate.core.analysis.finding import Conclusion, Trigger, whole
from lockgate.core.analysis.number import Exact, Number
from lockgate.core.analysis.sequential import conclude, count, judge, nothing_counted
from lockgate.core.analysis.table import NONE, Counts, Table
from tests.core.analysis.findings import found
from tests.simulated import ERRORS, LATENCY

SAME = Table(Counts(100, 5), Counts(1000, 50))
WORSE = Table(Counts(100, 30), Counts(1000, 50))
QUIET = Table(Counts(400, 0), Counts(4000, 0))
EMPTY = Table(NONE, Counts(1000, 50))


def after(*tables, metric=ERRORS):
    tally = nothing_counted(metric)
    for table in tables:
        tally = count(metric, tally, (table,))
    return tally


@pytest.mark.parametrize(
    ("tables", "conclusion", "trigger"),
    [
        ([], Conclusion.INCONCLUSIVE, None),
        ([SAME], Conclusion.INCONCLUSIVE, None),
        ([SAME] * 4, Conclusion.HEALTHY, None),
        ([WORSE], Conclusion.FAILED, Trigger.SEQUENTIAL),
        ([WORSE] + [SAME] * 200, Conclusion.FAILED, Trigger.SEQUENTIAL),
        ([WORSE] + [EMPTY] * 60, Conclusion.FAILED, Trigger.SEQUENTIAL),
        ([SAME] * 4 + [EMPTY] * 59, Conclusion.HEALTHY, None),
        ([SAME] * 4 + [EMPTY] * 60, Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING),
        ([SAME] * 4 + [EMPTY] * 60 + [SAME], Conclusion.HEALTHY, None),
        ([QUIET] * 50, Conclusion.INCONCLUSIVE, None),
    ],
)
def test_what_intervals_come_to(tables, conclusion, trigger):
    finding = conclude(ERRORS, after(*tables))

    assert (finding.conclusion, finding.trigger) == (conclusion, trigger)


def test_a_candidate_without_a_bad_one_is_healthy_if_so_few_are_acceptable():
    one_percent = replace(ERRORS, acceptable=Number("0.01"))

    assert conclude(one_percent, after(QUIET, metric=one_percent)).conclusion is Conclusion.INCONCLUSIVE
    assert conclude(one_percent, after(QUIET, QUIET, metric=one_percent)).conclusion is Conclusion.HEALTHY
    assert conclude(one_percent, after(WORSE, *[QUIET] * 9, metric=one_percent)).conclusion is Conclusion.FAILED


def test_no_more_is_said_than_what_must_be_reached():
    at = -log(0.01)

    assert judge(ERRORS, at, 0, 0) == (Conclusion.FAILED, Trigger.SEQUENTIAL)
    assert judge(LATENCY, at, 0, 0) == (Conclusion.FAILED, Trigger.LATENCY)
    assert judge(ERRORS, at - 1e-9, -log(0.05), 59) == (Conclusion.HEALTHY, None)
    assert judge(ERRORS, at - 1e-9, -log(0.05) - 1e-9, 0) == (Conclusion.INCONCLUSIVE, None)


def test_nodes_may_be_told_apart_and_an_idle_one_changes_nothing():
    tally = count(ERRORS, nothing_counted(ERRORS), (SAME, EMPTY, SAME))

    assert tally.row == after(SAME, SAME).row
    assert (tally.candidate, tally.stable) == (Counts(200, 10), Counts(3000, 150))
    assert count(ERRORS, tally, ()).missing == count(ERRORS, tally, (EMPTY,)).missing == 1


def test_the_margin_forgives_what_is_within_it():
    margin = replace(ERRORS, bounds=replace(ERRORS.bounds, margin=Number("2"), tolerance=Number("3")))
    one_and_a_half = [Table(Counts(1000, 75), Counts(10_000, 500))] * 20

    assert conclude(ERRORS, after(*one_and_a_half)).conclusion is Conclusion.FAILED
    assert conclude(margin, after(*one_and_a_half, metric=margin)).conclusion is Conclusion.HEALTHY


def test_it_says_what_it_found():
    finding = conclude(ERRORS, replace(after(*[SAME] * 4), peak=Exact(log(50))))

    assert finding.says == (
        "20 of 400 of the candidate, 200 of 4000 of stable bad: it is not worse than may be"
    )  # fmt: skip
    assert finding.e_values.worse == "50.00"
    assert (finding.e_values.worse_needed, finding.e_values.sound_needed) == ("100", "20")
    assert float(finding.e_values.sound) > 20
    assert finding.e_values.odds_at_most == "2"


@pytest.mark.parametrize(
    ("conclusions", "wanted"),
    [
        ("", "missing"),
        ("healthy", "healthy"),
        ("healthy inconclusive", "inconclusive"),
        ("inconclusive missing healthy", "missing"),
        ("healthy missing failed inconclusive", "failed"),
    ],
)
def test_the_worst_counts(conclusions, wanted):
    assert whole([found(each) for each in conclusions.split()]) == wanted


def test_a_dry_run_does_not_count():
    assert whole([found("healthy"), found("failed", dry_run=True)]) == "healthy"
    assert whole([found("failed", dry_run=True)]) == "missing"
