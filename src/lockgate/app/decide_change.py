"""How is a change asked for and decided? Opened by an author, approved or rejected by others, or withdrawn."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from lockgate.app.delegate import loaded_delegation
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.propose import in_force, loaded_proposal
from lockgate.app.register import registered
from lockgate.core.approval import APPROVE, Ballot, open_approval
from lockgate.core.change import (
    Approved,
    Change,
    Content,
    Opened,
    Rejected,
    Withdrawn,
    check_approval,
    check_endpoint,
    check_open,
    check_withdrawal,
)
from lockgate.core.delegation import IN_PLACE, Delegation, check_standing
from lockgate.core.emergency import EMERGENCY, asked_of, wrong_emergency
from lockgate.core.endpoint import State, check_candidate, in_flight, nothing_at
from lockgate.core.gate import admit, authors_of, wrong_rollout
from lockgate.core.intent import Said, SignedIntent, check_intent
from lockgate.core.journal import change_subject, endpoint_subject
from lockgate.core.plan import plan_of
from lockgate.core.policy import Rules
from lockgate.core.proposal import barred_from
from lockgate.core.release import Record
from lockgate.core.strategy import open_strategy
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint, Name

Documents: TypeAlias = tuple[bytes | None, bytes | None]


def open_change(
    installation: Installation,
    content: Content,
    signed: SignedIntent,
    now: datetime,
    strategy: bytes | None = None,
    risk: bytes | None = None,
) -> Receipt:
    """Open a change, with its strategy and risk assessment if it has one. Its number is the leaf index of the entry."""
    if done := installation.done(signed, "change.open"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "change.open", now, tx)
        check_intent(said, "change.open", content.endpoint, before=content.before, after=content.digest)
        _check_content(installation, content, (strategy, risk), tx, now)
        for document in (strategy, risk):
            if document is not None:
                tx.keep(document)
        event = Opened(content.endpoint, tx.keep(content.document), tx.keep(plain.encode(signed)), said.actor.name)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def approve(installation: Installation, number: int, signed: SignedIntent, now: datetime) -> Receipt:
    """Approve a change: its exact content, until the intent expires, by somebody who is no author of it."""
    if done := installation.done(signed, "change.approve"):
        return done
    with installation.ledger.transaction() as tx:
        said, change = _heard(installation, "change.approve", number, signed, now, tx)
        check_approval(change, said.actor.name, now)
        if change.rules is None:
            _check_kind(change, "normal", tx)
        _check_no_author(installation, change, [said.actor.name], tx)
        event = Approved(number, tx.keep(plain.encode(signed)), said.actor.name, signed.intent.expires)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def approve_emergency(installation: Installation, number: int, signed: SignedIntent, now: datetime) -> Receipt:
    """Approve an emergency as its authority, who is no author of it, within the minutes of the policy."""
    if done := installation.done(signed, EMERGENCY):
        return done
    with installation.ledger.transaction() as tx:
        said, change = _heard(installation, EMERGENCY, number, signed, now, tx)
        check_endpoint(change)
        check_approval(change, said.actor.name, now)
        content = _check_kind(change, "emergency", tx)
        rules = installation.policy(tx).document.rules_for(content.endpoint)
        risk = tx.document(content.risk) if content.risk else None
        if reasons := list(wrong_emergency(content, risk, rules, change.opened_at, now)):
            raise DeniedError(*reasons)
        _check_no_author(installation, change, [said.actor.name], tx)
        event = Approved(number, tx.keep(plain.encode(signed)), said.actor.name, signed.intent.expires)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def approve_in_place(
    installation: Installation, number: int, principal: Name, signed: SignedIntent, now: datetime
) -> Receipt:
    """Approve a change in the place of `principal`, who named the approver for it, for as long as both words last."""
    if done := installation.done(signed, IN_PLACE):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, IN_PLACE, now, tx)
        change = loaded_change(tx, number)
        check_endpoint(change)
        _check_kind(change, "normal", tx)
        check_intent(said, IN_PLACE, change_subject(number), before=signed.intent.before, after=change.content)
        delegation = check_standing(loaded_delegation(tx, principal), principal, signed.intent.before, now)
        _check_voice(installation, change, signed, delegation, now, tx)
        check_approval(change, said.actor.name, now, delegation.order)
        _check_no_author(installation, change, [said.actor.name, principal], tx)
        ends = min(signed.intent.expires, delegation.until)
        event = Approved(number, tx.keep(plain.encode(signed)), said.actor.name, ends, principal, delegation.order)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def reject(installation: Installation, number: int, signed: SignedIntent, now: datetime) -> Receipt:
    """Reject a change for good."""
    if done := installation.done(signed, "change.reject"):
        return done
    with installation.ledger.transaction() as tx:
        said, change = _heard(installation, "change.reject", number, signed, now, tx)
        check_open(change)
        event = Rejected(number, said.actor.name)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def withdraw(installation: Installation, number: int, signed: SignedIntent, now: datetime) -> Receipt:
    """Take one's own change back."""
    if done := installation.done(signed, "change.withdraw"):
        return done
    with installation.ledger.transaction() as tx:
        said, change = _heard(installation, "change.withdraw", number, signed, now, tx)
        check_withdrawal(change, said.actor.name)
        event = Withdrawn(number, said.actor.name)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def loaded_change(tx: Transaction, number: int) -> Change:
    """Return what the log says of change `number`; raise `DeniedError` if there is none."""
    found = tx.load(change_subject(number))
    if not isinstance(found, Change):
        raise DeniedError(f"there is no change {number}")
    return found


def loaded_endpoint(tx: Transaction, endpoint: Endpoint) -> State:
    """Return what the log says of an endpoint."""
    found = tx.load(endpoint_subject(endpoint))
    return found if isinstance(found, State) else nothing_at(endpoint)


def _heard(
    installation: Installation, act: str, number: int, signed: SignedIntent, now: datetime, tx: Transaction
) -> tuple[Said, Change]:
    said = installation.hear(signed, act, now, tx)
    change = loaded_change(tx, number)
    check_intent(said, act, change_subject(number), before=None, after=change.content)
    return said, change


def _check_kind(change: Change, kind: str, tx: Transaction) -> Content:
    """Return the content of a change of an endpoint; raise `DeniedError` for one that others approve."""
    content = plain.decode(Content, tx.document(change.content))
    if content.kind != kind:
        who = "its security authority" if content.kind == "emergency" else "ordinary approvers"
        raise DeniedError(f"change {change.number} is approved by {who}: it is {content.kind}")
    return content


def _check_content(
    installation: Installation, content: Content, documents: Documents, tx: Transaction, now: datetime
) -> None:
    policy, (strategy, risk) = installation.policy(tx), documents
    written = policy.document.rules_for(content.endpoint)
    rules = asked_of(content, written)
    record: Record = registered(tx, content.tag)
    installation.revocations([record.release], tx).check_release(record.release)
    state = loaded_endpoint(tx, content.endpoint)
    stable = state.stable.release if state.stable else None
    differences = (
        (content.release != record.release, f"{content.tag} is {record.release}, not {content.release}"),
        (content.before != stable, f"{content.endpoint} serves {stable}, not {content.before}"),
        (content.epoch != state.epoch, f"{content.endpoint} stands at entry {state.epoch}, not {content.epoch}"),
        (content.policy != policy.digest, f"the policy in force is {policy.digest}, not {content.policy}"),
        (content.resumes and not state.suspended, f"{content.endpoint} is not suspended, so nothing is to be resumed"),
    )
    reasons = [reason for differs, reason in differences if differs]
    reasons += wrong_emergency(content, risk, written, now, now)
    reasons += _wrong_rollout(content, strategy, rules, state)
    if reasons:
        raise DeniedError(*reasons)


def _wrong_rollout(content: Content, document: bytes | None, rules: Rules, state: State) -> Sequence[str]:
    """Say what is against how the release is to get its traffic."""
    if state.rollout is not None:
        return [in_flight(state.endpoint, state.rollout)]
    if (content.strategy is None) != (document is None):
        return ["the strategy and the digest of it go together"]
    try:
        if content.strategy is not None:
            check_candidate(state, content.release)
        if reasons := wrong_rollout(content, document, rules.rollout):
            return reasons
        if content.strategy is not None and document is not None:
            plan_of(open_strategy(document, content.strategy))  # what cannot be watched is not begun
        return []
    except DeniedError as e:
        return e.reasons


def barred(installation: Installation, change: Change, tx: Transaction) -> Mapping[Name, str]:
    """Say who may not approve a change, whatever their roles, and why."""
    if change.rules is not None:
        return barred_from(loaded_proposal(change, tx), in_force(installation, tx))
    content = plain.decode(Content, tx.document(change.content))
    record = registered(tx, content.tag)
    trust = installation.trust(tx).document
    bundles = {name: tx.document(digest) for name, digest in record.bundles.items()}
    revoked = installation.revocations([record.release], tx)
    admitted = admit(tx.document(record.manifest), bundles, trust, revoked, record.registered_at)
    authors = authors_of(admitted, trust) | {change.author, record.registrant}
    return {name: f"{name} is an author of change {change.number} and cannot approve it" for name in authors}


def _check_no_author(installation: Installation, change: Change, people: Iterable[Name], tx: Transaction) -> None:
    found = barred(installation, change, tx)
    reasons = [found[name] for name in people if name in found]
    if reasons:
        raise DeniedError(*reasons)


def _check_voice(
    installation: Installation,
    change: Change,
    signed: SignedIntent,
    delegation: Delegation,
    now: datetime,
    tx: Transaction,
) -> None:
    """Judge an approval in somebody's place as the gate will: what it would not count is not taken."""
    content = plain.decode(Content, tx.document(change.content))
    role = installation.policy(tx).document.rules_for(content.endpoint).approvals.role
    order = plain.decode(SignedIntent, tx.document(delegation.order))
    ballot = Ballot(change.number, change.content, APPROVE, role, frozenset(), (order,))
    open_approval(signed, ballot, installation.trust(tx).document, now)
