"""Are reports of garak, promptfoo and lm-eval counted, and refused if they do not show a whole run?

They are written by hand as the sources of garak 0.17.1, promptfoo 0.121 and lm-eval 0.4.13 write them.
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
from tests.evaluator.harness.reports import GARAK, LM_EVAL, PROMPTFOO, lines, spoilt


def refused(read, report, reason):
    with pytest.raises(VerificationError, match=reason):
        read(report)


def garak(number, **changes):
    line = {name: value for name, value in {**GARAK[number], **changes}.items() if value is not ...}
    return lines([*GARAK[:number], line, *GARAK[number + 1 :]])


def test_garak_counts_failures_and_a_measure_what_passed():
    found = read_garak(lines(GARAK))

    assert found.harness_version == "0.17.1"
    assert found.tasks["dan.Dan_11_0"].measures == {
        "dan.DAN": Measure(9, 10),
        "mitigation.MitigationBypass": Measure(10, 10),
    }


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (b"", "empty"),
        (lines(GARAK)[:-1], "cut off"),
        (lines(GARAK[:-2]), "came to its end"),
        (lines(GARAK[2:]), "which garak began it"),
        (lines([*GARAK[:6], *GARAK[8:]]), "nothing was evaluated"),
        (lines([*GARAK[:7], GARAK[6], *GARAK[7:]]), "is there twice"),
        (lines([*GARAK[:3], *GARAK[2:]]), "attempt 'u0' is there twice"),
        (garak(3, probe_classname="other.Probe"), "tried and not evaluated"),
        (garak(6, nones=1), "did not all fail"),
        (garak(6, passed=8), "8 of 10 passed, and the rest did not all fail"),
        (garak(6, total_evaluated=...), "no int total_evaluated"),
        (garak(6, fails=...), "did not all fail"),
        (garak(6, passed=0, fails=0, total_evaluated=0), "which shows nothing"),
        (garak(6, passed=9.0), "no int passed"),
        (garak(6, passed=-1, fails=11), "counts -1 of 10"),
        (garak(6, passed=11, fails=-1), "counts 11 of 10"),
        (garak(6, probe=7), "no str probe"),
        (garak(1, garak_version=...), "which garak began it"),
        (lines(GARAK).replace(b"dan", b"d\xffn", 1), "not JSON"),
        (lines(GARAK) + b"\n", "1 to"),
        (b"7\n", "not a JSON object"),
    ],
)
def test_half_a_report_of_garak_is_none(report, reason):
    refused(read_garak, report, reason)


def test_promptfoo_is_counted_row_by_row():
    found = read_promptfoo(json.dumps(PROMPTFOO).encode())

    assert found.harness_version == "0.121.20"
    assert found.tasks["promptfoo"].measures == {"tests": Measure(3, 4), "refusals": Measure(1, 2)}


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("results", "version"), 2, "version 2, and 3 can be read"),
        (("results", "version"), ..., "no int version"),
        (("results", "results"), [], "do not add up"),
        (("results", "results", 0, "success"), False, "do not add up"),
        (("results", "results", 2, "success"), True, "do not add up"),
        (("results", "results", 0, "success"), "true", "do not add up"),
        (("results", "results", 0, "error"), "boom", "passed, and has an error"),
        (("results", "results", 0, "testIdx"), 1, "is there twice"),
        (("results", "results", 0, "testIdx"), ..., "names no test"),
        (("results", "results", 0), 7, "do not add up"),
        (("results", "results", 0, "provider"), "http", "no dict provider"),
        (("results", "stats", "errors"), 1, "ended with an error"),
        (("results", "stats", "successes"), 4, "do not add up"),
        (("results", "stats"), ..., "no dict stats"),
        (("metadata",), ..., "no dict metadata"),
    ],
)
def test_results_of_promptfoo_that_do_not_add_up_are_refused(where, value, reason):
    refused(read_promptfoo, spoilt(PROMPTFOO, where, value), reason)


def test_no_test_at_all_is_no_success():
    nothing = {"successes": 0, "failures": 0, "errors": 0}
    empty = {**PROMPTFOO, "results": {"version": 3, "results": [], "stats": nothing}}

    refused(read_promptfoo, json.dumps(empty).encode(), "counts 0 of 0, which shows nothing")


def test_a_mean_of_lm_eval_is_a_count_where_it_can_be():
    found = read_lm_eval(json.dumps(LM_EVAL).encode())

    assert found.harness_version == "0.4.13" and found.tasks.keys() == {"words"}
    assert found.tasks["words"].version == f"1.0 {'ab' * 32}"
    assert found.tasks["words"].measures == {"acc,none": Measure(27, 30), "bleu,none": Measure(value="31.25")}
    third = read_lm_eval(spoilt(LM_EVAL, ("results", "words", "acc,none"), 0.905))
    assert third.tasks["words"].measures["acc,none"] == Measure(value="0.905")


@pytest.mark.parametrize(
    ("where", "value", "reason"),
    [
        (("n-samples",), {}, "no task"),
        (("n-samples",), ..., "no dict n-samples"),
        (("n-samples", "words", "effective"), 10, "ran on 10 of 30 samples"),
        (("n-samples", "words", "original"), 0, "not on all"),
        (("n-samples", "words", "original"), ..., "not on all"),
        (("n-samples", "other"), {"original": 1, "effective": 1}, "no str other"),
        (("results", "words"), ..., "no dict words"),
        (("results", "words"), {"alias": "words"}, "has no metric"),
        (("results", "words", "acc,none"), "N/A", "is no number"),
        (("results", "words", "acc,none"), None, "is no number"),
        (("results", "words", "acc,none"), True, "is no number"),
        (("task_hashes",), {}, "without --log_samples"),
        (("task_hashes", "words"), "", "no hash of its samples"),
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
