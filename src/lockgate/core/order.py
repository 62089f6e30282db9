"""How is an endpoint stopped without the server? By an order that a host verifies, keeps, and answers for itself.

    a person ── Order{intent endpoint.suspend, reason} ──▶ the agent of each host
             ◀── Receipt{what was stopped} by the node ──── verify against its own trust, stop, keep

    kept ──▶ recorded: the log is proved to hold it, at an entry ──▶ lifted: by a change that resumes what it left

An order needs nobody's answer to be obeyed, and that of approvers to end. What was kept and cannot be read any more is
kept still: the host does not know what it said, so it serves nothing (spec/order.md).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.binding import Severed, check_severed
from lockgate.core.change import Content
from lockgate.core.endpoint import Suspended, check_here
from lockgate.core.intent import SignedIntent, check_intent, open_intent
from lockgate.core.proved import Logged, open_logged
from lockgate.core.rights import Role, check_right
from lockgate.core.trust import Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer
from lockgate.formats.names import Endpoint, Name, Tag

ACT = "endpoint.suspend"
KEPT = "application/vnd.lockgate.kept-order+json"
RECEIPT = "application/vnd.lockgate.receipt+json"
MAX_REASON = 1000

CutOff: TypeAlias = Literal["cut", "unconfirmed", "none"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a person sends to a host, as it was received: nothing is checked. The intent's `after` is the reason."""

    type: ClassVar[str] = "order/v1"
    intent: SignedIntent
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Shutdown:
    """An order that was verified: `by` may stop `endpoint`, and said so. `digest` names the order, once and for all."""

    order: Order
    digest: Digest
    endpoint: Endpoint
    by: Name


@dataclass(frozen=True, slots=True)
class Kept:
    """An order as a host keeps it, signed by its node: `recorded` and `lifted` are the entries that say so of it."""

    type: ClassVar[str] = "kept-order/v1"
    node: Name
    endpoint: Endpoint
    order: Order
    kept_at: datetime
    recorded: int | None = None
    lifted: int | None = None

    @property
    def digest(self) -> Digest:
        """The digest of the intent, which names the order."""
        return self.order.intent.intent.digest


@dataclass(frozen=True, slots=True)
class Stopped:
    """A release that served on the host when the order came: it `ended`, or its lease ends it in `seconds_left`."""

    tag: Tag
    release: Digest
    ended: bool
    seconds_left: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a node answers when it has kept an order: what it stopped, and since when nothing is let through.

    `gateway` says whether what ran through the gateway of the host was cut off, and `cut_at` when that was confirmed;
    `bindings` says it of each binding that the endpoint may hold.
    """

    type: ClassVar[str] = "receipt/v1"
    node: Name
    order: Digest
    endpoint: Endpoint
    stopped: tuple[Stopped, ...]
    kept_at: datetime
    at: datetime
    gateway: CutOff | None = None
    cut_at: datetime | None = None
    bindings: tuple[Severed, ...] | None = None


def reason_digest(reason: str | None) -> Digest | None:
    """Say what the intent of an order names as `after`: the SHA-256 of the reason, so that it is signed too."""
    return None if reason is None else Digest.of(reason.encode())


def check_reason(reason: str | None) -> None:
    """Raise `VerificationError` for a reason that is too long to be shown, or no text."""
    if reason is not None and not 1 <= len(reason) <= MAX_REASON:
        raise VerificationError(f"a reason has 1 to {MAX_REASON} characters, not {len(reason)}")


def open_order(order: Order, trust: Trust, now: datetime) -> Shutdown:
    """Verify that somebody with the right to do so orders the shutdown of an endpoint of this environment, now.

    Enforces: emergency_shutdown
    """
    check_reason(order.reason)
    said = open_intent(order.intent, trust, now)
    check_intent(said, ACT, said.intent.object, before=None, after=reason_digest(order.reason))
    check_right(ACT, said.actor.roles, said.actor.name)
    endpoint = Endpoint.parse(said.intent.object)
    check_here(endpoint, trust.environment)
    return Shutdown(order, said.intent.digest, endpoint, said.actor.name)


def open_recorded(logged: Logged, order: Order, trust: Trust, now: datetime) -> int:
    """Verify that the log holds exactly this order, and return at which entry."""
    found = open_logged(Suspended, logged, trust, now)
    event, intent = found.event, order.intent.intent
    if (event.order, str(event.endpoint), event.by) != (order.intent.digest, intent.object, intent.actor):
        raise VerificationError(f"entry {found.index} of the log is another order, for {event.endpoint} by {event.by}")
    return found.index


def sign_kept(kept: Kept, signer: Signer) -> bytes:
    """Sign what a host keeps, with the key of its node."""
    return dsse.sign(plain.encode(kept), KEPT, [signer]).encode()


def open_kept(document: bytes, node: Name, keys: tuple[PublicKey, ...]) -> Kept:
    """Read what this host has kept; raise `VerificationError` for anything that its node did not sign."""
    kept = plain.decode(Kept, dsse.open_envelope(dsse.parse(document), KEPT, keys).payload)
    if kept.node != node or str(kept.endpoint) != kept.order.intent.intent.object:
        raise VerificationError(f"this order was kept by {kept.node} for {kept.endpoint}, not by {node}")
    return kept


def is_lifted_by(kept: Kept, content: Content) -> bool:
    """Ask whether a change that was carried out ends an order: it resumes the endpoint, as it stood after the order.

    As long as the log is not proved to hold the order, nobody knows what came after it.
    """
    if kept.recorded is None or content.endpoint != kept.endpoint:
        return False
    return content.resumes and content.epoch >= kept.recorded


def check_not_shut(kept: Kept) -> None:
    """Raise `DeniedError` unless this order was lifted.

    Enforces: emergency_shutdown
    """
    if kept.lifted is None:
        who, reason = kept.order.intent.intent.actor, kept.order.reason
        because = f" ({reason})" if reason else ""
        since = "that the log does not hold yet" if kept.recorded is None else f"since entry {kept.recorded}"
        raise DeniedError(
            f"{kept.endpoint} is shut on this host by order of {who}{because}, {since}: only a later change that "
            f"resumes it takes it back into service"
        )


def sign_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """Sign a receipt with the key of the node."""
    return dsse.sign(plain.encode(receipt), RECEIPT, [signer]).encode()


def open_receipt(document: bytes, node: Name, order: Order, trust: Trust, at: datetime) -> Receipt:
    """Verify that `node`, an agent of this environment, has kept exactly this `order`."""
    actor = trust.actor(node, at)
    if Role.AGENT not in actor.roles:
        raise VerificationError(f"{node} is no agent")
    receipt = plain.decode(Receipt, dsse.open_envelope(dsse.parse(document), RECEIPT, actor.keys).payload)
    intent = order.intent.intent
    found = (receipt.node, receipt.order, str(receipt.endpoint))
    if found != (node, intent.digest, intent.object):
        raise VerificationError(f"the receipt of {receipt.node} for {receipt.endpoint} answers another order")
    check_severed(receipt.bindings or ())
    return receipt
