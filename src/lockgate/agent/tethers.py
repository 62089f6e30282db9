"""How does the agent hold what endpoints may hold, and how does it let go of all of it at once?

    grant ── one at a time for each binding and endpoint, never behind a cut ──▶ Access, for the run
    sever ── a thread for each binding: cut, then try to get in ──▶ Severed{cut}, or an alarm: tried again until it is

A cut raises the fence of its endpoint first. What was to be granted under a smaller one is not; what hangs while it is
granted is cut again when it comes back. One binding that hangs holds up no other: each is waited for until the same
instant, and then said to be unknown.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from lockgate.agent.grant_book import GrantBook
from lockgate.core.binding import MAX_WHY, Bound, Holder, Severed, check_granted
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.names import Endpoint, Name
from lockgate.host_wiring import Wired
from lockgate.loader.control import Access

LIMIT_SECONDS = 4.0  # until a binding that was to be cut and tried is said to be unknown
TURN_SECONDS = 1.0  # that a cut waits for a grant which is under way

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose access is cut: that of these holders, or of everybody at an endpoint, on all hosts."""

    endpoint: Endpoint
    holders: tuple[Holder, ...] | None = None


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that was to be cut, and was not proven to be: since when, and what came of trying last."""

    since: datetime
    severed: Severed


@dataclass(frozen=True, slots=True)
class Leave:
    """Who is let in until when, and what tools its contract lists."""

    holder: Holder
    until: datetime
    tools: tuple[str, ...] = ()


class Tether:
    """One binding of this host."""

    def __init__(self, name: Name, wired: Wired) -> None:
        self.name, self.kind, self.binding = name, wired.kind, wired.binding
        self.alarms: dict[Scope, Alarm] = {}
        self.seen: dict[str, int] = {}  # how many sessions each login had when that was looked at last
        self.told: dict[Scope, Severed] = {}  # what came of trying last, where it once was an alarm
        self._turns: dict[Endpoint, threading.Lock] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, endpoint: Endpoint, seconds: float = -1) -> Iterator[None]:
        """Be the only one who grants or cuts at an endpoint; after so many seconds go on all the same."""
        with self._lock:
            lock = self._turns.setdefault(endpoint, threading.Lock())
        mine = lock.acquire(timeout=seconds)
        try:
            yield
        finally:
            if mine:
                lock.release()


class Tethers:
    """All bindings of a host. Safe to use from many threads."""

    def __init__(self, wired: Mapping[Name, Wired], book: GrantBook) -> None:
        self.book = book
        self.all = {name: Tether(name, each) for name, each in wired.items()}
        self.access: dict[tuple[Name, Holder], Access] = {}
        self.left: set[tuple[Name, Holder]] = set()  # said to be over, so nobody comes back
        self._fences = Counter[Endpoint]()
        self._lock = threading.Lock()

    def check(self, bindings: Mapping[Name, Bound] | None) -> None:
        """Raise `DeniedError` unless this host knows all that the policy lets an endpoint hold."""
        for name in sorted(bindings or {}):
            if name not in self.all:
                raise DeniedError(f"this host does not know how to reach {name}: its bindings.toml does not name it")
            check_granted(name, self.all[name].kind, bindings)

    def fence(self, endpoint: Endpoint) -> int:
        """Say under which fence something may be granted, if nothing is cut meanwhile."""
        with self._lock:
            return self._fences[endpoint]

    def grant(self, tether: Tether, leave: Leave, fence: int) -> Access:
        """Let a holder in for a while; raise `DeniedError` if it was cut since `fence` was read, or is still to be.

        Enforces: emergency_shutdown
        """
        holder = leave.holder
        with tether.turn(holder.endpoint):
            self._check_fence(holder, fence)
            _check_shut(tether, holder)
            self.book.note(tether.name, holder)
            means = tether.binding.grant(holder, leave.until, leave.tools)
            access = Access(tether.name, tether.kind, holder.login, leave.until, means)
            if self.fence(holder.endpoint) == fence:
                self.access[tether.name, holder] = access
                return access
        self.cut(tether, Scope(holder.endpoint, (holder,)))  # the cut before did not wait for this
        raise _behind_a_cut(holder)

    def sever(self, scope: Scope) -> "Severing":
        """Begin to cut and to try all that this host knows of in `scope`, each in a thread of its own."""
        with self._lock:
            self._fences[scope.endpoint] += 1
        for name, holder in list(self.access):
            if _is_in(holder, scope):
                self.access.pop((name, holder), None)
        known = self.book.names(scope.endpoint)
        tethers = [tether for tether in self.all.values() if scope.holders is None or tether.name in known]
        return Severing(tuple((tether, _begin(self.cut, tether, scope)) for tether in tethers), scope)

    def cut(self, tether: Tether, scope: Scope) -> Severed:
        """Cut one binding, try to get in, and remember it as an alarm unless nobody did."""
        severed = _severed(tether, scope)
        self.settle(tether, scope, severed)
        return severed

    def settle(self, tether: Tether, scope: Scope, severed: Severed) -> None:
        """Take note of what came of cutting."""
        if severed.state != "cut":
            before = tether.alarms.get(scope)
            tether.alarms[scope] = Alarm(before.since if before else datetime.now(UTC), severed)
            tether.told[scope] = severed
            return
        for other in [each for each in list(tether.alarms) if each == scope or _is_all_of(scope, each)]:
            tether.alarms.pop(other, None)
            tether.told[other] = severed
        self.book.forget(tether.name, [each for each in self.book.holders(tether.name) if _is_in(each, scope)])

    def leave(self, holder: Holder) -> None:
        """Take note that a run is over: what nobody else holds is cut at once."""
        self.left |= {(name, holder) for name in self.all}

    def alarms(self) -> Sequence[tuple[Scope, Alarm]]:
        """List what was to be cut and was not proven to be."""
        return [each for tether in self.all.values() for each in list(tether.alarms.items())]

    def close(self) -> None:
        """Let go of all connections."""
        for tether in self.all.values():
            tether.binding.close()

    def _check_fence(self, holder: Holder, fence: int) -> None:
        if self.fence(holder.endpoint) != fence:
            raise _behind_a_cut(holder)


@dataclass(frozen=True, slots=True)
class Severing:
    """Cuts that are under way."""

    begun: "tuple[tuple[Tether, Future[Severed]], ...]"
    scope: Scope

    def result(self, tethers: Tethers, seconds: float = LIMIT_SECONDS) -> tuple[Severed, ...] | None:
        """Wait until each is done, or until so many seconds are over; None if there was nothing to cut."""
        ends_at = time.monotonic() + seconds
        found = tuple(self._waited(tethers, tether, future, ends_at) for tether, future in self.begun)
        return tuple(sorted(found, key=lambda severed: severed.name)) or None

    def _waited(self, tethers: Tethers, tether: Tether, future: "Future[Severed]", ends_at: float) -> Severed:
        try:
            return future.result(max(0.0, ends_at - time.monotonic()))
        except TimeoutError:
            severed = Severed(tether.name, tether.kind, "unknown", why="no answer in time")
            if not future.done():
                tethers.settle(tether, self.scope, severed)
            return severed


def _behind_a_cut(holder: Holder) -> DeniedError:
    return DeniedError(f"{holder.endpoint} was cut meanwhile, so nothing is granted")


def _severed(tether: Tether, scope: Scope) -> Severed:
    told = Severed(tether.name, tether.kind, "unknown")
    try:
        with tether.turn(scope.endpoint, TURN_SECONDS):
            for holder in _each(scope):
                tether.binding.cut(scope.endpoint, holder)
            told = replace(told, cut_at=datetime.now(UTC))
            found = {tether.binding.probe(scope.endpoint, holder) for holder in _each(scope)}
        told = replace(told, probed_at=datetime.now(UTC))
    except LockgateError as e:
        return replace(told, why=str(e)[:MAX_WHY])
    except Exception as e:  # noqa: BLE001 - whatever a driver does wrong: the others go on, and this one is named
        return replace(told, why=f"its driver failed: {type(e).__name__}")
    if found - {"shut"}:
        return replace(told, state="open", why="it was cut, and somebody still gets in")
    return replace(told, state="cut")


def _check_shut(tether: Tether, holder: Holder) -> None:
    """Raise `DeniedError` while something that was to be cut here is not proven to be."""
    for scope, alarm in list(tether.alarms.items()):
        if (scope.holders is None and scope.endpoint == holder.endpoint) or holder in (scope.holders or ()):
            raise DeniedError(f"{tether.name} was to be cut at {scope.endpoint}, and is {alarm.severed.state} still")


def _each(scope: Scope) -> Sequence[Holder | None]:
    return (None,) if scope.holders is None else scope.holders


def _is_in(holder: Holder, scope: Scope) -> bool:
    return holder.endpoint == scope.endpoint and (scope.holders is None or holder in scope.holders)


def _is_all_of(scope: Scope, other: Scope) -> bool:
    return scope.holders is None and scope.endpoint == other.endpoint


def _begin(act: Callable[..., T], *arguments: object) -> "Future[T]":
    """Do something in a thread of its own, which nobody waits for when the agent ends."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(act(*arguments))
        except BaseException as e:  # noqa: BLE001 - whoever waits is told
            future.set_exception(e)

    threading.Thread(target=run, name="sever", daemon=True).start()
    return future
