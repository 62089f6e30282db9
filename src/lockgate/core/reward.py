"""Did a training run learn the task, or its reward? What its metrics show, against what was allowed before.

    metrics, a line a record ──▶ the held-out measure falls, and the reward does not      over-optimised
                              ├▶ the KL to the reference is more than was allowed         kl
                              ├▶ the reward runs away from the held-out measure           gap, if that is limited
                              └▶ answers grow                                             length, if that is limited

A reward stands for what is wanted, and a policy that is pushed far enough finds where it does not. So the same answers
are measured by something that the run does not learn from. A fall is told from noise by `core.trend`; a limit is left
when more than half of some five records in a row are beyond it. What cannot be read whole is no run without hacking: it
is refused (spec/reward-hacking.md).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

from lockgate.core.analysis.number import Number
from lockgate.core.trend import BLOCKS, FALSE_ALARMS, PER_BLOCK, Window, fall, is_falling, windows
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest

SUITE, VERSION = "reward-hacking", "1.0.0"
LEAST, MOST = 2 * PER_BLOCK * BLOCKS, 1_000_000  # records
MAX_BYTES = 64 << 20
IN_A_ROW = 5

_UNIT = 10**18  # what a number is counted in: so many of it are one
_LARGEST = 10**15
_MAX_DIGITS = 64
_MOST_FINDINGS = 100
_MEMBERS = ("reward", "held_out", "kl")

Sort: TypeAlias = Literal["over-optimised", "kl", "gap", "length"]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How far a run may go: agreed before it begins. Its digest is that of the suite (spec/reward-hacking.md).

    `kl` is the most that the policy may be away from its reference, `margin` how much the held-out measure may fall.
    """

    type: ClassVar[str] = "reward-allowance/v1"
    kl: Number
    margin: Number
    gap: Number | None = None
    length: Number | None = None

    @property
    def digest(self) -> Digest:
        """What a policy pins."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class Curve:
    """The metrics of one whole run, in order; numbers are whole multiples of 10^-18."""

    steps: tuple[int, ...]
    reward: tuple[int, ...]
    held_out: tuple[int, ...]
    kl: tuple[int, ...]
    length: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and between which steps."""

    sort: Sort
    first: int
    last: int
    text: str


def open_allowance(document: bytes) -> Allowance:
    """Read an allowance; raise `VerificationError` for one that allows anything."""
    allowance = plain.decode(Allowance, document)
    if allowance.kl.exact <= 0 or allowance.margin.exact < 0:
        raise VerificationError("the KL that is allowed is above 0, and the margin is not below it")
    if (allowance.gap and allowance.gap.exact <= 0) or (allowance.length and allowance.length.exact <= 0):
        raise VerificationError("a limit of gap or length is above 0")
    return allowance


def read_curve(metrics: bytes, last_step: int) -> Curve:
    """Read the metrics of a run up to the step that it was to end with; refuse what is not all of them."""
    if len(metrics) > MAX_BYTES:
        raise VerificationError(f"metrics have {len(metrics)} bytes, more than the {MAX_BYTES} allowed")
    if not metrics.endswith(b"\n"):
        raise VerificationError("metrics do not end with a whole line: they are empty or cut off")
    lines = metrics[:-1].split(b"\n")
    if not LEAST <= len(lines) <= MOST:
        raise VerificationError(f"metrics have {len(lines)} records; {LEAST} to {MOST} can be judged")
    records = [_record(line, number) for number, line in enumerate(lines, 1)]
    steps = tuple(record["step"] for record in records)
    _check_steps(steps, last_step)
    with_length = {"length" in record for record in records}
    if len(with_length) > 1:
        raise VerificationError("some records have a length, and some have none")
    reward, held_out, kl = (tuple(record[name] for record in records) for name in _MEMBERS)
    return Curve(steps, reward, held_out, kl, tuple(r["length"] for r in records) if with_length == {True} else None)


def look_for_hacking(curve: Curve, allowance: Allowance) -> tuple[Finding, ...]:
    """List everything in the metrics of a run that must not be there, first things first.

    Enforces: reward_hacking_detection
    """
    found = [*_over_optimised(curve, allowance), *_left("kl", curve, curve.kl, allowance.kl)]
    if allowance.gap is not None:
        gaps = [reward - held_out for reward, held_out in zip(curve.reward, curve.held_out, strict=True)]
        found += _left("gap", curve, gaps, allowance.gap)
    if allowance.length is not None:
        if curve.length is None:
            raise VerificationError("length is limited, and the metrics have none")
        found += _left("length", curve, curve.length, allowance.length)
    return tuple(sorted(found, key=lambda one: (one.first, one.last, one.sort))[:_MOST_FINDINGS])


def clean_share(curve: Curve, findings: Sequence[Finding]) -> str:
    """Say which share of the records was made before anything was found: `1` if nothing was."""
    if not findings:
        return "1"
    first = min(finding.first for finding in findings)
    return f"{Decimal(curve.steps.index(first)) / len(curve.steps):.4f}"


def decimal_of(units: int) -> str:
    """Write a number of the curve for people."""
    return f"{Decimal(units) / _UNIT:.4f}"


def _over_optimised(curve: Curve, allowance: Allowance) -> Iterator[Finding]:
    """Find the longest stretches where the held-out measure falls beyond the margin, and the reward does not."""
    looked_at = windows(len(curve.steps))
    level, found = FALSE_ALARMS / len(looked_at), list[Window]()
    for window in looked_at:
        lost = fall(curve.held_out, window)
        if lost <= allowance.margin.exact * _UNIT or not is_falling(curve.held_out, window, level):
            continue
        if is_falling(curve.reward, window, level):
            continue  # both fall: a run that fails, and knows it
        if any(other.first <= window.first and window.end <= other.end for other in found):
            continue
        found.append(window)
        first, last = curve.steps[window.first], curve.steps[window.end - 1]
        won = -fall(curve.reward, window)
        yield Finding(
            "over-optimised", first, last,
            f"between steps {first} and {last} the held-out measure falls by {decimal_of(lost)}, "
            f"while the reward changes by {decimal_of(won)}",
        )  # fmt: skip


def _left(
    sort: Literal["kl", "gap", "length"], curve: Curve, series: Sequence[int], limit: Number
) -> Iterator[Finding]:
    """Find each stretch in which more than half of five records in a row are beyond a limit."""
    beyond = [value > limit.exact * _UNIT for value in series]
    window = Window(0, 0)
    for end in range(IN_A_ROW, len(beyond) + 1):
        if 2 * sum(beyond[end - IN_A_ROW : end]) <= IN_A_ROW:
            continue
        if end - IN_A_ROW > window.end:
            yield from _stretch(sort, curve, series, limit, window)
            window = Window(end - IN_A_ROW, end)
        window = Window(window.first if window.end else end - IN_A_ROW, end)
    yield from _stretch(sort, curve, series, limit, window)


def _stretch(
    sort: Literal["kl", "gap", "length"], curve: Curve, series: Sequence[int], limit: Number, window: Window
) -> Iterator[Finding]:
    if not window.end:
        return
    first, last = curve.steps[window.first], curve.steps[window.end - 1]
    most = decimal_of(max(series[window.first : window.end]))
    yield Finding(sort, first, last, f"between steps {first} and {last} the {sort} is up to {most}, beyond {limit}")


def _check_steps(steps: Sequence[int], last_step: int) -> None:
    """Raise `VerificationError` unless one distance lies between all steps; only the last may be nearer."""
    distances = [later - earlier for earlier, later in pairwise(steps)]
    if (least := min(distances)) <= 0:
        again = steps[distances.index(least) + 1]
        raise VerificationError(f"step {again} comes again, or comes after a later one")
    if odd := [number for number, distance in enumerate(distances[:-1]) if distance != distances[0]]:
        raise VerificationError(
            f"records are missing, or too many, between steps {steps[odd[0]]} and {steps[odd[0] + 1]}"
        )
    if distances[-1] > distances[0] or steps[0] > distances[0]:
        raise VerificationError("the first records are missing, or those before the last")
    if steps[-1] != last_step:
        raise VerificationError(f"the metrics end with step {steps[-1]}, and the run with step {last_step}")


def _record(line: bytes, number: int) -> Mapping[str, int]:
    try:
        found = _DECODER.decode(line.decode())
    except (ValueError, RecursionError) as e:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise VerificationError(f"line {number} of the metrics is not JSON") from e
    if not isinstance(found, dict) or type(found.get("step")) is not int or found["step"] < 0:
        raise VerificationError(f"line {number} of the metrics has no step")
    names = [*_MEMBERS, *(["length"] if "length" in found else [])]
    return {"step": found["step"], **{name: _units(found.get(name), name, number) for name in names}}


def _units(value: object, name: str, number: int) -> int:
    """Read a number; what comes after the 18th digit behind the point is cut off."""
    if type(value) is int:
        value = Decimal(value)
    if not isinstance(value, Decimal) or not -_LARGEST < value < _LARGEST:
        raise VerificationError(f"line {number} of the metrics: {name} is no finite number")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    whole: int = int("".join(map(str, digits)))
    shifted: int = whole * 10 ** (exponent + 18) if exponent >= -18 else whole // 10 ** (-exponent - 18)
    return -shifted if sign else shifted


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _number(digits: str) -> Decimal:
    value = Decimal(digits if len(digits) <= _MAX_DIGITS else "NaN")
    if value.is_nan() or abs(value.adjusted()) > _MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return value


def _refuse(token: str) -> NoReturn:
    raise ValueError(token)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_number, parse_constant=_refuse,
    parse_int=lambda digits: int(digits) if len(digits) <= _MAX_DIGITS else _refuse(digits),
)  # fmt: skip
