"""How is an approved change carried out? The gate decides on the log as it is, and the decision is part of the act.

With a strategy this only begins a rollout; first the stable release is proved to be whole, because all traffic may have
to go back to it at any moment.
"""

from datetime import datetime

from lockgate.app.decide_change import loaded_change, loaded_endpoint
from lockgate.app.delegate import standing_orders
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.propose import judged_proposal
from lockgate.app.register import registered
from lockgate.app.roll_back import prove_whole
from lockgate.core.appearance import Appearances
from lockgate.core.change import Authorized, Change, Closed, Content, check_endpoint, check_open, check_policy
from lockgate.core.concession import conceded
from lockgate.core.decision import decision_of, sign_decision
from lockgate.core.endpoint import Activated, check_activation, check_candidate
from lockgate.core.gate import Dossier, Permit, Weighed, judge, weigh
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import Event, appearances_subject, change_subject
from lockgate.core.override import read_overriding
from lockgate.core.proposal import Mandate
from lockgate.formats import plain


def activate(installation: Installation, number: int, signed: SignedIntent, now: datetime) -> Receipt:
    """Carry out change `number`, if the gate lets it through: one transaction, or nothing.

    Enforces: gradual_rollout, preserved_rollback_artifacts
    """
    if done := installation.done(signed, "change.activate"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "change.activate", now, tx)
        change = loaded_change(tx, number)
        check_intent(said, "change.activate", change_subject(number), before=None, after=change.content)
        content, permit = _judged(installation, change, now, tx)
        if content.strategy is not None:
            prove_whole(installation, check_candidate(loaded_endpoint(tx, content.endpoint), content.release), tx)
        decision = tx.keep(sign_decision(decision_of(permit, number), installation.keys.vsa))
        events: list[Event] = [
            Authorized(number, decision, permit.policy, permit.trust),
            Activated(
                content.endpoint,
                content.tag,
                content.release,
                content.before,
                number,
                decision,
                content.strategy,
                permit.considered,
            ),
            *([Closed(number, "succeeded")] if content.strategy is None else []),
            *conceded(permit, number, said.actor.name),
        ]
        return tx.append(events, actor=str(said.actor.name), key=signed.intent.digest, at=now)


def against(installation: Installation, number: int, now: datetime) -> Weighed:
    """Say by name what is against an open change of an endpoint, and what was set aside; decide nothing."""
    with installation.ledger.transaction() as tx:
        change = loaded_change(tx, number)
        check_open(change)
        check_endpoint(change)
        content = plain.decode(Content, tx.document(change.content))
        revoked = installation.revocations([content.release], tx)
        policy = installation.policy(tx).document
        trust = installation.written_trust(tx)
        return weigh(dossier_of(content, change, tx), content.endpoint, trust, policy, revoked, now)


def assess(installation: Installation, number: int, now: datetime) -> Permit | Mandate:
    """Ask about a change without carrying it out; raise `DeniedError` with every reason against it."""
    with installation.ledger.transaction() as tx:
        change = loaded_change(tx, number)
        if change.rules is not None:
            return judged_proposal(installation, change, now, tx)
        return _judged(installation, change, now, tx)[1]


def _judged(installation: Installation, change: Change, now: datetime, tx: Transaction) -> tuple[Content, Permit]:
    check_open(change)
    check_endpoint(change)
    content = plain.decode(Content, tx.document(change.content))
    state = loaded_endpoint(tx, content.endpoint)
    check_activation(state, content.epoch, resumes=content.resumes)
    policy = installation.policy(tx)
    check_policy(content, policy.digest)
    dossier = dossier_of(content, change, tx)
    revoked = installation.revocations([content.release], tx)
    return content, judge(dossier, content.endpoint, installation.written_trust(tx), policy, revoked, now)


def dossier_of(content: Content, change: Change | None, tx: Transaction) -> Dossier:
    """Put together what the gate judges; without a change nobody asked for it, and nobody approved it."""
    record = registered(tx, content.tag)
    approvals = change.approvals if change else ()
    seen = tx.load(appearances_subject(content.endpoint))
    return Dossier(
        tx.document(record.manifest),
        {name: tx.document(digest) for name, digest in record.bundles.items()},
        tuple(tx.document(digest) for digest in record.evidence),
        plain.decode(SignedIntent, tx.document(record.registration)),
        record.registered_at,
        content,
        change.number if change else -1,
        plain.decode(SignedIntent, tx.document(change.opening)) if change else None,
        tuple(plain.decode(SignedIntent, tx.document(approval.approval)) for approval in approvals),
        {name: tx.document(digest) for name, digest in (record.providers or {}).items()},
        tx.document(content.strategy) if content.strategy is not None else None,
        record.trials or (),
        delegations=tuple(standing_orders(approvals, tx)),
        appearances=seen.of(content.release) if isinstance(seen, Appearances) else (),
        overrides=tuple(read_overriding(one, tx.document) for one in (change.overrides or () if change else ())),
        risk=tx.document(content.risk) if content.risk is not None else None,
        opened_at=change.opened_at if change else None,
    )
