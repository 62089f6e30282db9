"""Who may approve in somebody's place? One person whom an approver named, for a time; nobody whom a delegate named.

    bob ── approval.delegate, until … ──▶ ann ── change.approve-in-place, citing that word ──▶ one voice, bob's
              └── approval.recall, or its time is over ──▶ nothing

A delegation is an intent that its approver signed (spec/delegation.md). It gives no role: whoever has one approves for
themselves. It is judged with the approval, at the same instant: by trust, by time, and by who the authors are.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias, assert_never

from lockgate.core.intent import SignedIntent, check_intent, open_intent
from lockgate.core.rights import Role, check_right
from lockgate.core.trust import Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

DELEGATE, RECALL, IN_PLACE = "approval.delegate", "approval.recall", "change.approve-in-place"
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Named:
    """`principal` lets `to` approve in their place until then, instead of anybody named before. `order` says so."""

    type: ClassVar[str] = "delegate.named/v1"
    principal: Name
    to: Name
    until: datetime
    order: Digest


@dataclass(frozen=True, slots=True)
class Recalled:
    """Nobody approves in the place of `principal` any more; what was approved so and not used counts no longer."""

    type: ClassVar[str] = "delegate.recalled/v1"
    principal: Name
    by: Name


Event: TypeAlias = Named | Recalled


@dataclass(frozen=True, slots=True)
class Delegation:
    """What the log says of who approves in the place of `principal`. `order` is the signed word that says so."""

    kind: ClassVar[str] = "delegation"
    principal: Name
    to: Name
    until: datetime
    order: Digest
    named_at: datetime
    recalled: bool = False

    def lasts(self, at: datetime) -> bool:
        """Ask whether it is in force."""
        return not self.recalled and at < self.until


@dataclass(frozen=True, slots=True)
class Delegated:
    """A delegation that was verified: `principal` really named `to`, until then."""

    principal: Name
    to: Name
    until: datetime


def open_delegation(signed: SignedIntent, role: Role, trust: Trust, at: datetime) -> Delegated:
    """Verify that somebody with `role` named a delegate, in force at `at`; raise unless exactly that was said."""
    said = open_intent(signed, trust, at)
    principal, to = said.actor.name, Name.parse(said.intent.object)
    check_intent(said, DELEGATE, to, before=None, after=None)
    if role is not Role.APPROVER:
        raise DeniedError(f"nobody approves in the place of somebody with the role {role}")
    if role not in said.actor.roles:
        raise DeniedError(f"{principal} has not the role {role}, so nobody approves in their place")
    if to == principal:
        raise DeniedError(f"{principal} approves in person, not in the place of {to}")
    return Delegated(principal, to, said.intent.expires)


def check_naming(delegated: Delegated, trust: Trust, now: datetime) -> None:
    """Raise `DeniedError` unless the delegate is somebody who may be one, and not for longer than anybody is."""
    to = trust.actor(delegated.to, now)
    check_right(IN_PLACE, to.roles, to.name)
    if Role.APPROVER in to.roles:
        raise DeniedError(f"{to.name} has the role {Role.APPROVER}: their approval counts once, as their own")
    if delegated.until > now + LONGEST:
        raise DeniedError(f"a delegate is named for {LONGEST.days} days at most, not until {delegated.until}")


def check_standing(delegation: Delegation | None, principal: Name, order: Digest | None, now: datetime) -> Delegation:
    """Return the delegation of `principal` that `order` is; raise `DeniedError` unless the log says it is in force."""
    if delegation is None or delegation.order != order:
        raise DeniedError(f"this is not the delegation of {principal} that is in force")
    if delegation.recalled:
        raise DeniedError(f"{principal} has recalled {delegation.to}")
    if not delegation.lasts(now):
        raise DeniedError(f"the delegation of {principal} to {delegation.to} ended at {delegation.until}")
    return delegation


def check_recall(delegation: Delegation | None, principal: Name, now: datetime) -> None:
    """Raise `DeniedError` if nobody approves in the place of `principal` now."""
    if delegation is None or not delegation.lasts(now):
        raise DeniedError(f"nobody approves in the place of {principal}")


def find_order(orders: Iterable[SignedIntent], wanted: Digest | None) -> SignedIntent:
    """Find the delegation that an approval cites; raise `VerificationError` if it is not at hand."""
    for order in orders:
        if order.digest == wanted:
            return order
    raise VerificationError("an approval in the place of somebody cites a delegation that is not in force")


def evolve(state: Delegation | None, event: Event, at: datetime) -> Delegation:
    """Say what the log knows of who approves in somebody's place after `event`."""
    match event:
        case Named():
            return Delegation(event.principal, event.to, event.until, event.order, at)
        case Recalled():
            if state is None:
                raise VerificationError(f"the log recalls a delegate whom {event.principal} never named")
            return replace(state, recalled=True)
        case _:
            assert_never(event)
