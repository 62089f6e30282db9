"""What may a serving host ask for, and what does the answer allow? Leases: short, signed, for one nonce.

    host                                        server
      │  sent_at = boot clock, nonce              │
      ├──── Request{nonce, wants} signed ────────▶│ reads the endpoints from the primary, in one transaction
      │◀─── Grant{nonce, granted, refused, …} ────┤ signed by a key for leases
      │  deadline = sent_at + seconds · 99 %       │

    granted     ──▶ serve, for so long
    superseded  ──▶ another took its place: begin nothing; finish on the lease in hand, which is renewed no more
    refused     ──▶ suspended, revoked, unknown, anything else: stop at once

The time counts from the moment of sending, on a clock that runs during suspend, so that neither a delayed answer nor a
sleeping host can stretch it (spec/lease.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar

from lockgate.core.endpoint import State, check_serving, check_share, check_superseded
from lockgate.core.intent import MIN_NONCE
from lockgate.core.policy import LEASE_SECONDS, Rules
from lockgate.core.revocation import Revocations
from lockgate.core.traffic import check_sticky
from lockgate.core.trust import Actor, Purpose, Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name

REQUEST = "application/vnd.lockgate.lease-request+json"
GRANT = "application/vnd.lockgate.lease+json"
MAX_WANTS = 256
MAX_CONTROL = 256


@dataclass(frozen=True, slots=True)
class Want:
    """A host wants to serve (or goes on serving) this release at this endpoint; with `keys`, to read its files too."""

    endpoint: Endpoint
    release: Digest
    keys: bool | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a host asks: a fresh nonce and what it wants. Data keys are sealed to `seal_to`, an X25519 key in base64.

    `control` is where its agent takes orders.
    """

    type: ClassVar[str] = "lease-request/v1"
    node: Name
    nonce: str
    wants: tuple[Want, ...]
    hand_over: str
    seal_to: str | None = None
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """Permission to serve for `seconds` from the moment the request was sent, as what entry `epoch` let serve here.

    `keys` is the box with the data keys of the release's files, if the holder asked for them. `weight` is how
    much of new traffic the release gets, in percent: 100 for the stable one, less while a candidate is on its way.
    Callers with the same value of the header `sticky_by` stay with one release meanwhile.
    """

    endpoint: Endpoint
    release: Digest
    seconds: int
    epoch: int
    keys: str | None = None
    weight: int | None = None
    candidate: bool | None = None
    sticky_by: str | None = None


@dataclass(frozen=True, slots=True)
class Superseded:
    """No permission any more, because the release `by` took its place; `epoch` is what had let it serve here.

    What is under way may go on until the lease in hand is over. Nothing new begins, and no lease is renewed by this.
    """

    endpoint: Endpoint
    release: Digest
    epoch: int
    by: Digest


@dataclass(frozen=True, slots=True)
class Refused:
    """No permission, and why. Holders stop at once."""

    endpoint: Endpoint
    release: Digest
    reason: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to one request; it means nothing for any other."""

    type: ClassVar[str] = "lease/v1"
    node: Name
    nonce: str
    granted: tuple[Granted, ...]
    refused: tuple[Refused, ...]
    superseded: tuple[Superseded, ...] | None = None


def sign_request(request: Request, signer: Signer) -> bytes:
    """Sign a request with the key of the node."""
    return dsse.sign(plain.encode(request), REQUEST, [signer]).encode()


def open_request(document: bytes, find: Callable[[Name], Actor]) -> tuple[Request, Actor]:
    """Verify that the node which the request names has sent it; `find` says whose keys those are."""
    envelope = dsse.parse(document)
    if envelope.payload_type != REQUEST:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {REQUEST}")
    request = plain.decode(Request, envelope.payload)
    asker = find(request.node)
    dsse.open_envelope(envelope, REQUEST, asker.keys)
    if request.node != asker.name:
        raise VerificationError(f"the request is of {request.node}, its signature of {asker.name}")
    if not 1 <= len(request.wants) <= MAX_WANTS or not MIN_NONCE <= len(request.nonce) <= MAX_WANTS:
        raise VerificationError(f"a lease request wants 1 to {MAX_WANTS} endpoints, and a nonce of {MIN_NONCE} or more")
    check_control(request.control)
    return request, asker


def check_control(control: str | None) -> None:
    """Raise `VerificationError` for what is no address that orders could be sent to."""
    if control is None:
        return
    known = control.startswith(("http://", "https://")) and control.isascii() and control.isprintable()
    if not known or " " in control or len(control) > MAX_CONTROL:
        raise VerificationError(f"control is no address like https://host-1:8422: {control[:80]!a}")


def answer(
    request: Request,
    states: Mapping[Endpoint, State],
    rules: Mapping[Endpoint, Rules],
    revoked: Revocations,
    sticky: Mapping[Endpoint, str | None] = MappingProxyType({}),
) -> Grant:
    """Grant what should serve, stable or candidate; refuse the rest. An endpoint without state or rules gets nothing.

    Enforces: retirement_revocation
    """
    answers = [
        _answer(want, states.get(want.endpoint), rules.get(want.endpoint), revoked, sticky.get(want.endpoint))
        for want in request.wants
    ]
    granted = tuple(each for each in answers if isinstance(each, Granted))
    refused = tuple(each for each in answers if isinstance(each, Refused))
    superseded = tuple(each for each in answers if isinstance(each, Superseded))
    return Grant(request.node, request.nonce, granted, refused, superseded or None)


def sign_grant(grant: Grant, signer: Signer) -> bytes:
    """Sign an answer with the key for leases."""
    return dsse.sign(plain.encode(grant), GRANT, [signer]).encode()


def open_grant(document: bytes, request: Request, trust: Trust, at: datetime) -> Grant:
    """Verify that a trusted server answered exactly this `request`; an answer to any other is worth nothing.

    Enforces: verified_loading
    """
    opened = dsse.open_envelope(dsse.parse(document), GRANT, trust.keys_for(Purpose.LEASE, at))
    grant = plain.decode(Grant, opened.payload)
    if (grant.node, grant.nonce) != (request.node, request.nonce):
        raise VerificationError("the lease answers another request")
    _check_asked(grant, request)
    with_keys = {(want.endpoint, want.release) for want in request.wants if want.keys and request.seal_to}
    for one in grant.granted:
        if one.keys is not None and (one.endpoint, one.release) not in with_keys:
            raise VerificationError("the lease brings keys that were not asked for")
        if one.seconds not in LEASE_SECONDS:
            raise VerificationError(f"a lease lasts 2 to 3600 seconds, not {one.seconds}")
        if one.weight is not None and not 0 <= one.weight <= 100:
            raise VerificationError(f"the lease gives {one.weight} % of the traffic")
        check_sticky(one.sticky_by)
    return grant


def _check_asked(grant: Grant, request: Request) -> None:
    """Raise `VerificationError` unless each permission is about something else that was asked for."""
    asked = {(want.endpoint, want.release) for want in request.wants}
    given = [(one.endpoint, one.release) for one in grant.granted]
    given += [(one.endpoint, one.release) for one in grant.superseded or ()]
    if not set(given) <= asked:
        raise VerificationError("the lease grants what was not asked for")
    if len(set(given)) != len(given):
        raise VerificationError("the lease grants something twice")


def _answer(
    want: Want, state: State | None, rules: Rules | None, revoked: Revocations, sticky_by: str | None
) -> Granted | Superseded | Refused:
    """Answer one want: what is not known to be stable, a candidate or superseded is refused."""
    try:
        revoked.check_release(want.release)
        if state is None or rules is None:
            raise DeniedError(f"{want.endpoint} is unknown here")
        try:
            return _superseded(want, state)
        except DeniedError:
            return _granted(want, state, rules, sticky_by)
    except DeniedError as e:
        return Refused(want.endpoint, want.release, str(e))


def _superseded(want: Want, state: State) -> Superseded:
    slot = check_superseded(state, want.release)
    return Superseded(want.endpoint, want.release, slot.epoch, check_serving(state).release)


def _granted(want: Want, state: State, rules: Rules, sticky_by: str | None) -> Granted:
    share = check_share(state, want.release)
    allowed = want.endpoint, want.release, rules.lease.seconds, share.slot.epoch
    return Granted(*allowed, weight=share.weight, candidate=share.candidate, sticky_by=sticky_by)
