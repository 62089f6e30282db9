"""How does an approver name somebody who approves in their place, and how does that end?"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.core.change import Approval
from lockgate.core.delegation import (
    DELEGATE,
    RECALL,
    Delegation,
    Named,
    Recalled,
    check_naming,
    check_recall,
    open_delegation,
)
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import delegation_subject
from lockgate.core.rights import Role
from lockgate.formats import plain
from lockgate.formats.names import Name


def delegate(installation: Installation, signed: SignedIntent, now: datetime) -> Receipt:
    """Name who approves in one's place until the intent expires, instead of anybody named before."""
    if done := installation.done(signed, DELEGATE):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, DELEGATE, now, tx)
        trust = installation.trust(tx).document
        found = open_delegation(signed, Role.APPROVER, trust, now)
        check_naming(found, trust, now)
        tx.load(delegation_subject(found.principal))
        event = Named(found.principal, found.to, found.until, tx.keep(plain.encode(signed)))
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def recall(installation: Installation, signed: SignedIntent, now: datetime) -> Receipt:
    """Let nobody approve in one's place any more."""
    if done := installation.done(signed, RECALL):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, RECALL, now, tx)
        principal = said.actor.name
        found = loaded_delegation(tx, principal)
        check_recall(found, principal, now)
        check_intent(said, RECALL, principal, before=found.order if found else None, after=None)
        return tx.append([Recalled(principal, principal)], actor=str(principal), key=signed.intent.digest, at=now)


def loaded_delegation(tx: Transaction, principal: Name) -> Delegation | None:
    """Return what the log says of who approves in the place of somebody."""
    found = tx.load(delegation_subject(principal))
    return found if isinstance(found, Delegation) else None


def standing_orders(approvals: Iterable[Approval], tx: Transaction) -> Iterator[SignedIntent]:
    """Return the delegations that approvals cite, as far as nobody recalled them or named somebody else since."""
    for approval in approvals:
        if approval.in_place_of is not None and approval.delegation is not None:
            found = loaded_delegation(tx, approval.in_place_of)
            if found is not None and found.order == approval.delegation and not found.recalled:
                yield plain.decode(SignedIntent, tx.document(approval.delegation))
