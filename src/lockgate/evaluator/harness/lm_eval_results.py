"""What did lm-eval find? Its results (JSON): means of metrics over samples, whose hash says which they were.

A mean over n samples is a count only if n times it is a whole number; else it is a value. Samples that were left out by
`--limit` make `effective` less than `original`, and such a run is refused: it shows another task.
"""

import re
from fractions import Fraction
from typing import Any

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.harness.reported import Reported, Task, member, parsed, whole

_METRIC = re.compile(r"(?P<metric>[a-z0-9_]{1,80}),(?P<filter>[a-z0-9_-]{1,80})")
_HASH = re.compile(r"[0-9a-f]{64}")
_NEAR = Fraction(1, 1_000_000)


def read_lm_eval(report: bytes) -> Reported:
    """Read results; the version of a task ends with the hash of its samples, a metric is a count or a value."""
    found = parsed(report)
    version = member(found, "lm_eval_version", str)[:80]
    sizes = member(found, "n-samples", dict)
    if not sizes:
        raise VerificationError("the results have no task")
    return Reported(version, {task: _task(task, found) for task in sizes})


def _task(task: str, found: dict[str, Any]) -> Task:
    results, sizes, versions = (member(found, name, dict) for name in ("results", "n-samples", "versions"))
    sample_hash = member(member(found, "task_hashes", dict), task, str, "without --log_samples the report")
    size = member(sizes, task, dict)
    original, effective = size.get("original"), size.get("effective")
    if type(original) is not int or original != effective or original < 1:
        raise VerificationError(
            f"{task[:80]!a} ran on {str(effective)[:40]} of {str(original)[:40]} samples, not on all"
        )
    if not _HASH.fullmatch(sample_hash):
        raise VerificationError(f"{task[:80]!a} has no hash of its samples")
    measures = {}
    for name, value in member(results, task, dict).items():
        named = _METRIC.fullmatch(name)
        if named and not named["metric"].endswith("_stderr"):
            measures[f"{named['metric']},{named['filter']}"] = _measure(
                value, original, f"{task[:80]} {named['metric']}"
            )
    if not measures:
        raise VerificationError(f"{task[:80]!a} has no metric")
    return Task(f"{versions.get(task)} {sample_hash}", measures)


def _measure(value: object, samples: int, what: str) -> Measure:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise VerificationError(f"{what} is {str(value)[:40]!a}, which is no number")
    right = Fraction(value) * samples
    if 0 <= value <= 1 and abs(right - round(right)) < _NEAR * samples:
        return whole(round(right), samples, what)
    return Measure(value=f"{value:.12f}".rstrip("0").rstrip("."))
