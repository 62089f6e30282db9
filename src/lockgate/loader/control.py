"""What do a run and the agent of its host say to each other? Lines of canonical JSON, over HOME/agent.sock.

    run                                       agent
     │── Serve{endpoint, seal_to} ──────────────▶│ fetch, judge, look at the orders, ask for a lease
     │◀─ Judged{passport} ── Keys{box} ── Leased │        or Refused{error, reasons}
     │◀─ Access{name, means} ── …                │ for each binding that the policy names, and again with each lease
     │── Started ───────────────────────────────▶│
     │◀─ Leased, Leased, … ── Stop{reasons} ─────│ pushed
     │── Ended ─────────────────────────────────▶│
     │── TakeBack{…} ───────────────────────────▶│ the same run, to an agent that was started anew

Nothing here proves anything: who may speak is said by the kernel (SO_PEERCRED) and the mode of the socket. The instants
are microseconds of CLOCK_BOOTTIME, which both ends share.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.binding import BindingKind
from lockgate.core.passport import MAX_PASSPORT, Passport
from lockgate.core.policy import LEASE_SECONDS
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.loader.lease_clock import Held
from lockgate.loader.leasing import Claim
from lockgate.loader.standing import Standing

SOCKET = "agent.sock"
MAX_QUESTION = MAX_WORD = MAX_PASSPORT + (1 << 20)

_MICROSECOND = 1000
_PIECE = 1 << 16
_LONGEST_PATH = 107  # of a unix socket, in bytes (unix(7))
Wrong: TypeAlias = Literal["denied", "verification", "conflict", "unavailable"]
_ERRORS: dict[Wrong, type[LockgateError]] = {
    "denied": DeniedError,
    "verification": VerificationError,
    "conflict": ConflictError,
    "unavailable": UnavailableError,
}


@dataclass(frozen=True, slots=True)
class Serve:
    """A run wants to serve this endpoint; with `seal_to`, its own X25519 key, to read the release's files too.

    With `candidate`, it wants the candidate on its way there.
    """

    type: ClassVar[str] = "serve/v1"
    endpoint: Endpoint
    seal_to: str | None = None
    candidate: bool | None = None


@dataclass(frozen=True, slots=True)
class TakeBack:
    """A run serves already: another agent, or itself, had judged its passport and asked for its leases."""

    type: ClassVar[str] = "take-back/v1"
    endpoint: Endpoint
    release: Digest
    tag: Tag
    epoch: int
    seconds: int
    grace_seconds: int
    since: datetime
    passport: Passport
    judged_at: datetime
    port: int | None = None

    @property
    def claim(self) -> Claim:
        """What leases are wanted for; raise `VerificationError` for leases that nobody grants."""
        if self.seconds not in LEASE_SECONDS:
            raise VerificationError(f"a lease lasts 2 to 3600 seconds, not {self.seconds}")
        return Claim(self.endpoint, self.release, self.epoch, self.seconds)


@dataclass(frozen=True, slots=True)
class Started:
    """The model server was started; it is to answer at `port` of this machine, once it is ready."""

    type: ClassVar[str] = "started/v1"
    at: datetime
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The model server and all that it started are gone."""

    type: ClassVar[str] = "ended/v1"
    code: int
    why: str


@dataclass(frozen=True, slots=True)
class SessionWanted:
    """A run wants the token of a session with the server."""

    type: ClassVar[str] = "session-wanted/v1"


@dataclass(frozen=True, slots=True)
class StatusWanted:
    """Somebody wants to know what runs here."""

    type: ClassVar[str] = "status-wanted/v1"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the agent let through: judge it again before you load it."""

    type: ClassVar[str] = "judged/v1"
    passport: Passport


@dataclass(frozen=True, slots=True)
class Keys:
    """The box that came with the first lease, sealed to the run by the server: the agent cannot open it."""

    type: ClassVar[str] = "keys/v1"
    nonce: str
    box: str


@dataclass(frozen=True, slots=True)
class Leased:
    """A lease: counted from when its request was sent, as everywhere."""

    type: ClassVar[str] = "leased/v1"
    sent_at: int
    renew_at: int
    deadline: int

    @classmethod
    def of(cls, lease: Held) -> "Leased":
        """Write a lease down; a part of a microsecond is given up."""
        return cls(*(at // _MICROSECOND for at in (lease.sent_at_ns, lease.renew_at_ns, lease.deadline_ns)))

    @property
    def held(self) -> Held:
        """The lease in hand."""
        if not 0 <= self.sent_at <= self.renew_at <= self.deadline:
            raise VerificationError("the instants of a lease are not in their order")
        return Held(self.sent_at * _MICROSECOND, self.renew_at * _MICROSECOND, self.deadline * _MICROSECOND)


@dataclass(frozen=True, slots=True)
class Access:
    """What lets a model server into one binding, under its own `login`; `means` is for whoever opens connections."""

    type: ClassVar[str] = "access/v1"
    name: Name
    kind: BindingKind
    login: str
    until: datetime
    means: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Stop:
    """Permission to serve ended. The model server gets `grace_seconds` to end by itself, if its lease lasts so long."""

    type: ClassVar[str] = "stop/v1"
    reasons: tuple[str, ...]
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class Refused:
    """What was asked for is not to be had."""

    type: ClassVar[str] = "refused/v1"
    error: Wrong
    reasons: tuple[str, ...]

    @classmethod
    def because(cls, error: LockgateError) -> "Refused":
        """Tell an error."""
        reasons = error.reasons if isinstance(error, DeniedError) else (str(error),)
        return cls(next(word for word, kind in _ERRORS.items() if isinstance(error, kind)), reasons)

    def raised(self) -> LockgateError:
        """Give the error that was told."""
        return _ERRORS[self.error](*self.reasons)


@dataclass(frozen=True, slots=True)
class Session:
    """The token of a session of this node."""

    type: ClassVar[str] = "session/v1"
    token: str


Question: TypeAlias = Serve | TakeBack | Started | Ended | SessionWanted | StatusWanted
Word: TypeAlias = Judged | Keys | Leased | Access | Stop | Refused | Session | Standing


def encode(message: Question | Word) -> bytes:
    """Write a message as one line."""
    return plain.encode(message) + b"\n"


def read_question(line: bytes) -> Question:
    """Read what a run says; raise `VerificationError` for anything else."""
    return plain.from_plain(Question, canonical.parse(line, limit=MAX_QUESTION), "question")  # type: ignore[arg-type]  # a union


def read_word(line: bytes) -> Word:
    """Read what an agent says; raise `VerificationError` for anything else."""
    return plain.from_plain(Word, canonical.parse(line, limit=MAX_WORD), "word")  # type: ignore[arg-type]  # a union


def lines(door: socket.socket, limit: int) -> Iterator[bytes]:
    """Read lines of at most `limit` bytes until the other end is gone; raise `VerificationError` for a longer one."""
    held_back = bytearray()
    while True:
        cut = held_back.find(b"\n")
        if cut >= 0:
            line = bytes(held_back[:cut])
            del held_back[: cut + 1]
            yield line
            continue
        if len(held_back) > limit:
            raise VerificationError(f"a message has more than {limit} bytes")
        try:
            piece = door.recv(_PIECE)
        except TimeoutError as e:
            raise UnavailableError("the other end says nothing") from e
        except OSError:
            return
        if not piece:
            return
        held_back += piece


def call(home: Path, seconds: float) -> socket.socket:
    """Reach the agent of `home`; raise `UnavailableError` if there is none, or if it is somebody else's."""
    path = os.fsencode(home.absolute() / SOCKET)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    door.settimeout(seconds)
    try:
        door.connect(address(home))
        if peer(door)[1] not in (0, os.geteuid(), home.stat().st_uid):
            raise UnavailableError(f"{os.fsdecode(path)} is answered by another user")
    except OSError as e:
        door.close()
        raise UnavailableError(f"no agent answers at {os.fsdecode(path)}: {e.strerror or e}") from e
    except UnavailableError:
        door.close()
        raise
    return door


def address(home: Path) -> str:
    """Name the socket of `home` for bind and connect, by a short way if its path is too long for a socket."""
    path = home.absolute() / SOCKET
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return str(path)
    folder = os.open(home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{SOCKET}"


def peer(door: socket.socket) -> tuple[int, int]:
    """Say which program is at the other end, and of which user: pid and uid, by the kernel's word."""
    found = door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", found)
    return pid, uid
