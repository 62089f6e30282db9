"""Is a promise broken exactly when its limits are passed, and never by a handful of requests?"""

from dataclasses import replace

import pytest

from lockgate.core.analysis.finding import Conclusion, Trigger
from lockgate.core.analysis.metric import Threshold
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.table import Counts, Table
from lockgate.core.analysis.threshold import Unanswered, Value, conclude_threshold, measure, nothing_measured
from lockgate.formats.names import Name

LIMIT = Threshold(Name("limit"), ">", Number("0.1"), 50, 1, 2, 3, dry_run=False)
GOOD, HIGH = Value(Number("0.1")), Value(Number("0.1001"))
AWAY = Unanswered("nobody answers")


def served(n, bad, stable=(0, 0)):
    return (Table(Counts(n, bad), Counts(*stable)),)


def after(*found, metric=LIMIT):
    tally = nothing_measured()
    for each in found:
        tally = measure(metric, tally, each)
    return conclude_threshold(metric, tally)


@pytest.mark.parametrize(
    ("found", "conclusion", "trigger"),
    [
        ([], Conclusion.INCONCLUSIVE, None),
        ([GOOD], Conclusion.HEALTHY, None),
        ([HIGH], Conclusion.INCONCLUSIVE, None),
        ([HIGH, GOOD], Conclusion.INCONCLUSIVE, None),
        ([HIGH, GOOD, GOOD], Conclusion.HEALTHY, None),
        ([GOOD, GOOD, HIGH], Conclusion.HEALTHY, None),
        ([HIGH, GOOD, HIGH], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
        ([HIGH, HIGH], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
        ([HIGH, HIGH, GOOD, GOOD], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
        ([AWAY, AWAY], Conclusion.INCONCLUSIVE, None),
        ([AWAY, AWAY, AWAY], Conclusion.FAILED, Trigger.CONSECUTIVE_ERROR_LIMIT),
        ([AWAY, AWAY, GOOD, AWAY, AWAY], Conclusion.HEALTHY, None),
        ([AWAY, AWAY, served(1, 0), AWAY, AWAY], Conclusion.INCONCLUSIVE, None),
        ([HIGH, HIGH, AWAY, AWAY, AWAY], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
        ([AWAY, AWAY, AWAY, HIGH, HIGH], Conclusion.FAILED, Trigger.CONSECUTIVE_ERROR_LIMIT),
        ([None, None], Conclusion.INCONCLUSIVE, None),
        ([None, None, None], Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING),
        ([GOOD, None, (), served(0, 0, (9, 9))], Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING),
        ([None, None, GOOD, None, None], Conclusion.HEALTHY, None),
        ([HIGH, HIGH, None, None, None], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
        ([served(49, 49)], Conclusion.INCONCLUSIVE, None),
        ([served(50, 5)], Conclusion.HEALTHY, None),
        ([served(50, 6), served(49, 49)], Conclusion.INCONCLUSIVE, None),
        ([served(50, 6), served(25, 3), served(25, 3)], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
        ([served(50, 6), served(50, 5), served(50, 5)], Conclusion.HEALTHY, None),
        ([(*served(25, 3), *served(25, 3)), served(50, 6)], Conclusion.FAILED, Trigger.FAILURE_LIMIT),
    ],
)
def test_what_limits_say(found, conclusion, trigger):
    finding = after(*found)

    assert (finding.conclusion, finding.trigger) == (conclusion, trigger)


@pytest.mark.parametrize(
    ("fails", "values"),
    [(">", "0.1001"), (">=", "0.1001 0.1"), ("<", "0.0999 -1"), ("<=", "0.1 0.0999 -1")],
)
def test_what_fails_is_compared_exactly(fails, values):
    strict = replace(LIMIT, fails=fails, failure_limit=0)
    given = ["0.1001", "0.1", "0.0999", "-1"]

    failed = [each for each in given if after(Value(Number(each)), metric=strict).conclusion is Conclusion.FAILED]
    assert failed == values.split()


def test_it_says_what_it_found():
    finding = after(served(60, 6, (10, 1)), HIGH, AWAY)

    assert (finding.candidate, finding.stable, finding.missing) == (Counts(60, 6), Counts(10, 1), 1)
    assert (finding.failures.measured, finding.failures.failed, finding.failures.value) == (2, 1, "0.1001")
    assert finding.says == ("1 of 2 measurements > 0.1, the last 0.1001 (1 allowed); 1 errors in a row (2 allowed)")
    assert after().says == "0 of 0 measurements > 0.1, none yet (1 allowed)"
