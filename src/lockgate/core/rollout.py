"""What becomes of a candidate? It climbs the steps of its strategy, is promoted, or loses everything at once.

    activated with a strategy ──▶ 0 % ──stepped──▶ 5 % ──stepped──▶ … ──▶ 100 % ──promoted──▶ stable
                                 paused │ ▲ resumed       any of them ──aborted──▶ gone; the stable release has all
                                        ▼ │                           ──suspended──▶ gone; nothing serves
                       waits for a person: step, person, inconclusive, failed

`decide` looks at what is true now, not at what happened: it can be asked again at any time, by anybody, and says the
same. Evidence counts in every pause. The weight never falls but to nothing, nothing is promoted without data, and
whoever waits for a person does not wait for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.danger import Danger, Severity
from lockgate.core.slot import Slot
from lockgate.core.strategy import Analysis, OnAlert, Pause, SetWeight, Strategy
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

PERSON = "person"

Cause: TypeAlias = Literal["step", "person", "inconclusive", "failed"]
Finding: TypeAlias = Literal["passed", "failed", "open", "missing"]


@dataclass(frozen=True, slots=True)
class Stepped:
    """The rollout is at another step. `by` is nobody where a controller did it; `why` its evidence, or an intent."""

    type: ClassVar[str] = "rollout.stepped/v1"
    endpoint: Endpoint
    change: int
    step: int
    weight: int
    why: Digest
    by: Name | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """The rollout stays where it is until a person decides."""

    type: ClassVar[str] = "rollout.paused/v1"
    endpoint: Endpoint
    change: int
    cause: Cause
    why: Digest
    by: Name | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The rollout goes on from where it is."""

    type: ClassVar[str] = "rollout.resumed/v1"
    endpoint: Endpoint
    change: int
    why: Digest
    by: Name | None = None


@dataclass(frozen=True, slots=True)
class Promoted:
    """The candidate is the stable release."""

    type: ClassVar[str] = "rollout.promoted/v1"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    before: Digest
    change: int
    why: Digest
    by: Name | None = None


@dataclass(frozen=True, slots=True)
class Aborted:
    """The candidate is gone, for this `trigger`. If it `suspends`, the endpoint is shut down with it."""

    type: ClassVar[str] = "rollout.aborted/v1"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    change: int
    trigger: str
    suspends: bool
    why: Digest
    by: Name | None = None


Event: TypeAlias = Stepped | Paused | Resumed | Promoted | Aborted


@dataclass(frozen=True, slots=True)
class Rollout:
    """A candidate on its way: at which step (-1: before the first), with how much traffic, `since` when it is there.

    `why` is the evidence of what happened to it last, or the intent of who did it.
    """

    candidate: Slot
    strategy: Digest
    since: datetime
    step: int = -1
    weight: int = 0
    paused: Cause | None = None
    why: Digest | None = None

    @property
    def change(self) -> int:
        """The change that is being carried out."""
        return self.candidate.change


@dataclass(frozen=True, slots=True)
class Ended:
    """How the last rollout at an endpoint ended: why, if it was aborted, and on whose word or evidence."""

    change: int
    tag: Tag
    release: Digest
    outcome: Literal["promoted", "aborted", "suspended"]
    trigger: str | None
    why: Digest
    at: datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert about the candidate, from a detector."""

    kind: Danger
    severity: Severity


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of a candidate now. Of a metric that is not named, nothing is known.

    `data_at` is when the candidate last sent data; `revoked` tells that it is on the deny-list, `stable_revoked` that
    there is nothing left to go back to.
    """

    metrics: Mapping[Name, Finding]
    data_at: datetime | None = None
    alerts: tuple[Alarm, ...] = ()
    revoked: bool = False
    stable_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing is to be done now."""


@dataclass(frozen=True, slots=True)
class Advance:
    """Go to this step, with this weight; `holds` if it lasts until a person goes on."""

    step: int
    weight: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Ask a person."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Promote:
    """Make the candidate the stable release."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Take everything from the candidate."""

    trigger: str
    suspends: bool = False


Decision: TypeAlias = Stay | Advance | Hold | Promote | Abort


def decide(strategy: Strategy, rollout: Rollout, signals: Signals, now: datetime) -> Decision:
    """Say what is to become of a rollout, by what is known now.

    Enforces: gradual_rollout
    """
    return _end(strategy, rollout, signals, now) or _hold(strategy, rollout, signals, now) or _go_on(
        strategy, rollout, signals, now
    )  # fmt: skip


def next_step(strategy: Strategy, rollout: Rollout) -> Advance:
    """Say what the step after this one is; raise `DeniedError` after the last."""
    number = rollout.step + 1
    if number >= len(strategy.steps):
        raise DeniedError(f"all {len(strategy.steps)} steps are done: what is left is to promote, or to abort")
    step = strategy.steps[number]
    weight = step.weight if isinstance(step, SetWeight) else rollout.weight
    return Advance(number, weight, step == Pause())


def check_pause(rollout: Rollout) -> None:
    """Raise `DeniedError` if a person has paused the rollout already."""
    if rollout.paused == PERSON:
        raise DeniedError(f"the rollout of {rollout.candidate.tag} is paused already")


def check_resume(rollout: Rollout) -> None:
    """Raise `DeniedError` unless the rollout is paused."""
    if rollout.paused is None:
        raise DeniedError(f"the rollout of {rollout.candidate.tag} is not paused")


def evolve(rollout: Rollout | None, event: Event, at: datetime) -> Rollout | None:
    """Say what the log knows of a rollout after `event`: None if that ended it."""
    if rollout is None or rollout.change != event.change:
        raise VerificationError(f"the log holds {event.type} of change {event.change}, which is not in flight")
    match event:
        case Stepped():
            if event.step <= rollout.step or event.weight < rollout.weight:
                raise VerificationError("the log holds a rollout that went back")
            return replace(rollout, step=event.step, weight=event.weight, since=at, paused=None, why=event.why)
        case Paused():
            return replace(rollout, paused=event.cause, since=at, why=event.why)
        case Resumed():
            return replace(rollout, paused=None, since=at, why=event.why)
        case Promoted() | Aborted():
            return None


def _end(strategy: Strategy, rollout: Rollout, signals: Signals, now: datetime) -> Abort | None:
    """Say why the candidate must go, if it must: nothing else is asked then, and no pause stands in the way."""
    suspends = strategy.on_failure == "shutdown"
    if signals.revoked:
        return Abort("revoked")
    if alarm := _alarmed(strategy, signals):
        return Abort(f"alert:{alarm}", suspends)
    failed = _failed(strategy, signals)
    if failed is not None and strategy.on_failure != "pause":
        return Abort(f"metric:{failed}", suspends)
    quiet_since = max(signals.data_at or rollout.since, rollout.since)
    if rollout.weight > 0 and now - quiet_since >= timedelta(seconds=strategy.no_data_seconds):
        return Abort("no-data")
    if now - rollout.candidate.at >= timedelta(seconds=strategy.max_seconds + strategy.no_data_seconds):
        return Abort("undecided")
    return None


def _hold(strategy: Strategy, rollout: Rollout, signals: Signals, now: datetime) -> Hold | Stay | None:
    """Say whether a person is to be asked, or is being asked."""
    if rollout.paused in (PERSON, "failed"):
        return Stay()
    if _failed(strategy, signals) is not None:
        return Hold("failed")
    if rollout.paused == "inconclusive":
        return Stay()
    if signals.stable_revoked or now - rollout.candidate.at >= timedelta(seconds=strategy.max_seconds):
        return Hold("inconclusive")
    return None if rollout.paused is None else Stay()


def _go_on(strategy: Strategy, rollout: Rollout, signals: Signals, now: datetime) -> Decision:
    """Say whether this step is over, and whether there is evidence enough for what comes after it."""
    here = strategy.steps[rollout.step] if rollout.step >= 0 else None
    lasted = now - rollout.since
    if isinstance(here, Pause) and lasted < timedelta(seconds=here.seconds or 0):
        return Stay()
    ready = not isinstance(here, Analysis) or all(signals.metrics.get(name) == "passed" for name in here.metrics)
    last = rollout.step + 1 >= len(strategy.steps)
    coming = Promote() if last else next_step(strategy, rollout)
    if ready and _is_backed(strategy, rollout, signals, coming):
        return coming
    return Hold("inconclusive") if lasted >= timedelta(seconds=strategy.patience_seconds) else Stay()


def _is_backed(strategy: Strategy, rollout: Rollout, signals: Signals, coming: Advance | Promote) -> bool:
    """Ask whether evidence backs what comes: all of it before everything is given, some of it before more is given."""
    found = [signals.metrics.get(metric.name, "missing") for metric in strategy.needed]
    if isinstance(coming, Promote) or coming.weight == 100 != rollout.weight:
        return bool(found) and all(one == "passed" for one in found)
    return rollout.weight in (0, coming.weight) or "missing" not in found


def _failed(strategy: Strategy, signals: Signals) -> Name | None:
    """Name the first metric that counts and has failed."""
    return next((m.name for m in strategy.needed if signals.metrics.get(m.name) == "failed"), None)


def _alarmed(strategy: Strategy, signals: Signals) -> Name | None:
    """Name the metric that waited for one of the alerts."""
    for metric in strategy.metrics:
        test = metric.test
        if isinstance(test, OnAlert) and not metric.dry_run and any(_reaches(test, one) for one in signals.alerts):
            return metric.name
    return None


def _reaches(test: OnAlert, alert: Alarm) -> bool:
    return alert.kind is test.kind and alert.severity.rank >= test.severity.rank
