"""What should serve at an endpoint, and what may become of it?

    nothing ──activate──▶ stable A ──activate──▶ stable B ──roll back──▶ stable A
        any state ──suspend──▶ suspended ──a new approved change──▶ stable

A rollback takes the whole former release or nothing. A suspended endpoint serves nothing, and only a new approved
change resumes it: no rollback, no restart, no lease.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, TypeAlias, assert_never

from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

KEPT = 16  # former releases that can be rolled back to


@dataclass(frozen=True, slots=True)
class Activated:
    """A change was carried out: the endpoint serves this release."""

    type: ClassVar[str] = "endpoint.activated/v1"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    before: Digest | None
    change: int
    decision: Digest


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


Event: TypeAlias = Activated | RolledBack | Suspended


@dataclass(frozen=True, slots=True)
class Slot:
    """A release as it was activated: by which change and decision, at which entry of the log, when."""

    tag: Tag
    release: Digest
    change: int
    decision: Digest
    index: int
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """What the log says of an endpoint. `slots` ends with the stable release; before it, what it replaced."""

    kind: ClassVar[str] = "endpoint"
    endpoint: Endpoint
    slots: tuple[Slot, ...]
    suspended: bool
    epoch: int
    rolled_back_by: Digest | None = None

    @property
    def stable(self) -> Slot | None:
        """The release that should serve, suspended or not."""
        return self.slots[-1] if self.slots else None

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
    if reasons:
        raise DeniedError(*reasons)


def check_rollback(state: State) -> Slot:
    """Return what a rollback would restore; raise `DeniedError` if it may not be.

    Enforces: complete_rollback
    """
    if state.suspended:
        raise DeniedError(f"{state.endpoint} is suspended: only a new approved change resumes it")
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


def evolve(state: State | None, event: Event, index: int, at: datetime) -> State:
    """Say what the log knows of an endpoint after `event`."""
    state = state or nothing_at(event.endpoint)
    match event:
        case Activated():
            slot = Slot(event.tag, event.release, event.change, event.decision, index, at)
            return State(state.endpoint, (*state.slots, slot)[-KEPT:], suspended=False, epoch=index)
        case RolledBack():
            slots = state.slots[:-1]
            return replace(state, slots=slots, epoch=index, rolled_back_by=event.order)
        case Suspended():
            return replace(state, suspended=True, epoch=index)
        case _:
            assert_never(event)
