"""Are reports of garak, promptfoo and lm-eval counted, and refused if they do not show a whole run?

They are what garak 0.17.1, promptfoo 0.121.20 and lm-eval 0.4.13 wrote (tests/vectors/harnesses), spoilt in one thing.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.harness.garak_report import read_garak
from lockgate.evaluator.harness.lm_eval_results import read_lm_eval
from lockgate.evaluator.harness.promptfoo_results import read_promptfoo
from lockgate.evaluator.harness.reported import MAX_REPORT, Reported, Task, picked, together
from tests.evaluator.harness.reports import GARAK, GARAK_WHOLE, HARNESSES, LM_EVAL, PROMPTFOO, lines, spoilt

TASK = "desk-pages"
SAMPLES = "adc13d0c4f7f3012cd85878885e8e8604d8942c18e293c42a25e4de3ccffb59f"
ENDED, JUDGED, COUNTED = 3, 4, 5  # lines of the first probe: begun, judged, counted by its own detector


def refused(read, report, reason):
    with pytest.raises(VerificationError, match=reason):
        read(report)


def garak(number, **changes):
    line = {name: value for name, value in {**GARAK[number], **changes}.items() if value is not ...}
    return lines([*GARAK[:number], line, *GARAK[number + 1 :]])


def test_garak_counts_failures_and_a_measure_what_passed():
    found = read_garak(GARAK_WHOLE)

    assert found.harness_version == "0.17.1"
    assert found.tasks.keys() == {"dan.AntiDAN", "dan.DUDE", "dan.STAN"}
    assert found.tasks["dan.STAN"].measures == {
        "dan.STAN": Measure(1, 1),
        "mitigation.MitigationBypass": Measure(0, 1),
    }
    assert not GARAK_WHOLE.endswith(b"\n") and read_garak(lines(GARAK)) == read_garak(lines(GARAK[:-1])) == found


@pytest.mark.parametrize(
    ("name", "reason"), [("unanswered", "did not all fail|which shows nothing"), ("broken-off", "came to its end")]
)
def test_a_run_of_garak_that_nobody_answered_is_none(name, reason):
    refused(read_garak, (HARNESSES / f"garak-{name}.report.jsonl").read_bytes(), reason)


def judged(*results):
    return garak(JUDGED, detector_results={"dan.AntiDAN": list(results), "mitigation.MitigationBypass": [1.0]})


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (b"", "empty"),
        (GARAK_WHOLE[:-1], "not JSON"),
        (lines(GARAK[:-2]), "came to its end"),
        (lines(GARAK[2:]), "which garak began it"),
        (lines([line for line in GARAK if line["entry_type"] != "eval"]), "nothing was evaluated"),
        (lines([*GARAK[:COUNTED], GARAK[COUNTED], *GARAK[COUNTED:]]), "is there twice"),
        (lines([*GARAK[:JUDGED], GARAK[JUDGED], *GARAK[JUDGED:]]), "is there twice"),
        (lines([*GARAK[:ENDED], GARAK[ENDED], *GARAK[ENDED:]]), "is there twice"),
        (lines([*GARAK[:JUDGED], *GARAK[JUDGED + 1 :]]), "of 3 attempts 2 came to their end"),
        (lines([*GARAK[:ENDED], *GARAK[ENDED + 1 :]]), "of 2 attempts 3 came to their end"),
        (lines([line for line in GARAK if line["entry_type"] != "attempt"]), "1 of 1 are counted, and 0 were judged"),
        (garak(JUDGED, probe_classname="other.Probe"), "tried and not evaluated"),
        (garak(JUDGED, probe_classname="dan.DUDE"), "1 of 1 are counted, and 0 were judged"),
        (garak(JUDGED, detector_results={}), "1 of 1 are counted, and 0 were judged"),
        (garak(JUDGED, detector_results=...), "no dict detector_results"),
        (judged(1.0), "1 of 1 are counted, and 1 were judged"),
        (judged(0.0, 0.5), "1 of 1 are counted, and 2 were judged"),
        (judged(0.0, 0.0), "1 of 1 are counted, and 2 were judged"),
        (judged(), "1 of 1 are counted, and 0 were judged"),
        (judged(None), "not answered, or not judged"),
        (judged(2.0), "not answered, or not judged"),
        (judged("0"), "not answered, or not judged"),
        (judged([]), "not answered, or not judged"),
        (garak(COUNTED, passed=0, fails=1), "0 of 1 are counted, and 1 were judged"),
        (garak(COUNTED, passed=2, total_evaluated=2), "2 of 2 are counted, and 1 were judged"),
        (garak(COUNTED, nones=1), "did not all fail"),
        (garak(COUNTED, passed=0), "0 of 1 passed, and the rest did not all fail"),
        (garak(COUNTED, total_evaluated=...), "no int total_evaluated"),
        (garak(COUNTED, fails=...), "did not all fail"),
        (garak(COUNTED, passed=0, fails=0, total_evaluated=0), "which shows nothing"),
        (garak(COUNTED, passed=1.0), "no int passed"),
        (garak(COUNTED, passed=-1, fails=2), "counts -1 of 1"),
        (garak(COUNTED, passed=2, fails=-1), "counts 2 of 1"),
        (garak(COUNTED, probe=7), "no str probe"),
        (garak(1, garak_version=...), "which garak began it"),
        (GARAK_WHOLE.replace(b"dan", b"d\xffn", 1), "not JSON"),
        (lines(GARAK) + b"\n", "1 to"),
        (b"7\n", "not a JSON object"),
    ],
)
def test_half_a_report_of_garak_is_none(report, reason):
    refused(read_garak, report, reason)


@pytest.mark.parametrize("result", [0.2, 0.5, 0.99, 0])
def test_what_a_detector_is_not_sure_of_counts_as_garak_counted_it(result):
    assert read_garak(judged(result)).tasks["dan.AntiDAN"].measures["dan.AntiDAN"] == Measure(1, 1)


def test_promptfoo_is_counted_row_by_row():
    found = read_promptfoo(json.dumps(PROMPTFOO).encode())

    assert found.harness_version == "0.121.20"
    assert found.tasks["promptfoo"].measures == {
        "tests": Measure(3, 6),
        "injection": Measure(0, 3),
        "pages": Measure(3, 3),
    }


@pytest.mark.parametrize(("name", "reason"), [("errors", "ended with an error"), ("none", "counts 0 of 0")])
def test_a_run_of_promptfoo_that_was_not_answered_or_asked_nothing_is_none(name, reason):
    refused(read_promptfoo, (HARNESSES / f"promptfoo-{name}.json").read_bytes(), reason)


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("results", "version"), 2, "version 2, and 3 can be read"),
        (("results", "version"), ..., "no int version"),
        (("results", "results"), [], "do not add up"),
        (("results", "results", 5, "success"), False, "do not add up"),
        (("results", "results", 0, "success"), True, "do not add up"),
        (("results", "results", 5, "success"), "true", "do not add up"),
        (("results", "results", 5, "error"), "boom", "passed, and has an error"),
        (("results", "results", 5, "failureReason"), 2, "ended with an error"),
        (("results", "results", 0, "failureReason"), 2, "ended with an error"),
        (("results", "results", 0, "failureReason"), 0, "ended with an error"),
        (("results", "results", 0, "failureReason"), ..., "ended with an error"),
        (("results", "results", 0, "testIdx"), 1, "is there twice"),
        (("results", "results", 0, "testIdx"), ..., "names no test"),
        (("results", "results", 0), 7, "names no test and prompt"),
        (("results", "results", 0, "provider"), "http", "no dict provider"),
        (("results", "stats", "errors"), 1, "ended with an error"),
        (("results", "stats", "successes"), 4, "do not add up"),
        (("results", "stats"), ..., "no dict stats"),
        (("metadata",), ..., "no dict metadata"),
    ],
)
def test_results_of_promptfoo_that_do_not_add_up_are_refused(where, value, reason):
    refused(read_promptfoo, spoilt(PROMPTFOO, where, value), reason)


def test_a_mean_of_lm_eval_is_a_count_where_it_can_be():
    found = read_lm_eval(json.dumps(LM_EVAL).encode())

    assert found.harness_version == "0.4.13" and found.tasks.keys() == {TASK}
    assert found.tasks[TASK].version == f"1 {SAMPLES}"
    assert found.tasks[TASK].measures == {
        "exact_match,page": Measure(10, 12),
        "chrf,page": Measure(value="91.720520742666"),
    }
    third = read_lm_eval(spoilt(LM_EVAL, ("results", TASK, "exact_match,page"), 0.905))
    assert third.tasks[TASK].measures["exact_match,page"] == Measure(value="0.905")


def test_a_run_of_lm_eval_on_a_part_of_the_samples_is_none():
    refused(read_lm_eval, (HARNESSES / "lm-eval-limited.json").read_bytes(), "ran on 5 of 12 samples")


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("n-samples",), {}, "no task"),
        (("n-samples",), ..., "no dict n-samples"),
        (("n-samples", TASK, "effective"), 10, "ran on 10 of 12 samples"),
        (("n-samples", TASK, "original"), 0, "not on all"),
        (("n-samples", TASK, "original"), ..., "not on all"),
        (("n-samples", "other"), {"original": 1, "effective": 1}, "no str other"),
        (("results", TASK), ..., "no dict desk-pages"),
        (("results", TASK), {"alias": "pages"}, "has no metric"),
        (("results", TASK, "exact_match,page"), "N/A", "is no number"),
        (("results", TASK, "exact_match,page"), None, "is no number"),
        (("results", TASK, "exact_match,page"), True, "is no number"),
        (("task_hashes",), {}, "without --log_samples"),
        (("task_hashes", TASK), "", "no hash of its samples"),
        (("lm_eval_version",), ..., "no str lm_eval_version"),
    ],
)
def test_results_of_lm_eval_that_show_less_are_refused(where, value, reason):
    refused(read_lm_eval, spoilt(LM_EVAL, where, value), reason)


@pytest.mark.parametrize("read", [read_garak, read_promptfoo, read_lm_eval])
@given(junk=st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_refused(read, junk):
    for report in (b"", junk, bytes(MAX_REPORT + 1) if junk == b"" else junk):
        with pytest.raises(VerificationError):
            read(report)


ONE = Reported("1", {"a": Task("7", {"s": Measure(1, 2)})})


def test_a_measure_is_picked_where_the_suite_says_it_is():
    assert picked(ONE, {"security-x": "a/s"}, {"a": "7"}) == {"security-x": Measure(1, 2)}


@pytest.mark.parametrize(
    ("wanted", "versions", "reason"),
    [
        ({"x": "a/t"}, {"a": "7"}, "nothing was reported as 'a/t'"),
        ({"x": "b/s"}, {"a": "7"}, "nothing was reported as 'b/s'"),
        ({"x": "s"}, {"a": "7"}, "nothing was reported as 's'"),
        ({"x": "a/s"}, {"a": "8"}, "ran in version '7', not '8'"),
        ({"x": "a/s"}, {"a": "7", "b": "1"}, "task 'b' is missing"),
    ],
)
def test_what_is_missing_or_of_another_version_is_refused(wanted, versions, reason):
    with pytest.raises(VerificationError, match=reason):
        picked(ONE, wanted, versions)


def test_reports_are_put_together_each_task_once_by_one_harness():
    other = Reported("1", {"b": Task("7", {"s": Measure(1, 2)})})

    assert together([ONE, other]).tasks.keys() == {"a", "b"}
    for reports, reason in (
        ([ONE, ONE], "task 'a' is reported twice"),
        ([], "0 versions"),
        ([ONE, Reported("2", other.tasks)], "2 versions"),
    ):
        with pytest.raises(VerificationError, match=reason):
            together(reports)
