"""What may an endpoint hold besides its files, who holds it, and what is said when it was taken away?

    policy: name -> Bound ── with a lease: granted to a Holder ──▶ cut ──▶ tried as the holder ──▶ Severed

A binding is granted to one release on one host, under a login of its own. So releases share no account, memory or
index, and whatever bears the name of an endpoint can be cut by whoever knows nothing but that name (spec/binding.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer
from lockgate.formats.names import Endpoint, Name

CALL = "application/vnd.lockgate.binding-call+json"
MAX_BINDINGS = 32
MAX_WHY = 500

BindingKind: TypeAlias = Literal["postgres", "redis", "webhook", "credential", "mcp"]
Found: TypeAlias = Literal["shut", "open"]
_SHORT = 16  # hex digits: three of them fit into the 63 bytes that PostgreSQL lets a name have


@dataclass(frozen=True, slots=True)
class Bound:
    """What an endpoint may hold, as the policy says it: a system of this kind, which each host knows how to reach."""

    kind: BindingKind


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """Whom a binding is granted to: one release, at one endpoint, on one host."""

    endpoint: Endpoint
    node: Name
    release: Digest

    @property
    def login(self) -> str:
        """Name its account, its key prefix, its schema: nobody else's, and the same at each grant.

        Enforces: isolated_parallel_versions
        """
        return f"{logins_of(self.endpoint)}{_short(self.node)}_{self.release.hex[:_SHORT]}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is open at a binding now: each login that gets in, and how many sessions or calls it has."""

    logins: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Severed:
    """What came of cutting one binding: `cut` when trying to get in failed since, `unknown` if nobody could tell.

    `cut_at` is when the other system said that it is cut, `probed_at` when that was tried.
    """

    name: Name
    kind: BindingKind
    state: Literal["cut", "open", "unknown"]
    cut_at: datetime | None = None
    probed_at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What a host asks of a webhook, signed by its node: let this holder in, or nobody, or all that it let in, out."""

    type: ClassVar[str] = "binding-call/v1"
    act: Literal["grant", "cut"]
    binding: Name
    node: Name
    endpoint: Endpoint
    login: str | None
    until: datetime | None
    at: datetime
    nonce: str


def logins_of(endpoint: Endpoint) -> str:
    """Say how every login at an endpoint begins, on whatever host and for whatever release; no other one does."""
    return f"lockgate_{_short(endpoint)}_"


def check_bindings(where: str, bindings: Mapping[Name, Bound]) -> None:
    """Raise `VerificationError` for bindings that could not mean what their author wanted."""
    if not 1 <= len(bindings) <= MAX_BINDINGS:
        raise VerificationError(f"{where}: bindings names 1 to {MAX_BINDINGS} of them, not {len(bindings)}")


def check_granted(name: Name, kind: BindingKind, bindings: Mapping[Name, Bound] | None) -> None:
    """Raise `DeniedError` unless the policy lets an endpoint hold exactly this.

    Enforces: emergency_shutdown
    """
    bound = (bindings or {}).get(name)
    if bound is None:
        raise DeniedError(f"the policy names no binding {name} here, so nothing is granted")
    if bound.kind != kind:
        raise DeniedError(f"the policy says that {name} is {bound.kind}; this host has {kind} under that name")


def check_severed(severed: Sequence[Severed]) -> None:
    """Raise `VerificationError` for what could not have come of cutting: `cut` is said of what was cut and tried."""
    if len(severed) > MAX_BINDINGS or len({one.name for one in severed}) < len(severed):
        raise VerificationError(f"at most {MAX_BINDINGS} bindings are told of, each once")
    for one in severed:
        if one.state == "cut" and (one.cut_at is None or one.probed_at is None):
            raise VerificationError(f"{one.name} is said to be cut, but not since when, or not that it was tried")
        if (one.state == "cut") != (one.why is None):
            raise VerificationError(f"{one.name}: what was not cut says why, and only that")
        if one.why is not None and len(one.why) > MAX_WHY:
            raise VerificationError(f"{one.name}: why has more than {MAX_WHY} characters")


def sign_call(call: Call, signer: Signer) -> bytes:
    """Sign what is asked of a webhook with the key of the node."""
    return dsse.sign(plain.encode(call), CALL, [signer]).encode()


def open_call(document: bytes, find: Callable[[Name], tuple[PublicKey, ...]]) -> Call:
    """Verify that the node which a call names asks for it; `find` says what keys that node has."""
    envelope = dsse.parse(document)
    if envelope.payload_type != CALL:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {CALL}")
    call = plain.decode(Call, envelope.payload)
    dsse.open_envelope(envelope, CALL, find(call.node))
    if call.act == "grant" and (call.login is None or call.until is None):
        raise VerificationError("a grant is for a login, until an instant")
    if call.login is not None and not call.login.startswith(logins_of(call.endpoint)):
        raise VerificationError(f"{call.login[:80]!a} is no login of {call.endpoint}")
    return call


def _short(name: Endpoint | Name) -> str:
    return Digest.of(str(name).encode()).hex[:_SHORT]
