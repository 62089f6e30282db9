"""Is more of the candidate bad than of stable: beyond doubt, not beyond the tolerance, or is it too early to say?"""

from dataclasses import dataclass, replace
from math import log
from typing import ClassVar, TypeAlias

from lockgate.core.analysis.finding import Conclusion, EValues, Finding, Trigger
from lockgate.core.analysis.metric import Latency, Sequential, Users
from lockgate.core.analysis.number import Exact, antilog_text, decimal_text
from lockgate.core.analysis.odds import Grid, Row, add, grid, log_mean, log_rare, log_sound, log_worse, upper_bound
from lockgate.core.analysis.table import NONE, Counts, Table, check_counted

Compared: TypeAlias = Sequential | Users | Latency

MEANING = {
    Conclusion.FAILED: "it is worse",
    Conclusion.MISSING: "nothing was seen for too long",
    Conclusion.INCONCLUSIVE: "it is too early to say",
    Conclusion.HEALTHY: "it is not worse than may be",
}


@dataclass(frozen=True, slots=True)
class SequentialTally:
    """What is known so far. `peak` is the largest log e-value for "worse": once beyond doubt is beyond doubt."""

    type: ClassVar[str] = "sequential"
    candidate: Counts
    stable: Counts
    row: Row
    peak: Exact
    missing: int

    def __post_init__(self) -> None:
        check_counted(self.missing)


def nothing_counted(metric: Sequential) -> SequentialTally:
    """Begin with nothing known."""
    return SequentialTally(NONE, NONE, weighed(metric).empty, Exact(0), 0)


def weighed(metric: Compared) -> Grid:
    """Lay out the odds ratios that a metric weighs."""
    return grid(metric.bounds.margin, metric.bounds.tolerance)


def count(metric: Sequential, tally: SequentialTally, tables: tuple[Table, ...]) -> SequentialTally:
    """Take the tables of one interval: one of all nodes together, or one of each."""
    if not any(table.compares for table in tables):
        return replace(tally, missing=tally.missing + 1)
    odds, row, candidate, stable = weighed(metric), tally.row, tally.candidate, tally.stable
    for table in tables:
        row = add(row, table, odds)
        candidate, stable = candidate.plus(table.candidate), stable.plus(table.stable)
    return SequentialTally(candidate, stable, row, Exact(max(tally.peak, log_worse(row, odds))), 0)


def conclude(metric: Sequential, tally: SequentialTally) -> Finding:
    """Say what the numbers come to."""
    odds = weighed(metric)
    sound = log_sound(tally.row, odds)
    if metric.acceptable is not None:
        sound = log_mean([sound, log_rare(tally.candidate, float(metric.acceptable))])
    conclusion, trigger = judge(metric, tally.peak, sound, tally.missing)
    return Finding(
        name=metric.name,
        conclusion=conclusion,
        says=f"{shares(tally.candidate, tally.stable)} bad: {MEANING[conclusion]}",
        dry_run=metric.dry_run,
        candidate=tally.candidate,
        stable=tally.stable,
        missing=tally.missing,
        trigger=trigger,
        e_values=e_values(metric, tally.peak, sound, upper_bound(tally.row, odds, float(metric.bounds.beta))),
    )


def judge(metric: Compared, peak: float, sound: float, missing: int) -> tuple[Conclusion, Trigger | None]:
    """Compare log e-values with what they must reach."""
    if peak >= -log(metric.bounds.alpha):
        return Conclusion.FAILED, Trigger.LATENCY if isinstance(metric, Latency) else Trigger.SEQUENTIAL
    if missing >= metric.consecutive_missing:
        return Conclusion.MISSING, Trigger.CONSECUTIVE_MISSING
    return Conclusion.HEALTHY if sound >= -log(metric.bounds.beta) else Conclusion.INCONCLUSIVE, None


def e_values(metric: Compared, peak: float, sound: float, bound: float | None) -> EValues:
    """Write e-values beside what they must reach."""
    return EValues(
        worse=antilog_text(peak),
        worse_needed=decimal_text(1 / float(metric.bounds.alpha)),
        sound=antilog_text(sound),
        sound_needed=decimal_text(1 / float(metric.bounds.beta)),
        odds_at_most=None if bound is None else decimal_text(bound),
    )


def shares(candidate: Counts, stable: Counts) -> str:
    """Say how many of each arm."""
    return f"{candidate.bad} of {candidate.n} of the candidate, {stable.bad} of {stable.n} of stable"
