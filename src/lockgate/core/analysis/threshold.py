"""Is an absolute promise broken? So many failed measurements, or errors in a row; stable is not asked.

    counts of the candidate   added up until there are `min_requests`, then measured once: one bad of three says nothing
    a value from elsewhere    measured at once
    an error from elsewhere   `consecutive_error_limit` in a row are allowed

Nothing here is bounded by alpha: a promise is a promise, also when stable breaks it. It was kept if most measurements
say so: failures that are allowed are no evidence that it was.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from operator import ge, gt, le, lt
from typing import ClassVar, TypeAlias

from lockgate.core.analysis.finding import Conclusion, Failures, Finding, Trigger
from lockgate.core.analysis.metric import Threshold
from lockgate.core.analysis.number import Number, decimal_text
from lockgate.core.analysis.table import NONE, Counts, Table, check_counted, total


@dataclass(frozen=True, slots=True)
class Value:
    """What another system measured. What is no number is an `Unanswered`."""

    value: Number


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Another system was asked and gave no number."""

    why: str


COMPARES = {">": gt, ">=": ge, "<": lt, "<=": le}

Measurable: TypeAlias = tuple[Table, ...] | Value | Unanswered | None


@dataclass(frozen=True, slots=True)
class ThresholdTally:
    """What is known so far; `pending` is what was counted since the last measurement."""

    type: ClassVar[str] = "threshold"
    candidate: Counts
    stable: Counts
    pending: Counts
    measured: int
    failed: int
    errors: int
    missing: int
    broken: Trigger | None = None
    value: str | None = None

    def __post_init__(self) -> None:
        check_counted(self.failed, self.measured - self.failed, self.errors, self.missing)


def nothing_measured() -> ThresholdTally:
    """Begin with nothing known."""
    return ThresholdTally(NONE, NONE, NONE, measured=0, failed=0, errors=0, missing=0)


def measure(metric: Threshold, tally: ThresholdTally, found: Measurable) -> ThresholdTally:
    """Take what one look brought."""
    match found:
        case Value():
            return _measured(metric, replace(tally, errors=0, missing=0), found.value.exact)
        case Unanswered():
            return _broken(metric, replace(tally, errors=tally.errors + 1, missing=tally.missing + 1))
        case None:
            return replace(tally, missing=tally.missing + 1)
        case _:
            return _counted(metric, tally, found)


def conclude_threshold(metric: Threshold, tally: ThresholdTally) -> Finding:
    """Say what the measurements come to."""
    conclusion, trigger = Conclusion.INCONCLUSIVE, tally.broken
    if trigger is not None:
        conclusion = Conclusion.FAILED
    elif tally.missing >= metric.consecutive_missing:
        conclusion, trigger = Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING
    elif tally.measured - tally.failed > tally.failed:
        conclusion = Conclusion.HEALTHY
    return Finding(
        name=metric.name,
        conclusion=conclusion,
        says=_said(metric, tally),
        dry_run=metric.dry_run,
        candidate=tally.candidate,
        stable=tally.stable,
        missing=tally.missing,
        trigger=trigger,
        failures=Failures(tally.measured, tally.failed, metric.failure_limit, tally.errors, tally.value),
    )


def _counted(metric: Threshold, tally: ThresholdTally, tables: tuple[Table, ...]) -> ThresholdTally:
    candidate = total(table.candidate for table in tables)
    if not candidate.n:
        return replace(tally, missing=tally.missing + 1)
    tally = replace(
        tally,
        candidate=tally.candidate.plus(candidate),
        stable=tally.stable.plus(total(table.stable for table in tables)),
        pending=tally.pending.plus(candidate),
        errors=0,
        missing=0,
    )
    if tally.pending.n < metric.min_requests:
        return tally
    return replace(_measured(metric, tally, Fraction(tally.pending.bad, tally.pending.n)), pending=NONE)


def _measured(metric: Threshold, tally: ThresholdTally, value: Fraction) -> ThresholdTally:
    measured, failed = tally.measured + 1, tally.failed + COMPARES[metric.fails](value, metric.bound.exact)
    return _broken(metric, replace(tally, measured=measured, failed=failed, value=decimal_text(float(value))))


def _broken(metric: Threshold, tally: ThresholdTally) -> ThresholdTally:
    """Remember which limit was passed first."""
    if tally.broken is None and tally.failed > metric.failure_limit:
        return replace(tally, broken=Trigger.FAILURE_LIMIT)
    if tally.broken is None and tally.errors > metric.consecutive_error_limit:
        return replace(tally, broken=Trigger.CONSECUTIVE_ERROR_LIMIT)
    return tally


def _said(metric: Threshold, tally: ThresholdTally) -> str:
    last = "none yet" if tally.value is None else f"the last {tally.value}"
    failed = f"{tally.failed} of {tally.measured} measurements {metric.fails} {metric.bound}, {last}"
    failed += f" ({metric.failure_limit} allowed)"
    if not tally.errors:
        return failed
    return f"{failed}; {tally.errors} errors in a row ({metric.consecutive_error_limit} allowed)"
