"""What does an endpoint hold now, as a node says? A tie for each binding and holder, signed, again and again.

    granted ──▶ cut: no tie any more ── not proven ──▶ open, or unknown

It is measurement, not history: what may be held is in the policy, and what a cut came to is in receipts and halts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from lockgate.core.binding import BindingKind
from lockgate.core.sharing import MAX_SHARED, Shared
from lockgate.core.trust import Actor
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name

TIES = "application/vnd.lockgate.ties+json"
MAX_TIES = 2048


@dataclass(frozen=True, slots=True)
class Tie:
    """A binding that a release holds until then; `sessions` is how many are open, None if nobody can tell.

    What was to be cut and is not proven to be is `open` or `unknown`; without a release it is the whole endpoint.
    """

    endpoint: Endpoint
    name: Name
    kind: BindingKind
    state: Literal["granted", "open", "unknown"]
    release: Digest | None = None
    until: datetime | None = None
    sessions: int | None = None


@dataclass(frozen=True, slots=True)
class Ties:
    """All that endpoints hold on a node, by its own clock, and what two releases of one hold together there."""

    type: ClassVar[str] = "ties/v1"
    node: Name
    at: datetime
    ties: tuple[Tie, ...]
    shared: tuple[Shared, ...] | None = None


def sign_ties(ties: Ties, signer: Signer) -> bytes:
    """Sign them with the key of the node."""
    return dsse.sign(plain.encode(ties), TIES, [signer]).encode()


def open_ties(document: bytes, find: Callable[[Name], Actor]) -> tuple[Ties, Actor]:
    """Verify that the node which they name has signed them; `find` says whose keys those are."""
    envelope = dsse.parse(document)
    if envelope.payload_type != TIES:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {TIES}")
    ties = plain.decode(Ties, envelope.payload)
    node = find(ties.node)
    dsse.open_envelope(envelope, TIES, node.keys)
    if len(ties.ties) > MAX_TIES:
        raise VerificationError(f"a node tells of at most {MAX_TIES} ties")
    if len(ties.shared or ()) > MAX_SHARED:
        raise VerificationError(f"a node tells of at most {MAX_SHARED} things that are shared")
    return ties, node
