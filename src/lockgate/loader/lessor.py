"""Who judges with a run and gives it leases? The agent of its host, or the run itself where there is none.

    lessor.admit ──▶ lessor.lease ──▶ files ──▶ started ──▶ lessor.words: lease, lease, … ──▶ stop

Both keep the same rules (`leasing`, `lease_clock`, `order_book`, `rejudging`). A run that holds its own leases hands
itself over to an agent as soon as one answers; one whose agent is gone goes on until its lease is over, and no longer.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lockgate.core.passport import Admission
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.loader.agent_line import AgentLine
from lockgate.loader.attendance import Alone
from lockgate.loader.connection import Connection, ServerSource
from lockgate.loader.control import SOCKET, Access, Ended, Started, Stop
from lockgate.loader.host import Host, open_host
from lockgate.loader.lease_clock import RENEWALS_PER_LIFE, Held, latest, pause_seconds
from lockgate.loader.leasing import claim_of
from lockgate.loader.namespace import PrivateMounts
from lockgate.loader.opening import (
    Opened,
    ask_lease,
    ask_lease_and_keys,
    check_unbound,
    connect,
    directory_source,
    judge_endpoint,
    open_files,
)
from lockgate.loader.order_book import OrderBook
from lockgate.loader.rejudging import judge_again

TERM_SECONDS = 5
HAND_OVER = "sealed"
_GLANCE_SECONDS = 0.5  # for an agent that came meanwhile: it must not cost the lease
_LEARN_SECONDS = 1.0  # between two looks at what is in force, or a third of the lease if that is longer

Tell = Callable[[str], None]


class Lessor(Protocol):
    """Who judges with a run, and gives it leases."""

    @property
    def connection(self) -> Connection:
        """How the server is spoken to."""

    @property
    def home(self) -> Path:
        """Where this host keeps what no model server may see."""

    def admit(self, endpoint: Endpoint, *, keys: bool, candidate: bool = False) -> Admission:
        """Judge what should serve at `endpoint`, or its candidate; raise if none may. `keys`: to decrypt its files."""

    def lease(self, admission: Admission) -> tuple[Held, dict[Digest, bytes]]:
        """Return a lease for what was judged, and the keys of its files if they are wanted; raise if there is none."""

    def fresh(self, admission: Admission, lease: Held) -> Held:
        """Return the lease to start on: the same, or a later one if it is due. Raise if it was taken back."""

    def bind(self, admission: Admission, put: Callable[[Access], None]) -> None:
        """Have `put` called for each binding that the endpoint may hold, and again for each that changes."""

    def words(self, admission: Admission, lease: Held) -> Iterator[Held | Stop]:
        """Yield each later lease as it comes, and at last why to stop. Waits for each, however long it takes."""

    def note(self, happened: Started | Ended) -> None:
        """Take note of what became of the model server."""


@dataclass
class OwnLessor:
    """A run that judges alone and holds its own leases, until an agent takes them over.

    What is in force is learnt beside the renewals, by another thread: a feed that hangs must not cost the lease.
    """

    host: Host
    connection: Connection
    tell: Tell
    keys: bool = False
    started: Started | None = None
    agent: AgentLine | None = None
    admission: Admission | None = None
    refused: tuple[str, ...] = ()
    woken: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    presence: Alone | None = None

    @property
    def home(self) -> Path:
        """The home of the host (port `Lessor`)."""
        return self.host.home

    def admit(self, endpoint: Endpoint, *, keys: bool, candidate: bool = False) -> Admission:
        """Judge what should serve at `endpoint` (port `Lessor`)."""
        self.keys = keys
        if candidate:
            self.tell("no agent here, so nobody looks what both releases are connected to")
        admission = judge_endpoint(self.host, endpoint, self.connection, candidate=candidate)
        check_unbound(admission)
        return admission

    def lease(self, admission: Admission) -> tuple[Held, dict[Digest, bytes]]:
        """Ask the server for a lease (port `Lessor`)."""
        if self.keys:
            return ask_lease_and_keys(self.host, admission, self.connection, HAND_OVER)
        return self._renewed(admission), {}

    def fresh(self, admission: Admission, lease: Held) -> Held:
        """Ask again if the lease is due: copying took its time (port `Lessor`)."""
        return self._renewed(admission) if lease.is_due(_now()) else lease

    def bind(self, admission: Admission, put: Callable[[Access], None]) -> None:
        """Raise `DeniedError` if there is anything to be bound (port `Lessor`)."""
        del put
        check_unbound(admission)

    def words(self, admission: Admission, lease: Held) -> Iterator[Held | Stop]:
        """Ask again and again, until what is in force admits it no more (port `Lessor`)."""
        self.admission = admission
        port = self.started.port if self.started else None
        self.presence = Alone(self.host, claim_of(admission), port, self.connection, self.tell)
        threading.Thread(target=self._learn_until_the_end, name="rules", daemon=True).start()
        while True:
            if self.woken.wait(pause_seconds(lease, _now())):
                if not self.ended.is_set():
                    yield Stop(self.refused, 0)
                return
            if self._found_agent(self.admission):
                assert self.agent is not None
                yield from self.agent.words(self.admission, lease)
                return
            try:
                lease = latest(lease, self._renewed(self.admission))
            except DeniedError as e:
                yield Stop(e.reasons, TERM_SECONDS)
                return
            except (UnavailableError, VerificationError, ConflictError) as e:  # no answer that counts: it runs out
                self.tell(f"no lease for now: {e}")
                continue
            yield lease

    def note(self, happened: Started | Ended) -> None:
        """Remember since when and where it serves, for an agent that comes later (port `Lessor`)."""
        if isinstance(happened, Started):
            self.started = happened
        else:
            self.ended.set()
            self.woken.set()
            self._leave()
        if self.agent is not None:
            self.agent.note(happened)

    def _renewed(self, admission: Admission) -> Held:
        return ask_lease(self.host, admission, self.connection, HAND_OVER)

    def _learn_until_the_end(self) -> None:
        assert self.admission is not None
        pause = max(_LEARN_SECONDS, claim_of(self.admission).seconds / RENEWALS_PER_LIFE)
        self.refused = ("this run cannot tell any more by what it is to be judged",)
        try:
            while not self.ended.wait(pause) and self.agent is None:
                self._learn()
        except DeniedError as e:
            self.refused = e.reasons
        finally:
            if self.agent is None:
                self.woken.set()

    def _learn(self) -> None:
        """Learn what is in force; raise `DeniedError` if it does not admit what runs.

        Enforces: retirement_revocation
        """
        now = datetime.now(UTC)
        try:
            host = open_host(self.host.home, now)
        except LockgateError as e:
            self.tell(f"what is in force cannot be learnt: {e}")
            return
        before, self.host = self.host, host
        if not host.update.says_the_same(before.update):
            assert self.admission is not None
            why = self.admission.passport, self.admission.at
            self.admission = judge_again(host, claim_of(self.admission), *why, self.connection, OrderBook(host, now))
            check_unbound(self.admission)

    def _found_agent(self, admission: Admission) -> bool:
        try:
            self.agent = AgentLine.reach(self.host, self.tell, _GLANCE_SECONDS)
            self.agent.hand_over(admission, self.started or Started(datetime.now(UTC)))
        except UnavailableError:
            return False
        self.tell("the agent of this host holds the lease from now on")
        self._leave()
        return True

    def _leave(self) -> None:
        if self.presence is not None:
            self.presence.leave()


def find_lessor(home: Path, now: datetime, tell: Tell) -> Lessor:
    """Reach the agent of `home` if there is one that answers; else hold leases with the node's own key."""
    if os.path.exists(home / SOCKET):  # noqa: PTH110 - a name too long is no agent either
        try:
            return AgentLine.reach(open_host(home, now, keyless=True, asking=False), tell)
        except UnavailableError as e:
            tell(f"{e}; holding its own lease")
    host = open_host(home, now)
    return OwnLessor(host, connect(host), tell)


def open_leased(
    endpoint: Endpoint,
    lessor: Lessor,
    *,
    mounts: PrivateMounts | None,
    directory: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    candidate: bool = False,
) -> Opened:
    """Do what `open_release` does, with the leases of `lessor`; for the candidate, if it is to be tried.

    Enforces: verified_loading
    """
    admission = lessor.admit(endpoint, keys=directory is None, candidate=candidate)
    lease, keys = lessor.lease(admission)
    try:
        source = directory_source(admission, directory) if directory else ServerSource(lessor.connection, keys)
        return Opened(admission, open_files(admission, source, mounts, progress), lease)
    finally:
        keys.clear()


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
