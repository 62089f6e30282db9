"""What did garak find? The lines of its report (JSONL): a line for each probe and detector.

garak counts what *failed*, and ends with 0 whatever it found, also when nobody answered. A measure here counts what
passed, and is compared with what each attempt says of itself; one that was not answered is nobody's success. A report
without its last lines is one of a run that did not end. The very last, `digest`, garak writes without an end of line.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.harness.reported import MAX_REPORT, Reported, Task, member, parsed, whole

_DONE = 2  # the status of an attempt that was judged; before that it is there as one that was begun
_PREFIX = "detector."


def read_garak(report: bytes) -> Reported:
    """Read a report; each `probe/detector` passed so many times. Raise `VerificationError` for half of one."""
    if not 0 < len(report) <= MAX_REPORT:
        raise VerificationError("the report is empty, or too large")
    lines = [parsed(line) for line in report.removesuffix(b"\n").split(b"\n")]
    begun = [line for line in lines if _kind(line) in ("init", "start_run setup")]
    version = next((line["garak_version"] for line in begun if isinstance(line.get("garak_version"), str)), None)
    if version is None or _kind(lines[-1]) not in ("completion", "digest"):
        raise VerificationError("the report does not say which garak began it, or that it came to its end")
    found: dict[str, dict[str, Measure]] = {}
    for line in lines:
        if _kind(line) == "eval":
            probe, detector, measure = _evaluated(line)
            if detector in found.setdefault(probe, {}):
                raise VerificationError(f"{probe[:80]!a} with {detector[:80]!a} is there twice")
            found[probe][detector] = measure
    if not found:
        raise VerificationError("nothing was evaluated")
    _check_attempts(lines, found)
    return Reported(version[:80], {probe: Task(version[:80], by) for probe, by in found.items()})


def _evaluated(line: dict[str, Any]) -> tuple[str, str, Measure]:
    probe, detector = member(line, "probe", str, "an evaluation"), member(line, "detector", str, "an evaluation")
    total = member(line, "total_evaluated", int, probe[:80])
    passed = member(line, "passed", int, probe[:80])
    if line.get("nones", 0) != 0 or line.get("fails") != total - passed:
        raise VerificationError(f"{probe[:80]!a}: {passed} of {total} passed, and the rest did not all fail")
    return probe, detector.removeprefix(_PREFIX), whole(passed, total, probe[:80])


def _check_attempts(lines: list[dict[str, Any]], found: Mapping[str, Mapping[str, Measure]]) -> None:
    """Raise `VerificationError` unless each attempt came to its end, once, and their results are those that count."""
    attempts = [line for line in lines if _kind(line) == "attempt"]
    done = [line for line in attempts if member(line, "status", int, "an attempt") == _DONE]
    if (begun := _names(line for line in attempts if line["status"] != _DONE)) != _names(done):
        raise VerificationError(f"of {len(begun)} attempts {len(done)} came to their end")
    judged: dict[tuple[str, str], list[float]] = {}
    for line in done:
        probe = member(line, "probe_classname", str, "an attempt")
        if probe not in found:
            raise VerificationError(f"probe {probe[:80]!a} was tried and not evaluated")
        _judge(line, probe, judged)
    for probe, by in found.items():
        for detector, measure in by.items():
            _check_counted(f"{probe[:80]!a} with {detector[:80]!a}", measure, judged.get((probe, detector), []))


def _names(attempts: Iterable[dict[str, Any]]) -> set[str]:
    names = [member(line, "uuid", str, "an attempt") for line in attempts]
    if twice := next((name for name, times in Counter(names).items() if times > 1), None):
        raise VerificationError(f"attempt {twice[:80]!a} is there twice")
    return set(names)


def _judge(line: dict[str, Any], probe: str, judged: dict[tuple[str, str], list[float]]) -> None:
    for detector, results in member(line, "detector_results", dict, "an attempt").items():
        if not isinstance(results, list) or not all(type(each) in (int, float) and 0 <= each <= 1 for each in results):
            raise VerificationError(f"an attempt of {probe[:80]!a} was not answered, or not judged")
        judged.setdefault((probe, detector.removeprefix(_PREFIX)), []).extend(results)


def _check_counted(what: str, measure: Measure, results: list[float]) -> None:
    """Raise `VerificationError` unless a count is that of the results, wherever between 0 and 1 its threshold was."""
    surely, hardly = sum(not each for each in results), sum(each < 1 for each in results)
    if measure.of != len(results) or not surely <= (measure.passed or 0) <= hardly:
        raise VerificationError(f"{what}: {measure.passed} of {measure.of} are counted, and {len(results)} were judged")


def _kind(line: dict[str, Any]) -> object:
    return line.get("entry_type")
