"""Who runs what, as far as the hosts say? What nodes asked leases for, remembered as long as this process lives.

A sighting is no proof: it is what a node said, with its own signature, when it last asked.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from lockgate.app.grant_leases import Answered
from lockgate.core.halt import Halt
from lockgate.core.tie import Ties
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

MOST = 4096  # endpoints of one node: who invents more forgets its own, and nobody else's
KEPT = timedelta(days=1)
LATELY = timedelta(seconds=30)  # nodes say every few seconds what is held there

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A node asked for a release at an endpoint: when it did so last, and whether it may serve it.

    `control` is where its agent takes orders, if it has one.
    """

    node: Name
    endpoint: Endpoint
    release: Digest
    granted: bool
    hand_over: str
    at: datetime
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Halted:
    """What a node said when nothing might serve at an endpoint any more, and when that was heard."""

    halt: Halt
    heard_at: datetime


class Sightings:
    """The newest sighting and the newest halt of each node at each endpoint. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[Name, dict[Endpoint, Sighting]] = {}
        self._halts: dict[Name, dict[Endpoint, Halted]] = {}
        self._ties: dict[Name, tuple[Ties, datetime]] = {}

    def see(self, answers: Sequence[Answered], now: datetime) -> None:
        """Take note of what was asked."""
        for answered in answers:
            request = answered.request
            granted = {(one.endpoint, one.release) for one in answered.grant.granted}
            for want in request.wants:
                may = (want.endpoint, want.release) in granted
                how = request.hand_over
                sighting = Sighting(request.node, want.endpoint, want.release, may, how, now, request.control)
                with self._lock:
                    _keep(self._seen, request.node, want.endpoint, sighting)

    def hear(self, halt: Halt, now: datetime) -> bool:
        """Take note of what was stopped; say whether it names something not cut that was not known before."""
        with self._lock:
            before = self._halts.get(halt.node, {}).get(halt.endpoint)
            _keep(self._halts, halt.node, halt.endpoint, Halted(halt, now))
        return bool(_not_cut(halt) - (_not_cut(before.halt) if before else set()))

    def hold(self, ties: Ties, now: datetime) -> bool:
        """Take note of what a node says that endpoints hold there; say whether releases share something new."""
        with self._lock:
            before = self._ties.get(ties.node)
            self._ties[ties.node] = (ties, now)
        return bool(set(ties.shared or ()) - set((before[0].shared if before else None) or ()))

    def ties(self, endpoint: Endpoint, now: datetime) -> list[Ties]:
        """List what nodes said lately of what an endpoint holds."""
        with self._lock:
            found = [ties for ties, heard_at in self._ties.values() if now - heard_at < LATELY]
        mine = [_at(each, endpoint) for each in found]
        return sorted((each for each in mine if each.ties or each.shared), key=lambda each: each.node)

    def halts(self, now: datetime) -> list[Halted]:
        """List what was stopped in the last day."""
        with self._lock:
            found = [one for held in self._halts.values() for one in held.values()]
        lately = (one for one in found if now - one.heard_at < KEPT)
        return sorted(lately, key=lambda one: (one.halt.node, one.halt.endpoint))

    def listing(self, now: datetime) -> list[Sighting]:
        """List who was seen in the last day, in the order of their names."""
        with self._lock:
            found = [one for held in self._seen.values() for one in held.values()]
        return sorted((one for one in found if now - one.at < KEPT), key=lambda one: (one.node, one.endpoint))


def _at(ties: Ties, endpoint: Endpoint) -> Ties:
    here = tuple(one for one in ties.shared or () if one.endpoint == endpoint)
    return replace(ties, ties=tuple(tie for tie in ties.ties if tie.endpoint == endpoint), shared=here or None)


def _not_cut(halt: Halt) -> set[Name]:
    return {one.name for one in halt.bindings or () if one.state != "cut"}


def _keep(kept: dict[Name, dict[Endpoint, T]], node: Name, endpoint: Endpoint, one: T) -> None:
    """Remember the newest of a node at an endpoint; of too many, the node's own oldest is forgotten."""
    held = kept.setdefault(node, {})
    held.pop(endpoint, None)
    held[endpoint] = one
    if len(held) > MOST:
        del held[next(iter(held))]
