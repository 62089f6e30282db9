"""Who may speak to the agent on its own host, and what is answered? HOME/agent.sock, and what `loader.control` says.

The kernel says who is at the other end (SO_PEERCRED): the agent's own user, root, or the one user that `runner` names
in host.toml. Everybody else is hung up on. A run that does not read what it is told is hung up on too: its lease runs
out, and it comes back if it can.
"""

import os
import pwd
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node
from lockgate.agent.renewing import ask, asker_of
from lockgate.agent.standing_of import standing_of
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.loader.control import (
    MAX_QUESTION,
    SOCKET,
    Ended,
    Judged,
    Keys,
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
    address,
    encode,
    lines,
    peer,
    read_question,
)
from lockgate.loader.leasing import Claim, ask_lease_and_box, claim_of

MAX_CONNECTIONS = 1024
_SEND_SECONDS = 30


class Line:
    """One connection to whoever asks (port `Channel`)."""

    def __init__(self, door: socket.socket) -> None:
        self.pid, _ = peer(door)
        self.door = door
        self._lock = threading.Lock()

    def push(self, word: Word) -> None:
        """Tell something at once, or hang up."""
        message = encode(word)
        with self._lock:
            try:
                whole = self.door.send(message, socket.MSG_DONTWAIT) == len(message)
            except OSError:
                whole = False
        if not whole:
            self.hang_up()

    def say(self, word: Word) -> None:
        """Tell something however long it is; hang up on whoever does not take it."""
        with self._lock:
            try:
                self.door.sendall(encode(word))
            except OSError:
                self.hang_up()

    def hang_up(self) -> None:
        """End the connection; its thread notices."""
        with suppress(OSError):
            self.door.shutdown(socket.SHUT_RDWR)


@dataclass
class Conversation:
    """What one run asks, from its first word to its last."""

    node: Node
    line: Line
    holding: Holding | None = None

    def hold(self) -> None:
        """Answer until the other end is gone."""
        try:
            for line in lines(self.line.door, MAX_QUESTION):
                try:
                    self._answer(read_question(line))
                except LockgateError as e:
                    self.line.say(Refused.because(e))
        except VerificationError as e:
            self.node.tell(f"program {self.line.pid} says what means nothing: {e}")
        finally:
            if self.holding is not None:
                self.node.holdings.remove(self.holding)
            self.line.door.close()

    def _answer(self, question: Question) -> None:
        match question:
            case Serve():
                self._serve(question)
            case TakeBack():
                self._take_back(question)
            case Started() | Ended():
                self._note(question)
            case SessionWanted():
                self.line.say(Session(self.node.session()))
            case StatusWanted():
                self.line.say(standing_of(self.node))

    def _serve(self, question: Serve) -> None:
        """Judge, and lease; a run that is refused is told why, and nothing is held for it."""
        edition = self.node.edition
        admission = self.node.judge(question.endpoint, candidate=question.candidate is True)
        permit, passport = admission.permit, admission.passport
        self.node.tethers.check(permit.rules.bindings)
        tag, grace = permit.release.manifest.tag, permit.rules.lease.grace
        claim = claim_of(admission)
        holding = Holding(claim, tag, grace, self.line, datetime.now(UTC), passport, admission.at, edition)
        holding.tools, holding.bindings = permit.release.manifest.contract.tools, permit.rules.bindings or {}
        self.line.say(Judged(passport))
        self._begin(holding)
        try:
            self.node.orders.check(question.endpoint)  # one may have come since
            self.node.check_trusted_log()
            self._ask(claim, question.seal_to)
        except LockgateError:
            self.node.holdings.remove(holding)
            raise

    def _ask(self, claim: Claim, seal_to: str | None) -> None:
        """Ask for the first lease of a run, and for the keys that it wants, in a box that only the run can open."""
        if seal_to is None:
            ask(self.node, [claim])
            return
        boxed = ask_lease_and_box(asker_of(self.node), claim, self.node.quick, seal_to)
        self.node.heard()
        self.line.say(Keys(boxed.nonce, boxed.box))
        self.node.holdings.lease(claim, boxed.lease)

    def _take_back(self, run: TakeBack) -> None:
        """Hold the leases of a run that serves already: it was judged before it started, and will be again soon."""
        why, grace = (run.passport, run.judged_at), max(0, run.grace_seconds)
        holding = Holding(run.claim, run.tag, grace, self.line, run.since, *why, serving=True)
        holding.port = run.port
        self._begin(holding)
        try:
            self.node.orders.check(run.endpoint)
        except DeniedError as e:
            self.node.holdings.stop(run.endpoint, Stop(e.reasons, 0))
        self.node.wake.set()

    def _note(self, happened: Started | Ended) -> None:
        if self.holding is None:
            raise DeniedError("nothing was asked for on this connection")
        if isinstance(happened, Started):
            self.node.holdings.started(self.holding, happened)
        else:
            self.holding.ended.set()
            self.node.tethers.leave(self.holding.holder(self.node.host.node))

    def _begin(self, holding: Holding) -> None:
        if self.holding is not None:
            raise DeniedError("one connection is for one run")
        self.holding = holding
        self.node.holdings.add(holding)


@contextmanager
def opened(node: Node, runner: str | None) -> Iterator[socket.socket]:
    """Make the socket, which only those can reach who may speak here."""
    path = node.home / SOCKET
    path.unlink(missing_ok=True)  # the lock of this home is ours, so nobody listens there
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        before = os.umask(0o177)
        try:
            door.bind(address(node.home))
        finally:
            os.umask(before)
        if runner is not None:
            os.chown(path, user_id(runner), -1)
        door.listen(MAX_CONNECTIONS)
    except OSError as e:
        door.close()
        raise UnavailableError(f"cannot listen at {path}: {e.strerror}") from e
    try:
        yield door
    finally:
        door.close()
        path.unlink(missing_ok=True)


def let_in(node: Node, door: socket.socket, runner: str | None) -> None:
    """Let in who may speak, each with a thread of their own, until the agent ends."""
    allowed = {0, os.geteuid()} | ({user_id(runner)} if runner else set())
    places = threading.BoundedSemaphore(MAX_CONNECTIONS)
    while not node.ending.is_set():
        try:
            guest, _ = door.accept()
        except OSError:
            return
        if peer(guest)[1] not in allowed or not places.acquire(blocking=False):
            guest.close()
            continue
        guest.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(_SEND_SECONDS))
        conversation = Conversation(node, Line(guest))
        threading.Thread(target=_hold, args=(conversation, places), name="run", daemon=True).start()


def user_id(runner: str) -> int:
    """Find the user that runs models here, by name or number."""
    try:
        return int(runner) if runner.isascii() and runner.isdecimal() else pwd.getpwnam(runner).pw_uid
    except KeyError as e:
        raise VerificationError(f"host.toml: there is no user {runner[:64]!a} to be the runner") from e


def _hold(conversation: Conversation, places: threading.BoundedSemaphore) -> None:
    try:
        conversation.hold()
    finally:
        places.release()


def _timeval(seconds: int) -> bytes:
    return seconds.to_bytes(8, "little") + bytes(8)
