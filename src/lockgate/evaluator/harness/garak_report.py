"""What did garak find? The lines of its report (JSONL): a line for each probe and detector.

garak counts what *failed*, and ends with 0 whatever it found, also when nobody answered. A measure here counts what
passed, and a report without its last line is one of a run that did not end.
"""

from collections.abc import Mapping
from typing import Any

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.harness.reported import MAX_REPORT, Reported, Task, member, parsed, whole

_DONE = 2  # the status of an attempt that was answered and judged


def read_garak(report: bytes) -> Reported:
    """Read a report; each `probe/detector` passed so many times. Raise `VerificationError` for half of one."""
    if not 0 < len(report) <= MAX_REPORT or not report.endswith(b"\n"):
        raise VerificationError("the report is empty, too large, or cut off")
    lines = [parsed(line) for line in report[:-1].split(b"\n")]
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
    return probe, detector.removeprefix("detector."), whole(passed, total, probe[:80])


def _check_attempts(lines: list[dict[str, Any]], found: Mapping[str, object]) -> None:
    """Raise `VerificationError` if an attempt is there twice in one state, or of a probe that was never evaluated."""
    seen = set()
    for line in lines:
        if _kind(line) != "attempt":
            continue
        named = member(line, "uuid", str, "an attempt"), member(line, "status", int, "an attempt")
        if named in seen:
            raise VerificationError(f"attempt {named[0][:80]!a} is there twice")
        seen.add(named)
        probe = member(line, "probe_classname", str, "an attempt")
        if named[1] == _DONE and probe not in found:
            raise VerificationError(f"probe {probe[:80]!a} was tried and not evaluated")


def _kind(line: dict[str, Any]) -> object:
    return line.get("entry_type")
