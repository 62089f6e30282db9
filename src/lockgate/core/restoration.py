"""Is the former release back, on every host? By what hosts report, measured against the window of the policy.

    rolled back ──▶ pending ──every host that reports leads all new requests to it──▶ restored
                      └──the window is over──▶ overdue, which somebody is told ──▶ restored late, or never

Nobody's word but the hosts' own counts, given after the rollback. A host that has served here and is silent now has not
said it, and where no host reports at all, nobody knows: both are overdue when the window ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias, assert_never

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

LOOKED_FOR = timedelta(days=1)  # for so long after a rollback somebody looks whether it is done


@dataclass(frozen=True, slots=True)
class Restored:
    """Every host that reports leads all new requests to the release that entry `rollback` gave back.

    `milliseconds` is at most how long that took, from the act to the look that found it done.
    """

    type: ClassVar[str] = "rollback.restored/v1"
    endpoint: Endpoint
    release: Digest
    rollback: int
    milliseconds: int
    window_seconds: int
    nodes: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """The window is over, and these hosts have not said that they serve it; no host at all reports if there is none."""

    type: ClassVar[str] = "rollback.overdue/v1"
    endpoint: Endpoint
    release: Digest
    rollback: int
    window_seconds: int
    waiting: tuple[Name, ...]


Event: TypeAlias = Restored | Overdue


@dataclass(frozen=True, slots=True)
class Restoration:
    """How far the last rollback is: done after so many milliseconds, or pending, `overdue` if its window is over."""

    release: Digest
    rollback: int
    ordered_at: datetime
    window_seconds: int | None = None
    milliseconds: int | None = None
    overdue: bool = False
    waiting: tuple[Name, ...] = ()

    def is_pending(self, now: datetime) -> bool:
        """Ask whether anybody still looks whether it is done."""
        return self.milliseconds is None and now - self.ordered_at < LOOKED_FOR


def settle(
    endpoint: Endpoint, restoration: Restoration, leads: Mapping[Name, bool], window_seconds: int, now: datetime
) -> Event | None:
    """Say what is to be written of a rollback: `leads` tells of each host whether all new requests go to the release.

    Enforces: complete_rollback
    """
    if not restoration.is_pending(now):
        return None
    took = now - restoration.ordered_at
    about = endpoint, restoration.release, restoration.rollback
    if leads and all(leads.values()):
        return Restored(*about, took // timedelta(milliseconds=1), window_seconds, tuple(sorted(leads)))
    if took >= timedelta(seconds=window_seconds) and not restoration.overdue:
        return Overdue(*about, window_seconds, tuple(sorted(node for node, does in leads.items() if not does)))
    return None


def evolve(restoration: Restoration | None, event: Event) -> Restoration:
    """Say what the log knows of a rollback after `event`."""
    if restoration is None or restoration.rollback != event.rollback or restoration.milliseconds is not None:
        raise VerificationError(f"the log holds {event.type} of entry {event.rollback}, for which nobody waits")
    known = replace(restoration, window_seconds=event.window_seconds)
    match event:
        case Restored():
            return replace(known, milliseconds=event.milliseconds, waiting=())
        case Overdue():
            return replace(known, overdue=True, waiting=event.waiting)
        case _:
            assert_never(event)
