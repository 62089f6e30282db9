"""What does a report of another harness come to? Counts by task and scorer; half a report is none.

A report is bytes that foreign code wrote. It is read within limits and believed in nothing that can be counted again:
every sample once, each of them finished, none with an error. What a harness ends with as its exit code proves nothing.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from lockgate.core.measure import Measure, check_measure
from lockgate.errors import VerificationError

T = TypeVar("T")
MAX_REPORT = 64 << 20
MOST_SAMPLES = 1_000_000
_LONGEST = 300
_LARGEST, _DIGITS = 1e18, 18  # of a number


@dataclass(frozen=True, slots=True)
class Task:
    """What one task of a suite counted, by scorer; and which samples, if the harness names them."""

    version: str
    measures: Mapping[str, Measure]
    samples: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report says: which version of the harness ran which tasks, and what they counted."""

    harness_version: str
    tasks: Mapping[str, Task]


def together(reports: Iterable[Reported]) -> Reported:
    """Put reports about different tasks together; raise `VerificationError` for a task that was reported twice."""
    tasks: dict[str, Task] = {}
    versions = set()
    for report in reports:
        versions.add(report.harness_version)
        if twice := sorted(tasks.keys() & report.tasks.keys()):
            raise VerificationError(f"task {twice[0][:_LONGEST]!a} is reported twice")
        tasks |= report.tasks
    if len(versions) != 1:
        raise VerificationError(f"{len(versions)} versions of the harness have reported, not one")
    return Reported(versions.pop(), tasks)


def picked(reported: Reported, wanted: Mapping[str, str], versions: Mapping[str, str]) -> Mapping[str, Measure]:
    """Find each measure where the suite says it is, as `TASK/SCORER`; every task in the version that it names."""
    for task, version in versions.items():
        found = reported.tasks.get(task)
        if found is None:
            raise VerificationError(f"task {task[:_LONGEST]!a} is missing in the report")
        if found.version != version:
            raise VerificationError(f"task {task[:_LONGEST]!a} ran in version {found.version[:80]!a}, not {version!a}")
    return {measure: _found(reported, where) for measure, where in wanted.items()}


def sampled(reported: Reported, wanted: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Find the samples that each measure counted; raise `VerificationError` where the harness names none."""
    found = {measure: reported.tasks[where.rpartition("/")[0]].samples for measure, where in wanted.items()}
    for measure, samples in found.items():
        if samples is None:
            raise VerificationError(
                f"{measure[:80]!a}: its reports do not name samples, so shards cannot be told apart"
            )
    return {measure: samples for measure, samples in found.items() if samples is not None}


def counted(outcomes: Iterable[tuple[object, bool]], what: str) -> Measure:
    """Count which samples passed, each by its own id; raise `VerificationError` for none, or for one twice."""
    seen: set[object] = set()
    passed = 0
    for sample, good in outcomes:
        if sample in seen:
            raise VerificationError(f"{what}: sample {str(sample)[:80]!a} is there twice")
        seen.add(sample)
        passed += good
    return whole(passed, len(seen), what)


def whole(passed: object, of: object, what: str) -> Measure:
    """Make a count of two numbers; raise `VerificationError` unless something was tried, and no more of it passed."""
    if type(passed) is not int or type(of) is not int or not 0 < of <= MOST_SAMPLES:
        raise VerificationError(f"{what}: it counts {str(passed)[:40]} of {str(of)[:40]}, which shows nothing")
    measure = Measure(passed, of)
    check_measure(what[:80], measure)
    return measure


def parsed(report: bytes, most: int = MAX_REPORT) -> dict[str, Any]:
    """Read a JSON object in which nothing is given twice; raise `VerificationError` for other bytes."""
    if not 0 < len(report) <= most:
        raise VerificationError(f"a report has 1 to {most} bytes, not {len(report)}")
    try:
        found = _DECODER.decode(report.decode())
    except (ValueError, RecursionError) as e:
        raise VerificationError(f"the report is not JSON: {str(e)[:100]!a}") from e
    if not isinstance(found, dict):
        raise VerificationError("the report is not a JSON object")
    return found


def member(value: object, name: str, kind: type[T], where: str = "the report") -> T:
    """Read a member of an object; raise `VerificationError` unless it is there and of its kind."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind) or type(found) is not kind:
        raise VerificationError(f"{where} has no {kind.__name__} {name}")
    return found


def _found(reported: Reported, where: str) -> Measure:
    task, _, scorer = where.rpartition("/")
    found = reported.tasks.get(task)
    if found is None or scorer not in found.measures:
        raise VerificationError(f"nothing was reported as {where[:_LONGEST]!a}")
    return found.measures[scorer]


def _unique(pairs: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _refuse(token: str) -> NoReturn:
    raise ValueError(f"{token} is no number")


def _finite(text: str) -> float:
    found = float(text)
    return found if abs(found) <= _LARGEST else _refuse(text[:40])


def _whole(text: str) -> int:
    return int(text) if len(text) <= _DIGITS else _refuse(text[:40])


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
