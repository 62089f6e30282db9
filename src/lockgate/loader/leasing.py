"""How are leases asked for? The rules of the protocol, in one place: a run asks for its own, an agent for all at once.

    read the boot clock ──▶ fresh nonce, sign ──▶ send ──▶ verify the answer ──▶ each claim: held since the sending,
                                                                                           superseded: begin nothing, or
                                                                                           refused: stop at once

An answer counts for the request that it answers and for no other. One that was overtaken by the answer to a later
request changes nothing (`lease_clock.latest`). No answer is none: what is held runs on, and out.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lockgate.core.box import Occasion, unseal
from lockgate.core.lease import Grant, Granted, Request, Superseded, Want, open_grant, sign_request
from lockgate.core.passport import Admission
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.loader.connection import Connection
from lockgate.loader.host import Host
from lockgate.loader.lease_clock import Held, held

LEASES = "/api/v1/leases"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a host has judged, and wants a lease for: for this activation only, and never longer than `seconds`."""

    endpoint: Endpoint
    release: Digest
    epoch: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the host, how it hands files over, and where its agent takes orders, if it has one."""

    host: Host
    hand_over: str
    control: str | None = None


def claim_of(admission: Admission) -> Claim:
    """Claim what was judged, for no longer than this host's own policy says."""
    permit = admission.permit
    return Claim(permit.endpoint, permit.release.digest, admission.epoch, permit.rules.lease.seconds)


@dataclass(frozen=True, slots=True)
class Boxed:
    """A lease, and a box with the keys of the release's files, sealed to whoever asked with `nonce`."""

    lease: Held
    nonce: str
    box: str

    def open(self, key: X25519PrivateKey, node: Name, claim: Claim) -> dict[Digest, bytes]:
        """Open the box with the key that it was sealed to; raise `VerificationError` if it was made for another one."""
        return unseal(self.box, key, Occasion(node, self.nonce, claim.release, claim.endpoint))


def ask_leases(
    asker: Asker, claims: Sequence[Claim], connection: Connection
) -> Mapping[Claim, Held | Superseded | DeniedError]:
    """Ask once for all `claims`; say of each what is held now, what superseded it, or why it must stop.

    Raises `UnavailableError` if nobody answers, `VerificationError` for an answer that is none.
    """
    wants = tuple(dict.fromkeys(Want(claim.endpoint, claim.release) for claim in claims))
    _, grant, sent_at = _ask(asker, wants, connection)
    return {claim: _answered(claim, grant, sent_at) for claim in claims}


def ask_lease_and_box(asker: Asker, claim: Claim, connection: Connection, seal_to: str) -> Boxed:
    """Ask for a lease and the keys of the release's files, sealed to the X25519 key `seal_to`; raise if refused."""
    request, grant, sent_at = _ask(asker, (Want(claim.endpoint, claim.release, keys=True),), connection, seal_to)
    found = held_or_denied(_answered(claim, grant, sent_at))
    box = grant.granted[0].keys
    if box is None:
        raise UnavailableError(f"the server gave a lease for {claim.endpoint}, but no keys to read its files with")
    return Boxed(found, request.nonce, box)


def held_or_denied(found: Held | Superseded | DeniedError) -> Held:
    """Take what gives a lease; raise `DeniedError` for what does not. Who has no gateway cannot but stop."""
    match found:
        case Held():
            return found
        case Superseded():
            raise superseded(found)
        case _:
            raise found


def superseded(by: Superseded) -> DeniedError:
    """Say why a release gets no lease any more."""
    return DeniedError(f"{by.endpoint} serves {by.by}, which took the place of this release")


def _ask(
    asker: Asker, wants: tuple[Want, ...], connection: Connection, seal_to: str | None = None
) -> tuple[Request, Grant, int]:
    host = asker.host
    request = Request(host.node, secrets.token_hex(16), wants, asker.hand_over, seal_to, asker.control)
    sent_at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    answer = connection.post(LEASES, sign_request(request, host.key))
    return request, open_grant(answer, request, host.trust.document, datetime.now(UTC)), sent_at


def _answered(claim: Claim, grant: Grant, sent_at: int) -> Held | Superseded | DeniedError:
    """Find the answer to one claim; a refusal counts more than anything else that is said of the same."""
    wanted = (claim.endpoint, claim.release)
    reasons = [one.reason for one in grant.refused if (one.endpoint, one.release) == wanted]
    answers: list[Granted | Superseded] = [*grant.granted, *(grant.superseded or ())]
    granted = next((one for one in answers if (one.endpoint, one.release) == wanted), None)
    if reasons or granted is None:
        return DeniedError(*reasons or ["no lease was granted"])
    if granted.epoch != claim.epoch:
        entries = f"the lease is for entry {granted.epoch}, judged was entry {claim.epoch}"
        return DeniedError(f"{claim.endpoint} has moved on: {entries}")
    return granted if isinstance(granted, Superseded) else _held(granted, claim, sent_at)


def _held(granted: Granted, claim: Claim, sent_at: int) -> Held:
    lease = held(sent_at, min(granted.seconds, claim.seconds))
    candidate = granted.candidate is True
    weight = granted.weight if granted.weight is not None else 0 if candidate else 100
    return replace(lease, weight=weight, candidate=candidate, sticky_by=granted.sticky_by)
