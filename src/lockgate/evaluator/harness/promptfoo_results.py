"""What did promptfoo find? Its results (version 3): each test with each prompt and provider, passed or not.

promptfoo ends with 100 when tests failed, unless PROMPTFOO_FAILED_TEST_EXIT_CODE says another, and with 0 as well when
none was run. Everything is counted again from the rows; one with an error makes the report one of a run that did not
work.
"""

from collections.abc import Iterator
from typing import Any

from lockgate.errors import VerificationError
from lockgate.evaluator.harness.reported import Reported, Task, counted, member, parsed

VERSION = 3
SUITE = "promptfoo"
_NONE, _ASSERTION = 0, 1  # failureReason of a row; 2 is an error, and what is not answered ends so


def read_promptfoo(report: bytes) -> Reported:
    """Read results; `promptfoo/tests` counts all of them, `promptfoo/METRIC` those of a metric that tests name."""
    results = member(parsed(report), "results", dict)
    if member(results, "version", int) != VERSION:
        raise VerificationError(f"the results have version {results['version']}, and {VERSION} can be read")
    rows = member(results, "results", list)
    stats = member(results, "stats", dict)
    passed = sum(isinstance(row, dict) and row.get("success") is True for row in rows)
    if (stats.get("successes"), stats.get("failures"), stats.get("errors")) != (passed, len(rows) - passed, 0):
        raise VerificationError("the results do not add up, or tests ended with an error")
    about = member(parsed(report), "metadata", dict)
    version = member(about, "promptfooVersion", str, "metadata")[:80]
    metrics = sorted({_metric(row) for row in rows} - {None}, key=str)
    measures = {"tests": counted(_outcomes(rows), SUITE)}
    measures |= {str(name): counted(_outcomes(rows, name), str(name)[:80]) for name in metrics}
    return Reported(version, {SUITE: Task(str(VERSION), measures)})


def _outcomes(rows: list[Any], metric: object = None) -> Iterator[tuple[object, bool]]:
    for row in rows:
        where = tuple(row.get(name) if isinstance(row, dict) else None for name in ("testIdx", "promptIdx"))
        if any(type(number) is not int for number in where):
            raise VerificationError("a row of the results names no test and prompt")
        provider = member(row, "provider", dict, f"test {where[0]}")
        success = member(row, "success", bool, f"test {where[0]}")
        if success and row.get("error"):
            raise VerificationError(f"test {where[0]} passed, and has an error")
        if row.get("failureReason") != (_NONE if success else _ASSERTION):
            raise VerificationError(f"test {where[0]} ended with an error, and not by its assertions")
        if metric is None or _metric(row) == metric:
            yield (*where, str(provider.get("id"))), success


def _metric(row: object) -> str | None:
    case = row.get("testCase") if isinstance(row, dict) else None
    described = case.get("metadata") if isinstance(case, dict) else None
    metric = described.get("metric") if isinstance(described, dict) else None
    return metric if isinstance(metric, str) else None
