"""Who has stopped, and who has said nothing, after an order that went by way of the server?

    order is in the log ──▶ hosts hear, stop, cut, and say so ──▶ asked for, again and again, for some seconds

Who is asked for is whoever asked for a lease there lately. What the server tells of it is what nodes signed, and it has
verified that; whoever must not believe the server sends the order to the hosts (`cli.directing`).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lockgate.core.halt import Halt
from lockgate.errors import LockgateError, VerificationError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Name

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection

PATIENCE_SECONDS = 10.0
LATELY = timedelta(hours=1)  # no lease lasts longer

_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of an order: who says what, and who serves there as far as is known and says nothing.

    `overdue` are those of them that have an agent, which should have said something.
    """

    halts: tuple[Halt, ...]
    silent: tuple[Name, ...]
    overdue: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class _Member:
    node: Name
    endpoint: Endpoint
    at: datetime
    control: str | None = None


@dataclass(frozen=True, slots=True)
class _Halted:
    halt: Halt
    heard_at: datetime


def await_halts(endpoint: Endpoint, ordered: float, connection: "Connection") -> Heard | None:
    """Wait for the hosts at `endpoint` to say that they stopped since `ordered`; None if nobody can tell.

    `ordered` is an instant of the monotonic clock, so that no clocks need to agree. Only agents say anything.
    """
    while True:
        try:
            heard, patient = _look(endpoint, time.monotonic() - ordered, connection)
        except LockgateError:
            return None
        if not patient or time.monotonic() - ordered > PATIENCE_SECONDS:
            return heard
        time.sleep(_AGAIN_SECONDS)


def _look(endpoint: Endpoint, seconds: float, connection: "Connection") -> tuple[Heard, bool]:
    """Look once; say whether it is worth waiting for somebody."""
    found = connection.get("/api/v1/fleet")
    now, since = plain.from_plain(datetime, found["now"], "now"), timedelta(seconds=seconds)
    members = [member for item in _listed(found, "items") if (member := _member(item)).endpoint == endpoint]
    halted = [plain.from_plain(_Halted, item, "halt") for item in _listed(found, "halts")]
    halts = tuple(one.halt for one in halted if one.halt.endpoint == endpoint and now - one.heard_at <= since)
    said = {halt.node for halt in halts}
    silent = [member for member in members if member.node not in said and now - member.at < LATELY]
    overdue = tuple(member.node for member in silent if member.control)
    return Heard(halts, tuple(member.node for member in silent), overdue), bool(overdue)


def _member(item: Json) -> _Member:
    if not isinstance(item, dict):
        raise VerificationError("the server lists something else than sightings")
    known = {name: item.get(name) for name in ("node", "endpoint", "at", "control")}
    return plain.from_plain(_Member, known, "sighting")


def _listed(found: Mapping[str, Json], name: str) -> Sequence[Json]:
    listed = found[name]
    if not isinstance(listed, list):
        raise VerificationError(f"the server's {name} are no list")
    return listed
