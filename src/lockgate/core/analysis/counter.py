"""What was counted since the last reading? Raw counters of several nodes, differenced here: rates are no counts.

    first heard, or silent at the last reading   begins here: nobody knows under which weights it counted
    another incarnation, or a counter went down  it counted from zero: all that it shows is new
    more than a table holds, or what cannot be   begins here

What is left out is left out without a look at how many were bad, so leaving it out proves nothing for anybody.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import ClassVar

from lockgate.core.analysis.table import LARGEST, Counts, Histogram, Spread, Table, total
from lockgate.errors import VerificationError
from lockgate.formats.names import Name

MAX_NODES = 4096


@dataclass(frozen=True, slots=True)
class Raw:
    """What the counters of one arm show on one node: how many were completed, how many bad, how long they took."""

    counts: Counts
    times: Histogram | None = None

    def since(self, before: "Raw") -> "Raw":
        """Take off what was counted before, unless these counters began anew since."""
        if _fell(before, self):
            return self
        counts = Counts(self.counts.n - before.counts.n, self.counts.bad - before.counts.bad)
        if self.times is None or before.times is None:
            return Raw(counts)
        return Raw(
            counts, Histogram(self.times.bounds, tuple(map(int.__sub__, self.times.counts, before.times.counts)))
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What one node shows of both arms at one moment. An `incarnation` is one start of what counts."""

    incarnation: str
    candidate: Raw
    stable: Raw


@dataclass(frozen=True, slots=True)
class Counters:
    """The last reading of every node that was heard."""

    type: ClassVar[str] = "counters/v1"
    last: Mapping[Name, Reading]


@dataclass(frozen=True, slots=True)
class Step:
    """What was counted in one interval; `spread` only if it was timed."""

    table: Table
    spread: Spread | None


def advance(counters: Counters, readings: Mapping[Name, Reading]) -> tuple[Counters, tuple[Step, ...]]:
    """Say what each node counted since the last reading, and remember this one.

    A node that shows what cannot be is left out: more bad than all since then, or other bounds than before.
    """
    counters, steps = advance_each(counters, readings)
    return counters, tuple(steps.values())


def advance_each(counters: Counters, readings: Mapping[Name, Reading]) -> tuple[Counters, Mapping[Name, Step]]:
    """Do the same, and tell the nodes apart."""
    if len(readings) > MAX_NODES:
        raise VerificationError(f"{len(readings)} nodes, more than {MAX_NODES}")
    known = {node: now for node, now in sorted(readings.items()) if node in counters.last}
    steps = {node: _step(counters.last[node], now) for node, now in known.items()}
    return Counters(readings), {node: step for node, step in steps.items() if step is not None}


def together(steps: Iterable[Step]) -> Step:
    """Add up the nodes: right as long as all of them have the same weights. A full table leaves the largest out."""
    steps = _held(steps)
    table = Table(total(step.table.candidate for step in steps), total(step.table.stable for step in steps))
    spreads = [step.spread for step in steps if step.spread is not None]
    if not spreads:
        return Step(table, None)
    candidate = reduce(Histogram.plus, (spread.candidate for spread in spreads))
    return Step(table, Spread(candidate, reduce(Histogram.plus, (spread.stable for spread in spreads))))


def _held(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Take as many of them as one table holds, the smallest first."""
    rising = sorted(steps, key=_size)
    upto = list(accumulate(map(_size, rising)))
    return tuple(step for step, size in zip(rising, upto, strict=True) if size <= LARGEST)


def _size(step: Step) -> int:
    spread = (step.spread.candidate.n, step.spread.stable.n) if step.spread else ()
    return max(step.table.candidate.n, step.table.stable.n, *spread)


def _step(before: Reading, now: Reading) -> Step | None:
    try:
        anew = before.incarnation != now.incarnation
        candidate = now.candidate if anew else now.candidate.since(before.candidate)
        stable = now.stable if anew else now.stable.since(before.stable)
        if any(size > LARGEST for arm in (candidate, stable) for size in _sizes(arm)):
            return None
        table = Table(candidate.counts, stable.counts)
        if candidate.times is None or stable.times is None:
            return Step(table, None)
        return Step(table, Spread(candidate.times, stable.times))
    except VerificationError:
        return None


def _sizes(arm: Raw) -> tuple[int, int]:
    return arm.counts.n, 0 if arm.times is None else arm.times.n


def _fell(before: Raw, now: Raw) -> bool:
    """Say whether any counter is lower than it was; raise `VerificationError` if they cannot be compared."""
    lower = now.counts.n < before.counts.n or now.counts.bad < before.counts.bad
    if now.times is None or before.times is None:
        return lower
    if now.times.bounds != before.times.bounds:
        raise VerificationError("the bounds of a histogram changed without a new incarnation")
    return lower or any(map(int.__lt__, now.times.counts, before.times.counts))
