"""What should serve at an endpoint, and what may become of it?

    nothing ──activate──▶ stable A ──activate──▶ stable B ──roll back──▶ stable A
        any state ──suspend, or a breaker──▶ suspended ──a new approved change──▶ stable
    stable A ──activate with a strategy──▶ stable A, candidate B ──promote──▶ stable B
                                                                 ──abort──▶ stable A

What is replaced is superseded: it gets nothing new, and may finish what is under way (`check_superseded`). What was
suspended, revoked or aborted may not. A rollback takes the whole former release or nothing. A suspended endpoint serves
nothing, and only a new approved change resumes it: no rollback, no restart, no lease. While a candidate is on its way
(`core.rollout`) nothing else may come.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, TypeAlias, assert_never

from lockgate.core import restoration as way_back
from lockgate.core import rollout as on_the_way
from lockgate.core.restoration import Overdue, Restoration, Restored
from lockgate.core.rollout import Aborted, Ended, Paused, Promoted, Resumed, Rollout, Stepped
from lockgate.core.slot import Slot
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

KEPT = 16  # former releases that can be rolled back to


@dataclass(frozen=True, slots=True)
class Activated:
    """A change was let through: the endpoint serves this release, or has it as a candidate if there is a strategy.

    `considered` names the statements and trials of the release that the decision rests on (`core.trial`): all that the
    log held then, so that whoever follows it sees whether one was left out.
    """

    type: ClassVar[str] = "endpoint.activated/v1"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    before: Digest | None
    change: int
    decision: Digest
    strategy: Digest | None = None
    considered: Digest | None = None


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The endpoint serves the whole former release again."""

    type: ClassVar[str] = "endpoint.rolled_back/v1"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    before: Digest
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Suspended:
    """Nothing may serve at the endpoint."""

    type: ClassVar[str] = "endpoint.suspended/v1"
    endpoint: Endpoint
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Tripped:
    """A breaker of the policy shut the endpoint down (`core.breaker`): nothing may serve there."""

    type: ClassVar[str] = "endpoint.tripped/v1"
    endpoint: Endpoint
    breaker: Name
    policy: Digest
    evidence: Digest


@dataclass(frozen=True, slots=True)
class Flagged:
    """A breaker of the policy that only flags has tripped: what serves goes on serving, and people look."""

    type: ClassVar[str] = "endpoint.flagged/v1"
    endpoint: Endpoint
    breaker: Name
    policy: Digest
    evidence: Digest


Event: TypeAlias = (
    Activated
    | RolledBack
    | Suspended
    | Tripped
    | Flagged
    | Stepped
    | Paused
    | Resumed
    | Promoted
    | Aborted
    | Restored
    | Overdue
)


@dataclass(frozen=True, slots=True)
class Share:
    """A release that may serve now, and the percentage of new traffic that it gets."""

    slot: Slot
    weight: int
    candidate: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """Which breaker flagged an endpoint, since when, and why (a document, by digest)."""

    breaker: Name
    evidence: Digest
    index: int
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """What the log says of an endpoint. `slots` ends with the stable release; before it, what it replaced.

    `open_since` is when it was let in, first of all or after it was suspended; `tripped` the breaker that suspended it.
    `superseded` are the slots that were replaced since anything was last suspended here. `flagged` is what
    breakers said that only flag, until another release is let in, or this one again.
    """

    kind: ClassVar[str] = "endpoint"
    later: ClassVar[tuple[str, ...]] = ("flagged",)
    endpoint: Endpoint
    slots: tuple[Slot, ...]
    suspended: bool
    epoch: int
    rolled_back_by: Digest | None = None
    rollout: Rollout | None = None
    ended: Ended | None = None
    open_since: datetime | None = None
    tripped: Name | None = None
    restoration: Restoration | None = None
    superseded: tuple[Slot, ...] | None = None
    flagged: tuple[Flag, ...] | None = None

    @property
    def stable(self) -> Slot | None:
        """The release that should serve, suspended or not."""
        return self.slots[-1] if self.slots else None

    @property
    def releases(self) -> frozenset[Digest]:
        """Every release that has a place here: the stable one, former ones, and the candidate."""
        candidates = [self.rollout.candidate] if self.rollout else []
        return frozenset(slot.release for slot in (*self.slots, *candidates))

    @property
    def former(self) -> Slot | None:
        """The release that a rollback restores."""
        return self.slots[-2] if len(self.slots) > 1 else None


def nothing_at(endpoint: Endpoint) -> State:
    """Say what an endpoint is before anything happened to it."""
    return State(endpoint, (), suspended=False, epoch=-1)


def check_here(endpoint: Endpoint, environment: Name) -> None:
    """Raise `DeniedError` for an endpoint of another environment: one installation is one environment."""
    if endpoint.environment != environment:
        raise DeniedError(f"{endpoint} is not of this installation, which is {environment}")


def check_activation(state: State, epoch: int, *, resumes: bool) -> None:
    """Raise `DeniedError` unless a change that was opened at `epoch` is still about the endpoint as it is now."""
    reasons = []
    if epoch != state.epoch:
        reasons.append(
            f"{state.endpoint} has changed (entry {state.epoch}) since the change was opened for it ({epoch})"
        )
    if state.suspended and not resumes:
        reasons.append(f"{state.endpoint} is suspended since entry {state.epoch}: a change that resumes it is needed")
    if state.rollout is not None:
        reasons.append(in_flight(state.endpoint, state.rollout))
    if reasons:
        raise DeniedError(*reasons)


def check_candidate(state: State, release: Digest) -> Slot:
    """Return the stable release that a candidate would be compared with; raise `DeniedError` if it cannot be."""
    if state.suspended or state.stable is None:
        raise DeniedError(f"nothing serves at {state.endpoint} that a candidate could be compared with")
    if state.stable.release == release:
        raise DeniedError(f"{state.endpoint} serves {state.stable.tag} already: there is no other release to compare")
    return state.stable


def check_rollout(state: State) -> Rollout:
    """Return the rollout in flight; raise `DeniedError` if there is none."""
    if state.rollout is None:
        raise DeniedError(f"no rollout is in flight at {state.endpoint}")
    return state.rollout


def in_flight(endpoint: Endpoint, rollout: Rollout) -> str:
    """Say that a rollout stands in the way."""
    return f"change {rollout.change} rolls {rollout.candidate.tag} out at {endpoint}: promote it or abort it first"


def check_rollback(state: State) -> Slot:
    """Return what a rollback would restore; raise `DeniedError` if it may not be.

    Enforces: complete_rollback
    """
    if state.suspended:
        raise DeniedError(f"{state.endpoint} is suspended: only a new approved change resumes it")
    if state.rollout is not None:
        raise DeniedError(in_flight(state.endpoint, state.rollout))
    if state.rolled_back_by is not None:
        raise DeniedError(f"{state.endpoint} was rolled back already: going to any other release is a change")
    if state.former is None:
        raise DeniedError(f"{state.endpoint} has no former release to roll back to")
    return state.former


def check_serving(state: State) -> Slot:
    """Return what should serve now; raise `DeniedError` if nothing may.

    Enforces: emergency_shutdown
    """
    if state.suspended:
        raise DeniedError(f"{state.endpoint} is suspended since entry {state.epoch}: nothing may serve")
    if state.stable is None:
        raise DeniedError(f"nothing was ever activated at {state.endpoint}")
    return state.stable


def check_share(state: State, release: Digest) -> Share:
    """Return what `release` may do here now; raise `DeniedError` if it is neither the stable one nor the candidate.

    Enforces: emergency_shutdown
    """
    stable = check_serving(state)
    weight = state.rollout.weight if state.rollout else 0
    if stable.release == release:
        return Share(stable, 100 - weight)
    if state.rollout is not None and state.rollout.candidate.release == release:
        return Share(state.rollout.candidate, weight, candidate=True)
    raise DeniedError(f"{state.endpoint} serves {stable.tag}, not {release}")


def check_superseded(state: State, release: Digest) -> Slot:
    """Return what `release` was here until another took its place; raise `DeniedError` for everything else.

    It is no permission to serve: a lease that was granted before may be used up for what is under way.
    """
    check_serving(state)
    places = [slot for slot in state.superseded or () if slot.release == release]
    present = [state.stable, state.rollout.candidate if state.rollout else None]
    if not places or any(slot is not None and slot.release == release for slot in present):
        raise DeniedError(f"{state.endpoint} has not superseded {release}")
    return places[-1]


def evolve(state: State | None, event: Event, index: int, at: datetime) -> State:
    """Say what the log knows of an endpoint after `event`."""
    state = state or nothing_at(event.endpoint)
    match event:
        case Activated():
            return _activated(state, event, index, at)
        case RolledBack():
            return _rolled_back(state, event, index, at)
        case Suspended():
            return _suspended(state, event.order, index, at)
        case Tripped() | Flagged():
            return _tripped(state, event, index, at)
        case Stepped() | Paused() | Resumed():
            return replace(state, rollout=on_the_way.evolve(state.rollout, event, at))
        case Promoted() | Aborted():
            return _ended(state, event, index, at)
        case Restored() | Overdue():
            return replace(state, restoration=way_back.evolve(state.restoration, event))
        case _:
            assert_never(event)


def _activated(state: State, event: Activated, index: int, at: datetime) -> State:
    slot = Slot(event.tag, event.release, event.change, event.decision, index, at, epoch=index)
    if event.strategy is None:
        since = at if state.suspended or not state.slots else state.open_since
        slots, left = (*state.slots, slot)[-KEPT:], _superseded(state)
        return State(state.endpoint, slots, suspended=False, epoch=index, open_since=since, superseded=left)
    if state.suspended or not state.slots or state.rollout is not None:
        raise VerificationError(f"the log holds a rollout at {state.endpoint} that could not begin there")
    return replace(state, epoch=index, rollout=Rollout(slot, event.strategy, since=at), restoration=None)


def _rolled_back(state: State, event: RolledBack, index: int, at: datetime) -> State:
    slots = state.slots[:-1]
    if slots:
        slots = (*slots[:-1], replace(slots[-1], epoch=index))
    back = replace(state, slots=slots, epoch=index, rolled_back_by=event.order, rollout=None, flagged=None)
    return replace(back, restoration=Restoration(event.release, index, at), superseded=_superseded(state))


def _ended(state: State, event: Promoted | Aborted, index: int, at: datetime) -> State:
    on_the_way.evolve(state.rollout, event, at)
    assert state.rollout is not None, "what was not in flight does not end"
    slot, why = state.rollout.candidate, event.why
    if isinstance(event, Aborted):
        ended = Ended(slot.change, slot.tag, slot.release, "aborted", event.trigger, why, at)
        left = None if event.suspends else state.superseded
        return replace(state, suspended=event.suspends, epoch=index, rollout=None, ended=ended, superseded=left)
    ended = Ended(slot.change, slot.tag, slot.release, "promoted", None, why, at)
    slots = (*state.slots, replace(slot, promoted=index))[-KEPT:]
    left, since = _superseded(state), state.open_since
    return State(state.endpoint, slots, suspended=False, epoch=index, ended=ended, open_since=since, superseded=left)


def _suspended(state: State, why: Digest, index: int, at: datetime) -> State:
    ended = state.ended
    if state.rollout is not None:
        slot = state.rollout.candidate
        ended = Ended(slot.change, slot.tag, slot.release, "suspended", None, why, at)
    ends = replace(state, suspended=True, epoch=index, rollout=None, ended=ended, tripped=None)
    return replace(ends, restoration=None, superseded=None, flagged=None)


def _tripped(state: State, event: Tripped | Flagged, index: int, at: datetime) -> State:
    if isinstance(event, Tripped):
        return replace(_suspended(state, event.evidence, index, at), tripped=event.breaker)
    return replace(state, flagged=(*(state.flagged or ()), Flag(event.breaker, event.evidence, index, at)))


def _superseded(state: State) -> tuple[Slot, ...] | None:
    """Say what is superseded once the stable release is replaced; what was suspended is not, whatever resumes here."""
    if state.suspended or state.stable is None:
        return None
    return (*(state.superseded or ()), state.stable)[-KEPT:]
