"""Is the candidate worse than stable, good enough, or is it too early to say? However often one looks.

    plan ── begin ──▶ state ── take: what one interval brought ──▶ state ── analyse ──▶ analysis, the reasons for an act
                        ▲                                            │
                        └──────────── written down ◀─────────────────┘   whoever takes over resumes with it

Everything follows from whole numbers, one interval at a time (spec/analysis.md). Each interval is taken once. The state
is written down before anything is done because of it, so that a failure is not forgotten with whoever saw it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias, TypeVar

from lockgate.core.analysis.books import Judged, UsersTally, conclude_users, enter, nobody_judged
from lockgate.core.analysis.finding import Analysis, Conclusion, Finding, Trigger, whole
from lockgate.core.analysis.metric import Latency, Metric, Plan, Sequential, Threshold, Users, check_plan
from lockgate.core.analysis.sequential import SequentialTally, conclude, count, nothing_counted
from lockgate.core.analysis.slowness import LatencyTally, conclude_slowness, learn, nothing_timed, time
from lockgate.core.analysis.table import Counts, Histogram, Spread, Table
from lockgate.core.analysis.threshold import (
    ThresholdTally,
    Unanswered,
    Value,
    conclude_threshold,
    measure,
    nothing_measured,
)
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

__all__ = [
    "Analysis",
    "Conclusion",
    "Counts",
    "Finding",
    "Histogram",
    "Judged",
    "Plan",
    "Spread",
    "State",
    "Table",
    "Trigger",
    "Unanswered",
    "Value",
    "analyse",
    "begin",
    "resume",
    "take",
    "teach",
]

T = TypeVar("T", Table, Spread, Judged)
Tally: TypeAlias = SequentialTally | UsersTally | LatencyTally | ThresholdTally
Observed: TypeAlias = tuple[Table, ...] | tuple[Spread, ...] | tuple[Judged, ...] | Value | Unanswered


@dataclass(frozen=True, slots=True)
class State:
    """All that is known of one rollout, a tally for each metric of the plan; the same after it was written and read."""

    type: ClassVar[str] = "analysis-state/v1"
    plan: Digest
    looks: int
    tallies: tuple[Tally, ...]


def begin(plan: Plan) -> State:
    """Begin to watch; raise `DeniedError` with everything that is wrong with the plan."""
    check_plan(plan)
    return State(Digest.of(plain.encode(plan)), 0, tuple(_nothing(metric) for metric in plan.metrics))


def resume(plan: Plan, document: bytes) -> State:
    """Read what somebody else wrote down; raise `VerificationError` for another version, another plan, or nonsense."""
    state = plain.decode(State, document)
    if state.plan != Digest.of(plain.encode(plan)):
        raise VerificationError(f"this state belongs to the plan {state.plan}, another one")
    fresh = begin(plan)
    if state.looks < 0 or list(map(_shape, state.tallies)) != list(map(_shape, fresh.tallies)):
        raise VerificationError("this state has not the form of its plan")
    return state


def teach(plan: Plan, state: State, times: Mapping[Name, Histogram]) -> State:
    """Say how long stable took before the rollout, by latency metric."""
    tallies = tuple(
        learn(tally, times[metric.name]) if isinstance(tally, LatencyTally) and metric.name in times else tally
        for metric, tally in zip(plan.metrics, state.tallies, strict=True)
    )
    return State(state.plan, state.looks, tallies)


def take(plan: Plan, state: State, observed: Mapping[Name, Observed]) -> State:
    """Take what one interval brought, by metric. A metric that is not there is missing."""
    if unknown := observed.keys() - {metric.name for metric in plan.metrics}:
        raise VerificationError(f"{min(unknown)} is no metric of the plan")
    pairs = zip(plan.metrics, state.tallies, strict=True)
    tallies = tuple(_taken(metric, tally, observed.get(metric.name)) for metric, tally in pairs)
    return State(state.plan, state.looks + 1, tallies)


def analyse(plan: Plan, state: State, now: datetime) -> Analysis:
    """Say what it all comes to. What has failed once has failed."""
    pairs = zip(plan.metrics, state.tallies, strict=True)
    findings = tuple(_concluded(metric, tally) for metric, tally in pairs)
    return Analysis(state.plan, state.looks, now, whole(findings), findings)


def _nothing(metric: Metric) -> Tally:
    match metric:
        case Sequential():
            return nothing_counted(metric)
        case Users():
            return nobody_judged()
        case Latency():
            return nothing_timed(metric)
        case Threshold():
            return nothing_measured()


def _taken(metric: Metric, tally: Tally, observed: Observed | None) -> Tally:
    match metric, tally:
        case Sequential(), SequentialTally():
            return count(metric, tally, _all(metric, observed, Table))
        case Users(), UsersTally():
            return enter(metric, tally, _all(metric, observed, Judged))
        case Latency(), LatencyTally():
            return time(metric, tally, _all(metric, observed, Spread))
        case Threshold(), ThresholdTally():
            measured = observed if isinstance(observed, Value | Unanswered) else _all(metric, observed, Table)
            return measure(metric, tally, measured)
        case _:
            raise VerificationError(f"the tally of {metric.name} is not one of a {metric.type} metric")


def _concluded(metric: Metric, tally: Tally) -> Finding:
    match metric, tally:
        case Sequential(), SequentialTally():
            return conclude(metric, tally)
        case Users(), UsersTally():
            return conclude_users(metric, tally)
        case Latency(), LatencyTally():
            return conclude_slowness(metric, tally)
        case Threshold(), ThresholdTally():
            return conclude_threshold(metric, tally)
        case _:
            raise VerificationError(f"the tally of {metric.name} is not one of a {metric.type} metric")


def _all(metric: Metric, observed: Observed | None, kind: type[T]) -> tuple[T, ...]:
    """Give what was observed if it is all of one kind; an answer that did not come is nothing."""
    if observed is None or isinstance(observed, Unanswered):
        return ()
    found = tuple(each for each in observed if isinstance(each, kind)) if isinstance(observed, tuple) else ()
    if isinstance(observed, Value) or len(found) != len(observed):
        raise VerificationError(f"{metric.name} is a {metric.type} metric, and takes each interval as {kind.__name__}")
    return found


def _shape(tally: Tally) -> tuple[str, tuple[int, ...]]:
    match tally:
        case SequentialTally():
            return tally.type, (len(tally.row),)
        case UsersTally():
            return tally.type, ()
        case LatencyTally():
            return tally.type, tuple(len(mark.row) for mark in tally.marks)
        case ThresholdTally():
            return tally.type, ()
