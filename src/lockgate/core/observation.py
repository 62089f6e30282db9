"""What did one look at a rollout bring, and what is known of it now? Totals of nodes, differenced, metric by metric.

    totals of all nodes ──▶ since the last look of this metric ──▶ analysis ──▶ signals, for `core.rollout.decide`
                              │ another weight, another node, silence
                              └──▶ begins here: nobody knows under which weight it was counted

Everything that is known is in one `Watch`, which is written down before anything is done because of it. One that cannot
be read, or was written by another version, is begun anew: then nothing is known, and nothing is promoted.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias

from lockgate.core.analysis import (
    Analysis,
    Conclusion,
    Judged,
    State,
    Unanswered,
    Value,
    analyse,
    begin,
    resume,
    take,
    teach,
)
from lockgate.core.analysis.counter import MAX_NODES, Counters, Raw, Reading, Step, advance, advance_each, together
from lockgate.core.analysis.table import Counts, Histogram, Spread, Table
from lockgate.core.detection import Raised
from lockgate.core.outvoting import grouped, of_all, outvoted
from lockgate.core.plan import look_seconds, plan_of, watched
from lockgate.core.report import BOUNDS, MAX_ROUNDS, NOTHING, Tally, round_name
from lockgate.core.report import Counts as Totals
from lockgate.core.rollout import Alarm, Rollout, Signals
from lockgate.core.rollout import Finding as Known
from lockgate.core.strategy import Envoy, Metric, Sequential, Strategy, Threshold
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

MAX_WATCH = 64 << 20  # bytes: thousands of nodes
MAX_NAME = 63
SINGLY = 32  # nodes whose tables are weighed one by one; of more, what they counted is added up

_NONE = Tally(0, 0)
_REQUESTS, _ROUNDS = 0, range(MAX_ROUNDS + 1)  # beside rounds of users, what they asked for
_EARLY = timedelta(milliseconds=200)  # a look may come so much too soon
_KNOWN: Mapping[Conclusion, Known] = {
    Conclusion.FAILED: "failed",
    Conclusion.MISSING: "missing",
    Conclusion.INCONCLUSIVE: "open",
    Conclusion.HEALTHY: "passed",
}

Observed: TypeAlias = tuple[Table, ...] | tuple[Spread, ...] | tuple[Judged, ...] | Value | Unanswered


@dataclass(frozen=True, slots=True)
class Shown:
    """What one node shows of both releases: totals of one incarnation."""

    incarnation: str
    candidate: Totals
    stable: Totals


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found: what nodes show, and what other systems answered to the metrics that ask them."""

    at: datetime
    nodes: Mapping[Name, Shown]
    answers: Mapping[Name, Mapping[Name, Reading] | Value | Unanswered | None]

    def without(self, group: int, groups: Mapping[Name, int]) -> "Look":
        """Find the same without the nodes of a group."""
        return replace(self, nodes={node: shown for node, shown in self.nodes.items() if groups[node] != group})


@dataclass(frozen=True, slots=True)
class Watch:
    """All that is known of one rollout. `begun_anew` says why, if what was known before could not be used.

    `without` is what would be known without each group of nodes (`core.outvoting`).
    """

    type: ClassVar[str] = "rollout-watch/v1"
    later: ClassVar[tuple[str, ...]] = ("groups", "without")
    change: int
    weight: int
    begun_at: datetime
    state: State
    counters: Mapping[Name, Counters]
    looked_at: Mapping[Name, datetime]
    data_at: datetime | None = None
    begun_anew: str | None = None
    groups: Mapping[Name, int] | None = None
    without: tuple[State, ...] | None = None


@dataclass(frozen=True, slots=True)
class Grounds:
    """On which numbers something was done with a rollout: kept, by its digest, with what was done.

    `outvoted` are metrics that have failed where one group of nodes is left out.
    """

    type: ClassVar[str] = "rollout-grounds/v1"
    later: ClassVar[tuple[str, ...]] = ("outvoted",)
    change: int
    step: int
    weight: int
    analysis: Analysis
    alerts: tuple[Raised, ...]
    revoked: bool
    data_at: datetime | None = None
    begun_anew: str | None = None
    stable_revoked: bool | None = None
    outvoted: tuple[Name, ...] | None = None


def watch_anew(strategy: Strategy, rollout: Rollout, look: Look, because: str | None = None) -> Watch:
    """Begin to watch; what the stable release took until now teaches how long it takes."""
    plan = plan_of(strategy)
    took = _spread(shown.stable for shown in look.nodes.values())
    timed = {m.name: took for m in watched(strategy) if isinstance(m.test, Sequential) and m.test.event == "latency"}
    state = begin(plan)
    if took.n:
        state = teach(plan, state, timed)
    return Watch(rollout.change, rollout.weight, look.at, state, {}, {}, begun_anew=because)


def read_watch(document: bytes, strategy: Strategy, rollout: Rollout) -> Watch | None:
    """Read what was known; None of another change. Raises `VerificationError` for what cannot be gone on with."""
    watch = plain.decode(Watch, document, limit=MAX_WATCH)
    if watch.change != rollout.change:
        return None
    plan = plan_of(strategy)
    without = None if watch.without is None else tuple(resume(plan, plain.encode(each)) for each in watch.without)
    return replace(watch, state=resume(plan, plain.encode(watch.state)), without=without)


def due(watch: Watch, strategy: Strategy, now: datetime) -> tuple[Metric, ...]:
    """List the metrics that are to be looked at now: none as long as the last look is too fresh."""
    last = max(watch.looked_at.values(), default=None)
    if last is not None and not _is_over(last, look_seconds(strategy), now):
        return ()
    return tuple(metric for metric in watched(strategy) if _is_due(watch, metric, now))


def looked(watch: Watch, strategy: Strategy, rollout: Rollout, look: Look) -> Watch:
    """Take what a look brought. Whoever stands under another weight than at the last look begins to count here.

    Previews at 0 % are asked for by name, so a canary that gets its first share is a stranger again.
    """
    metrics = due(watch, strategy, look.at)
    if not metrics:
        return watch
    if watch.weight == 0 < rollout.weight and strategy.kind == "canary":
        watch = replace(watch, state=watch_anew(strategy, rollout, look).state, without=None, groups=None)
    held = watch.counters if watch.weight == rollout.weight else {}
    counters, observed, brought = dict(held), {}, False
    for metric in metrics:
        counted, found, has_data = _observe(metric, held.get(metric.name, Counters({})), look)
        counters[metric.name] = counted
        brought = brought or has_data
        if found is not None:
            observed[metric.name] = found
    groups = grouped(watch.groups or {}, look.nodes)
    return replace(
        watch,
        groups=groups,
        without=tuple(
            take(plan_of(strategy), state, _brought(metrics, held, look.without(group, groups)))
            for group, state in enumerate(_without(watch, strategy, groups))
        ),
        weight=rollout.weight,
        state=take(plan_of(strategy), watch.state, observed),
        counters=counters,
        looked_at={**watch.looked_at, **{metric.name: look.at for metric in metrics}},
        data_at=look.at if brought else _no_later(watch.data_at, look.at),
    )


def grounds_of(
    watch: Watch, strategy: Strategy, rollout: Rollout, alerts: tuple[Raised, ...], *, revoked: bool, now: datetime
) -> Grounds:
    """Write down what is known, in numbers."""
    plan = plan_of(strategy)
    return Grounds(
        rollout.change,
        rollout.step,
        rollout.weight,
        analyse(of_all(plan), watch.state, now),
        alerts,
        revoked,
        watch.data_at,
        watch.begun_anew,
        outvoted=outvoted(plan, watch.without or (), now) or None,
    )


def signals_of(grounds: Grounds) -> Signals:
    """Say what the numbers come to. Of a metric without a single number nothing is known."""
    found: dict[Name, Known] = {}
    for finding in grounds.analysis.findings:
        measured = finding.failures.measured if finding.failures else 0
        empty = finding.candidate.n == 0 and measured == 0
        known = _KNOWN[finding.conclusion]
        found[finding.name] = "missing" if empty and known == "open" else known
    found |= dict.fromkeys(grounds.outvoted or (), "failed")
    alarms = tuple(Alarm(each.danger, each.severity) for each in grounds.alerts)
    return Signals(found, grounds.data_at, alarms, grounds.revoked, grounds.stable_revoked is True)


def _without(watch: Watch, strategy: Strategy, groups: Mapping[Name, int]) -> tuple[State, ...]:
    """Say what is known without each group; a new one has told nothing until now."""
    held = watch.without or ()
    new = watch.state if held else begin(plan_of(strategy))
    return (*held, *(new,) * (max(groups.values(), default=-1) + 1 - len(held)))


def _brought(metrics: Iterable[Metric], held: Mapping[Name, Counters], look: Look) -> Mapping[Name, Observed]:
    """Say what each metric brought, and remember nothing."""
    observed: dict[Name, Observed] = {}
    for metric in metrics:
        _, found, _ = _observe(metric, held.get(metric.name, Counters({})), look)
        if found is not None:
            observed[metric.name] = found
    return observed


def _is_due(watch: Watch, metric: Metric, now: datetime) -> bool:
    last = watch.looked_at.get(metric.name)
    return last is None or _is_over(last, metric.interval_seconds, now)


def _no_later(known: datetime | None, now: datetime) -> datetime | None:
    return None if known is None else min(known, now)


def _is_over(last: datetime, seconds: int, now: datetime) -> bool:
    """Ask whether an interval is over; what lies ahead of `now` was dated by a clock that was wrong, and is over."""
    return now < last or now - last >= timedelta(seconds=seconds) - _EARLY


def _observe(metric: Metric, counters: Counters, look: Look) -> tuple[Counters, Observed | None, bool]:
    """Say what is remembered of a metric's counters, what it brought, and whether the candidate sent data."""
    if metric.name in look.answers:
        answer = look.answers[metric.name]
        if answer is None or isinstance(answer, Value | Unanswered):
            return counters, answer, isinstance(answer, Value)
        return _differenced(metric, _unbroken(counters, answer), answer)
    if not isinstance(_source(metric), Envoy):
        return counters, None, False
    if isinstance(metric.test, Sequential) and metric.test.unit == "user":
        return _judged(counters, look.nodes)
    return _differenced(metric, counters, dict(_readings(metric, look.nodes)))


def _differenced(
    metric: Metric, counters: Counters, readings: Mapping[Name, Reading]
) -> tuple[Counters, Observed | None, bool]:
    counters, steps = advance(counters, readings)
    if not steps:
        return counters, None, False
    if len(steps) > SINGLY:
        steps = (together(steps),)
    has_data = any(step.table.candidate.n for step in steps)
    return counters, _tables(metric, steps), has_data


def _judged(counters: Counters, nodes: Mapping[Name, Shown]) -> tuple[Counters, Observed | None, bool]:
    """Say whom each gateway judged in each round since the last look; requests of users who are judged are data too."""
    readings = {
        _book(node, number): Reading(shown.incarnation, _users(shown.candidate, number), _users(shown.stable, number))
        for node, shown in sorted(nodes.items())[: MAX_NODES // len(_ROUNDS)]
        for number in _ROUNDS
    }
    counters, steps = advance_each(counters, readings)
    has_data = any(step.table.candidate.n for step in steps.values())
    requests = {_book(node, _REQUESTS) for node in nodes}
    judged = [Judged(name, readings[name].incarnation, steps[name].table) for name in steps if name not in requests]
    return counters, tuple(judged) or None, has_data


def _book(node: Name, number: int) -> Name:
    """Name what one gateway judges in one round; a name that would be too long is shortened."""
    text = f"{node}-{number}"
    return Name(text if len(text) <= MAX_NAME else f"{Digest.of(str(node).encode()).hex[:40]}-{number}")


def _users(totals: Totals, number: int) -> Raw:
    requests = Tally(totals.requests, totals.failed)
    tally = requests if number == _REQUESTS else totals.other.get(round_name(number), _NONE)
    return Raw(Counts(tally.total, tally.bad))


def _tables(metric: Metric, steps: Iterable[Step]) -> Observed:
    test = metric.test
    if isinstance(test, Sequential) and test.event == "latency" and isinstance(test.source, Envoy):
        return tuple(step.spread for step in steps if step.spread is not None)
    if isinstance(test, Threshold) and test.quantile is not None:
        bound = float(test.bound) * 1000
        spreads = [step.spread for step in steps if step.spread is not None]
        return tuple(Table(_slower(one.candidate, bound), _slower(one.stable, bound)) for one in spreads)
    return tuple(step.table for step in steps)


def _slower(times: Histogram, microseconds: float) -> Counts:
    """Count what took longer than the bound; within its bucket, times are taken to be spread evenly."""
    slower, low = 0.0, 0
    for high, count in zip((*times.bounds, None), times.counts, strict=True):
        if low >= microseconds:
            slower += count
        elif high is not None and high > microseconds:
            slower += count * (high - microseconds) / (high - low)
        low = high if high is not None else low
    return Counts(times.n, round(slower))


def _readings(metric: Metric, nodes: Mapping[Name, Shown]) -> Iterator[tuple[Name, Reading]]:
    """Read each node by itself: one that shows what cannot have been counted is silent, and holds up no look."""
    for node, shown in nodes.items():
        with suppress(VerificationError):
            yield node, Reading(shown.incarnation, _raw(metric, shown.candidate), _raw(metric, shown.stable))


def _raw(metric: Metric, totals: Totals) -> Raw:
    """Pick the totals that a metric is about."""
    test = metric.test
    event = test.event if isinstance(test, Sequential | Threshold) else None
    if event in ("guardrail", "tool"):
        tally = totals.other.get(Name(event), _NONE)
        return Raw(Counts(tally.total, tally.bad))
    if event == "latency":
        times = Histogram(BOUNDS, totals.latency)
        return Raw(Counts(times.n, 0), times)
    return Raw(Counts(totals.requests, totals.failed))


def _unbroken(counters: Counters, readings: Mapping[Name, Reading]) -> Counters:
    """Forget what went back: a sum over instances that lost one has not begun anew, and does not say what it lost."""
    kept = {name: last for name, last in counters.last.items() if name in readings and _grew(last, readings[name])}
    return Counters(kept)


def _grew(before: Reading, now: Reading) -> bool:
    pairs = ((before.candidate.counts, now.candidate.counts), (before.stable.counts, now.stable.counts))
    return all(was.n <= has.n and was.bad <= has.bad for was, has in pairs)


def _source(metric: Metric) -> object:
    return metric.test.source if isinstance(metric.test, Sequential | Threshold) else None


def _spread(totals: Iterable[Totals]) -> Histogram:
    added = Histogram(BOUNDS, NOTHING.latency)
    for each in totals:
        with suppress(VerificationError):
            added = added.plus(Histogram(BOUNDS, each.latency))
    return added
