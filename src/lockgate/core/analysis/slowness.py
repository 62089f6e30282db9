"""Is the candidate slower than stable? More of it takes longer than what half, 90 %, 99 % … of stable took before.

The marks are set before an interval is seen, by what stable took earlier, so the interval cannot move them. Each
quantile has a row of odds of its own; the mean of their e-values is an e-value again. Beyond `FADES` times count half.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate
from math import ceil
from typing import ClassVar

from lockgate.core.analysis.finding import Conclusion, Finding
from lockgate.core.analysis.metric import FREQUENT, Latency
from lockgate.core.analysis.number import Exact
from lockgate.core.analysis.odds import Row, add, log_mean, log_sound, log_worse, upper_bound
from lockgate.core.analysis.sequential import MEANING, e_values, judge, shares, weighed
from lockgate.core.analysis.table import NONE, Counts, Histogram, Spread, check_counted

FADES = 1_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known at one quantile: how many of each arm were slower, and the row of odds."""

    candidate: Counts
    stable: Counts
    row: Row


@dataclass(frozen=True, slots=True)
class LatencyTally:
    """What is known so far; `before` is how long stable took until now."""

    type: ClassVar[str] = "latency"
    marks: tuple[Mark, ...]
    peak: Exact
    missing: int
    before: Histogram | None = None

    def __post_init__(self) -> None:
        check_counted(self.missing)


def nothing_timed(metric: Latency) -> LatencyTally:
    """Begin with nothing known. The first interval, or `learn`, teaches what stable takes."""
    return LatencyTally((Mark(NONE, NONE, weighed(metric).empty),) * len(metric.quantiles), Exact(0), 0)


def learn(tally: LatencyTally, stable: Histogram) -> LatencyTally:
    """Remember how long stable took."""
    before = stable if tally.before is None else tally.before.plus(stable)
    if before.n > FADES:
        before = Histogram(before.bounds, tuple(count // 2 for count in before.counts))
    return replace(tally, before=before)


def time(metric: Latency, tally: LatencyTally, spreads: tuple[Spread, ...]) -> LatencyTally:
    """Take the times of one interval: of all nodes together, or of each."""
    if not any(spread.candidate.n and spread.stable.n for spread in spreads):
        tally = replace(tally, missing=tally.missing + 1)
    elif tally.before is not None and tally.before.n:
        tally = _compare(metric, tally, tally.before, spreads)
    return reduce(learn, (spread.stable for spread in spreads), tally)


def _compare(metric: Latency, tally: LatencyTally, before: Histogram, spreads: Iterable[Spread]) -> LatencyTally:
    """Count, at each quantile, what took longer than stable did before."""
    odds, marks = weighed(metric), list(tally.marks)
    for spread in spreads:
        for place, bucket in enumerate(buckets(metric, before)):
            table, mark = spread.slower(bucket), marks[place]
            row = add(mark.row, table, odds)
            marks[place] = Mark(mark.candidate.plus(table.candidate), mark.stable.plus(table.stable), row)
    worse = log_mean([log_worse(mark.row, odds) for mark in marks])
    return replace(tally, marks=tuple(marks), peak=Exact(max(tally.peak, worse)), missing=0)


def buckets(metric: Latency, before: Histogram) -> list[int]:
    """Find the bucket in which each quantile of earlier times lies."""
    up_to = list(accumulate(before.counts))
    return [bisect_left(up_to, ceil(quantile.exact * up_to[-1])) for quantile in metric.quantiles]


def conclude_slowness(metric: Latency, tally: LatencyTally) -> Finding:
    """Say what the numbers come to: of the quantile that speaks loudest if it failed, else of the weakest."""
    odds, marks = weighed(metric), dict(zip(metric.quantiles, tally.marks, strict=True))
    loudest = max(marks, key=lambda quantile: log_worse(marks[quantile].row, odds))
    waited_for = [quantile for quantile in marks if quantile.exact <= FREQUENT]
    weakest = min(waited_for, key=lambda quantile: log_sound(marks[quantile].row, odds))
    sound, bound = log_sound(marks[weakest].row, odds), upper_bound(marks[weakest].row, odds, float(metric.bounds.beta))
    conclusion, trigger = judge(metric, tally.peak, sound, tally.missing)
    quantile = loudest if conclusion is Conclusion.FAILED else weakest
    shown, beyond = marks[quantile], f"took longer than {float(quantile.exact * 100):g} % of stable's before"
    return Finding(
        name=metric.name,
        conclusion=conclusion,
        says=f"{shares(shown.candidate, shown.stable)} {beyond}: {MEANING[conclusion]}",
        dry_run=metric.dry_run,
        candidate=shown.candidate,
        stable=shown.stable,
        missing=tally.missing,
        trigger=trigger,
        quantile=quantile,
        e_values=e_values(metric, tally.peak, sound, bound),
    )
