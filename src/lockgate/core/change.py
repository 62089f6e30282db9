"""What is a change, and how does it live?

    opened ──▶ authorized ──▶ closed                    authorized: the gate passed, in the act that carries it out
       ├──▶ rejected          ▲
       └──▶ withdrawn         │
    proposed, of the rules ───┘                         carried out by adopting the document (`core.proposal`)

Approvals sign the digest of the content, so nobody can approve one thing and see another carried out. An approval
expires; a change whose approvals expired waits for new ones. A change with a strategy stays authorized as long as its
rollout is in flight; it closes as succeeded, rolled-back or failed (shut down meanwhile).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias, assert_never

from lockgate.core.override import Overridden
from lockgate.errors import DeniedError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

Phase: TypeAlias = Literal["opened", "authorized", "closed", "rejected", "withdrawn"]
Ruling: TypeAlias = Literal["trust", "policy"]
_LATER = ("strategy", "risk")  # members that contents of before do not have

Outcome: TypeAlias = Literal["succeeded", "rolled-back", "failed"]


@dataclass(frozen=True, slots=True)
class Content:
    """What a change would do: take `endpoint` from the release `before` to `release`. Approvals sign its digest.

    `epoch` is the log entry that last changed the endpoint, so that the change is about that state and no other, also
    when a later state looks the same (-1: nothing happened there yet). With a `strategy` the release begins as a
    candidate (`core.strategy`). An emergency has the digest of its risk assessment (`core.emergency`).
    """

    type: ClassVar[str] = "change/v1"
    kind: Literal["normal", "emergency"]
    endpoint: Endpoint
    tag: Tag
    release: Digest
    before: Digest | None
    epoch: int
    resumes: bool
    policy: Digest
    reason: str
    strategy: Digest | None = None
    risk: Digest | None = None

    @property
    def document(self) -> bytes:
        """The canonical content. Without a strategy, or a risk, it is what it was before there were any."""
        written = plain.to_plain(self)
        assert isinstance(written, dict)
        return canonical.encode(
            {name: value for name, value in written.items() if value is not None or name not in _LATER}
        )

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical content."""
        return Digest.of(self.document)


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What a change of the rules would do: take the trust or policy from `before` to `document`. Approvals sign this.

    Both are digests of the documents themselves, not of envelopes: it is approved before root keys sign it, or after.
    """

    type: ClassVar[str] = "rule-change/v1"
    kind: Ruling
    environment: Name
    before: Digest
    document: Digest
    version: int
    reason: str

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical content."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class Opened:
    """Somebody asks for a change. The index of this entry is the number of the change."""

    type: ClassVar[str] = "change.opened/v1"
    endpoint: Endpoint
    content: Digest
    opening: Digest
    author: Name


@dataclass(frozen=True, slots=True)
class Proposed:
    """Somebody asks for other rules. The index of this entry is the number of the change."""

    type: ClassVar[str] = "rules.proposed/v1"
    environment: Name
    rules: Ruling
    content: Digest
    opening: Digest
    author: Name


@dataclass(frozen=True, slots=True)
class Approved:
    """Somebody other than an author approves the content until `expires`; in whose place, if by a delegate."""

    type: ClassVar[str] = "change.approved/v1"
    change: int
    approval: Digest
    by: Name
    expires: datetime
    in_place_of: Name | None = None
    delegation: Digest | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An approver says no. The change is over."""

    type: ClassVar[str] = "change.rejected/v1"
    change: int
    by: Name


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The author takes the change back."""

    type: ClassVar[str] = "change.withdrawn/v1"
    change: int
    by: Name


@dataclass(frozen=True, slots=True)
class Authorized:
    """The gate let the change through; `decision` is its signed word."""

    type: ClassVar[str] = "change.authorized/v1"
    change: int
    decision: Digest
    policy: Digest
    trust: Digest


@dataclass(frozen=True, slots=True)
class Closed:
    """The change was carried out, or what it began was ended."""

    type: ClassVar[str] = "change.closed/v1"
    change: int
    outcome: Outcome


Event: TypeAlias = Opened | Proposed | Approved | Rejected | Withdrawn | Authorized | Closed | Overridden


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval as the log knows it; one in the place of somebody cites the `delegation` that lets it be."""

    by: Name
    approval: Digest
    expires: datetime
    in_place_of: Name | None = None
    delegation: Digest | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What the log says of a change. It is about an endpoint, or about the `rules`."""

    kind: ClassVar[str] = "change"
    number: int
    endpoint: Endpoint | None
    content: Digest
    opening: Digest
    author: Name
    opened_at: datetime
    approvals: tuple[Approval, ...]
    phase: Phase
    decision: Digest | None = None
    rules: Ruling | None = None
    outcome: Outcome | None = None
    overrides: tuple[Overridden, ...] | None = None


def check_open(change: Change) -> None:
    """Raise `DeniedError` unless the change can still be decided."""
    if change.phase != "opened":
        raise DeniedError(f"change {change.number} is {change.phase}, not opened")


def check_endpoint(change: Change) -> None:
    """Raise `DeniedError` for a change of the rules, which no activation carries out."""
    if change.rules is not None:
        raise DeniedError(f"change {change.number} is about the {change.rules}: it is published, not activated")


def check_policy(content: Content, policy: Digest) -> None:
    """Raise `DeniedError` if another policy is in force than the one under which the change was approved."""
    if content.policy != policy:
        raise DeniedError(f"the change was opened under policy {content.policy}, now {policy} is in force")


def check_approval(change: Change, by: Name, now: datetime, delegation: Digest | None = None) -> None:
    """Raise `DeniedError` unless `by` can add an approval: still open, and none of theirs, by this word, in force."""
    check_open(change)
    held = [one for one in change.approvals if (one.by, one.delegation) == (by, delegation)]
    if any(approval.expires > now for approval in held):
        raise DeniedError(f"{by} has approved change {change.number} already")


def check_withdrawal(change: Change, by: Name) -> None:
    """Raise `DeniedError` unless `by` opened the change and it is still open."""
    check_open(change)
    if change.author != by:
        raise DeniedError(f"change {change.number} was opened by {change.author}, so {by} cannot withdraw it")


def evolve(change: Change | None, event: Event, index: int, at: datetime) -> Change:
    """Say what the log knows of a change after `event`."""
    if isinstance(event, Opened):
        return Change(index, event.endpoint, event.content, event.opening, event.author, at, (), "opened")
    if isinstance(event, Proposed):
        opened = Change(index, None, event.content, event.opening, event.author, at, (), "opened")
        return replace(opened, rules=event.rules)
    assert change is not None
    match event:
        case Approved():
            who = (event.by, event.in_place_of)
            approvals = tuple(a for a in change.approvals if (a.by, a.in_place_of) != who)
            given = Approval(event.by, event.approval, event.expires, event.in_place_of, event.delegation)
            return replace(change, approvals=(*approvals, given))
        case Overridden():
            return replace(change, overrides=(*(change.overrides or ()), event))
        case Rejected() | Withdrawn():
            return replace(change, phase="rejected" if isinstance(event, Rejected) else "withdrawn")
        case Authorized():
            return replace(change, phase="authorized", decision=event.decision)
        case Closed():
            return replace(change, phase="closed", outcome=event.outcome)
        case _:
            assert_never(event)
