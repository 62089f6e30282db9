"""How does a run get its leases from the agent of its host? Over a kept connection, on which the agent pushes them.

    reach ──▶ admit: Serve ──▶ Judged ──▶ judged here again ──▶ lease: the one that was pushed last
    words: each Leased, until Stop          the agent is gone ──▶ reach it again, TakeBack; the lease runs on, and out

The agent holds the key of the node, so a run with an agent needs none. What it lets through is judged again all the
same: the agent fetches, and remembers what it has seen, but the run loads nothing on its word.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lockgate.core.box import sealing_key
from lockgate.core.passport import Admission, admit_candidate, admit_passport
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.loader.control import (
    MAX_WORD,
    Access,
    Ended,
    Judged,
    Keys,
    Leased,
    Question,
    Refused,
    Serve,
    Session,
    SessionWanted,
    Started,
    StatusWanted,
    Stop,
    TakeBack,
    Word,
    call,
    encode,
    lines,
    read_word,
)
from lockgate.loader.host import Host, open_host
from lockgate.loader.lease_clock import Held, latest
from lockgate.loader.leasing import Boxed, claim_of
from lockgate.loader.opening import connect
from lockgate.loader.standing import Standing

ANSWER_SECONDS = 5.0  # for what the agent can say without asking anybody
_JUDGE_SECONDS = 150.0  # for a passport, which it must fetch
_LEASE_SECONDS = 15.0
_BIND_SECONDS = 15.0
_AGAIN_SECONDS = 0.2

W = TypeVar("W", Judged, Session, Standing)


class AgentLine:
    """A run's connection to the agent of its host (port `Lessor`)."""

    def __init__(self, host: Host, door: socket.socket, tell: Callable[[str], None]) -> None:
        """Listen at `door`, which is connected to the agent."""
        self._host, self._tell, self.home = host, tell, host.home
        self._news, self._asking = threading.Condition(), threading.Lock()
        self._answer: Word | None = None
        self._held: Held | None = None
        self._stop: Stop | None = None
        self._taken: TakeBack | None = None
        self._started: Started | None = None
        self._key: X25519PrivateKey | None = None
        self._keys: Keys | None = None
        self._access: dict[Name, Access] = {}
        self._put: Callable[[Access], None] | None = None
        self._open(door)
        self.connection = connect(host)
        self.connection.enter = self._session

    @classmethod
    def reach(cls, host: Host, tell: Callable[[str], None], seconds: float = ANSWER_SECONDS) -> "AgentLine":
        """Reach the agent of `host`; raise `UnavailableError` unless it answers, and speaks for the same node."""
        line = cls(host, call(host.home, seconds), tell)
        try:
            standing = line.ask(StatusWanted(), Standing, seconds)
        except LockgateError as e:
            line.close()
            raise UnavailableError(f"the agent does not answer: {e}") from e
        if standing.node != host.node:
            line.close()
            raise UnavailableError(f"the agent is that of {standing.node}, not of {host.node}")
        return line

    def admit(self, endpoint: Endpoint, *, keys: bool, candidate: bool = False) -> Admission:
        """Have the agent judge what should serve at `endpoint`, and judge it too (port `Lessor`)."""
        self._key = X25519PrivateKey.generate() if keys else None
        seal_to = sealing_key(self._key) if self._key else None
        passport = self.ask(Serve(endpoint, seal_to, candidate or None), Judged, _JUDGE_SECONDS).passport
        now = datetime.now(UTC)
        update = open_host(self._host.home, now, keyless=True, asking=False).update  # the agent may have learnt since
        update.check_fresh(now)
        admit = admit_candidate if candidate else admit_passport
        return admit(passport, endpoint, update.trust, update.policy, update.revoked, now)

    def lease(self, admission: Admission) -> tuple[Held, dict[Digest, bytes]]:
        """Return the lease that the agent holds for this run, and the keys that came with it (port `Lessor`)."""
        lease = self._leased()
        if self._key is None:
            return lease, {}
        if self._keys is None:
            raise UnavailableError(f"the agent gave a lease for {admission.permit.endpoint}, but no keys")
        boxed = Boxed(lease, self._keys.nonce, self._keys.box)
        return lease, boxed.open(self._key, self._host.node, claim_of(admission))

    def _leased(self) -> Held:
        with self._news:
            self._news.wait_for(self._is_leased, _LEASE_SECONDS)
            if self._stop is not None:
                raise DeniedError(*self._stop.reasons)
            if isinstance(self._answer, Refused):
                raise self._answer.raised()
            if self._held is None or not self._is_leased() or self._gone:
                raise UnavailableError("the agent of this host gives no lease")
            return self._held

    def fresh(self, admission: Admission, lease: Held) -> Held:
        """Return the lease that was pushed last (port `Lessor`)."""
        del admission
        return latest(lease, self._leased())

    def bind(self, admission: Admission, put: Callable[[Access], None]) -> None:
        """Wait for what the endpoint may hold, and `put` it; what comes later too (port `Lessor`)."""
        wanted = set(admission.permit.rules.bindings or {})
        with self._news:
            self._news.wait_for(lambda: wanted <= self._access.keys() or self._gone or self._stop, _BIND_SECONDS)
            if self._stop is not None:
                raise DeniedError(*self._stop.reasons)
            if missing := ", ".join(map(str, sorted(wanted - self._access.keys()))):
                raise UnavailableError(f"the agent grants no access to {missing}: see `lockgate agent status`")
            for access in self._access.values():
                put(access)
            self._put = put

    def words(self, admission: Admission, lease: Held) -> Iterator[Held | Stop]:
        """Yield what the agent pushes; reach it again when it is gone (port `Lessor`)."""
        if self._taken is None:
            self._taken = _taking(admission, self._started or Started(datetime.now(UTC)))
        while True:
            with self._news:
                self._news.wait_for(partial(self._has_news, lease))
                stop, held = self._stop, self._held
            if stop is not None:
                yield stop
                return
            if held is not None and latest(lease, held) is not lease:
                lease = held
                yield lease
            elif self._gone:
                self._reach_again()

    def hand_over(self, admission: Admission, started: Started) -> None:
        """Have the agent take over a run that held its own leases until now."""
        self._taken = _taking(admission, started)
        self._say(self._taken)

    def note(self, happened: Started | Ended) -> None:
        """Tell the agent what became of the model server (port `Lessor`)."""
        self._say(happened)
        if isinstance(happened, Started):
            self._started = happened
        else:
            self.close()

    def ask(self, question: Question, kind: type[W], seconds: float) -> W:
        """Ask the agent something; raise what it refuses with."""
        with self._asking, self._news:
            self._answer = None
            self._say(question)
            self._news.wait_for(lambda: self._gone or isinstance(self._answer, kind | Refused), seconds)
            answer = self._answer
        if isinstance(answer, Refused):
            raise answer.raised()
        if not isinstance(answer, kind):
            raise UnavailableError("the agent of this host did not answer")
        return answer

    def close(self) -> None:
        """Hang up; the thread that reads sees it, and ends."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)

    def _session(self) -> str:
        return self.ask(SessionWanted(), Session, ANSWER_SECONDS * 2).token

    def _is_leased(self) -> bool:
        fresh = self._held is not None and not self._held.is_due(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        whole = self._key is None or self._keys is not None  # a renewal may overtake the first lease and its keys
        return (fresh and whole) or self._gone or self._stop is not None or isinstance(self._answer, Refused)

    def _has_news(self, last: Held) -> bool:
        newer = self._held is not None and latest(last, self._held) is not last
        return newer or self._gone or self._stop is not None

    def _say(self, message: Question) -> None:
        try:
            self._door.sendall(encode(message))
        except OSError:  # the agent is gone: the reader says so
            return

    def _open(self, door: socket.socket) -> None:
        door.settimeout(None)
        self._door, self._gone = door, False
        threading.Thread(target=self._read, args=(door,), name="agent", daemon=True).start()

    def _read(self, door: socket.socket) -> None:
        with door:
            try:
                for line in lines(door, MAX_WORD):
                    self._hear(read_word(line))
            except VerificationError as e:
                self._tell(f"the agent says what means nothing: {e}")
        with self._news:
            if door is self._door:
                self._gone = True
            self._news.notify_all()

    def _hear(self, word: Word) -> None:
        with self._news:
            match word:
                case Leased():
                    lease = _of_this_clock(word.held)
                    self._held = latest(self._held, lease) if self._held else lease
                case Access():
                    self._take(word)
                case Stop():
                    self._stop = word
                case Keys():
                    self._keys = word
                case _:
                    self._answer = word
            self._news.notify_all()

    def _take(self, access: Access) -> None:
        self._access[access.name] = access
        if self._put is None:
            return
        try:
            self._put(access)
        except UnavailableError as e:
            self._tell(f"the model server does not learn how to get into {access.name}: {e}")

    def _reach_again(self) -> None:
        assert self._taken is not None
        time.sleep(_AGAIN_SECONDS)
        try:
            door = call(self._host.home, ANSWER_SECONDS)
        except UnavailableError:
            return
        self._open(door)
        self._say(self._taken)


def _of_this_clock(lease: Held) -> Held:
    """Refuse a lease from the future: the agent's boot clock is another one (time_namespaces(7)), so it lasts longer.

    One that is behind ours ends leases too early, which harms nobody.
    """
    if lease.sent_at_ns > time.clock_gettime_ns(time.CLOCK_BOOTTIME):
        raise VerificationError("the lease was asked for in the future: the agent's boot clock is another one")
    return lease


def ask_standing(home: Path) -> Standing:
    """Ask the agent of `home` how it stands; raise `UnavailableError` if none answers."""
    with call(home, ANSWER_SECONDS) as door:
        try:
            door.sendall(encode(StatusWanted()))
        except OSError as e:
            raise UnavailableError(f"the agent hung up: {e.strerror}") from e
        for line in lines(door, MAX_WORD):
            word = read_word(line)
            if isinstance(word, Standing):
                return word
    raise UnavailableError("the agent hung up without an answer")


def _taking(admission: Admission, started: Started) -> TakeBack:
    permit, claim = admission.permit, claim_of(admission)
    tag, grace = permit.release.manifest.tag, permit.rules.lease.grace
    why = admission.passport, admission.at
    whole = claim.endpoint, claim.release, tag, claim.epoch, claim.seconds, grace, started.at
    return TakeBack(*whole, *why, port=started.port)
