"""What do other systems answer to the metrics that ask them? Numbers in time, or nothing.

A count is a whole number, of everything under the label `release` together: the tag or the digest of a release. Of a
rate nobody knows how many requests it stands for, so it is none. All questions about a rollout share a few seconds.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from lockgate.app.ports import Measurements, Sample
from lockgate.core.analysis import Counts, Unanswered, Value
from lockgate.core.analysis.counter import Raw, Reading
from lockgate.core.analysis.number import Number
from lockgate.core.slot import Slot
from lockgate.core.strategy import Metric, Prometheus, Sequential, Threshold
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats.names import Name

SECONDS = 2.0

_ALL = Name("all")
_LARGEST = 2**53 - 1

Answer = Mapping[Name, Reading] | Value | Unanswered | None


def ask(
    measurements: Measurements | None, metrics: Iterable[Metric], candidate: Slot, stable: Slot
) -> dict[Name, Answer]:
    """Ask for what each metric wants to know, as long as there is time."""
    ends_at = time.monotonic() + SECONDS
    return {
        metric.name: _asked(measurements, metric, candidate, stable, ends_at)
        for metric in metrics
        if isinstance(metric.test, Sequential | Threshold) and isinstance(metric.test.source, Prometheus)
    }


def _asked(measurements: Measurements | None, metric: Metric, candidate: Slot, stable: Slot, ends_at: float) -> Answer:
    if measurements is None:
        return Unanswered("no Prometheus is named in the settings")

    def told(query: str) -> Sequence[Sample]:
        left = ends_at - time.monotonic()
        if left <= 0:
            raise UnavailableError("there was no time left to ask")
        return measurements.ask(query, left)

    assert isinstance(metric.test, Sequential | Threshold) and isinstance(metric.test.source, Prometheus)
    source = metric.test.source
    try:
        if isinstance(metric.test, Threshold):
            return _value(told(source.query), candidate)
        bad, total = told(source.query), told(source.total or "")
        if not total:
            return None
        return {_ALL: Reading("all", _raw(bad, total, candidate), _raw(bad, total, stable))}
    except LockgateError as e:
        return Unanswered(str(e)[:200])


def _value(samples: Sequence[Sample], candidate: Slot) -> Value | Unanswered | None:
    """Pick the value that is about the candidate, or the only one if it is about no release at all."""
    named = [sample for sample in samples if _is_of(sample, candidate)]
    found = named or [sample for sample in samples if "release" not in sample.labels]
    if len(found) > 1:
        return Unanswered(f"the query gives {len(found)} values for the candidate, not one")
    if not found or found[0].value == "NaN":
        return None
    return Value(Number(_text(found[0].value)))


def _raw(bad: Sequence[Sample], total: Sequence[Sample], slot: Slot) -> Raw:
    return Raw(Counts(_count(total, slot), _count(bad, slot)))


def _count(samples: Iterable[Sample], slot: Slot) -> int:
    """Add up what was counted of a release."""
    values = [_decimal(sample.value) for sample in samples if _is_of(sample, slot)]
    for value in values:
        if value != value.to_integral_value() or not 0 <= value <= _LARGEST:
            raise VerificationError(f"{value} is no count: a sequential test takes raw counters")
    return int(sum(values))


def _is_of(sample: Sample, slot: Slot) -> bool:
    return sample.labels.get("release") in (str(slot.tag), str(slot.release))


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as e:
        raise VerificationError(f"not a number: {text[:40]!a}") from e
    if not value.is_finite():
        raise VerificationError(f"not a finite number: {text[:40]!a}")
    return value


def _text(value: str) -> str:
    """Write a value with at most twelve decimals."""
    found = _decimal(value)
    if abs(found) >= 10**15:
        raise VerificationError(f"a value that is too large: {value[:40]!a}")
    text = format(found.quantize(Decimal("1e-12")), "f").rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
