"""Does a scan become evidence that says what it found, by which rules, and what was excused?"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lockgate.core import evidence
from lockgate.core.evidence import Verdict
from lockgate.core.measure import Measure
from lockgate.formats.digest import Digest
from lockgate.scanner.scanned import Finding, Scan
from lockgate.scanner.second_opinion import Opinion
from lockgate.scanner.testimony import opinion_run, scan_run

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
CLEAN = Scan(2, 30, (), ("torch",), Digest.of(b"rules"), "1.0.0", {"a": "json", "b": "torch"})
FOUND = Finding("a", "json", "odd")


def test_a_clean_scan_passes_and_says_by_which_rules():
    run = scan_run(CLEAN, started_at=AT, finished_at=AT)

    assert run.result is Verdict.PASSED
    assert (run.suite, run.harness, run.suite_digest) == ("scan", "lockgate-scanner", CLEAN.rules)
    assert (run.excused, run.measures) == (("torch",), {"files": Measure(passed=2, of=2)})
    assert evidence.test_result(run)["result"] == "PASSED"


@pytest.mark.parametrize(
    "spoilt",
    [
        replace(CLEAN, findings=(FOUND,)),
        replace(CLEAN, findings=(Finding("gone", "missing", "x"),)),
        replace(CLEAN, files=0, formats={}),
    ],
)
def test_anything_else_fails(spoilt):
    assert scan_run(spoilt, started_at=AT, finished_at=AT).result is Verdict.FAILED


def test_files_with_findings_are_not_counted_as_passed():
    assert scan_run(replace(CLEAN, findings=(FOUND,)), started_at=AT, finished_at=AT).measures == {
        "files": Measure(1, 2)
    }


@pytest.mark.parametrize(
    ("findings", "files", "result"), [((), 2, "PASSED"), ((FOUND,), 2, "FAILED"), ((), 0, "FAILED")]
)
def test_a_second_opinion_is_a_result_of_its_own(findings, files, result):
    run = opinion_run(Opinion("other", "1.2", findings), files, started_at=AT, finished_at=AT)

    assert (run.suite, run.result.value) == ("scan/other", result)
