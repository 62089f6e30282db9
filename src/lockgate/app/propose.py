"""How are other rules asked for? By proposing the next trust or policy document, for other people to approve."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.core.change import Change, Proposed, RuleChange, check_open
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.policy import Policy, check_suites
from lockgate.core.proposal import InForce, Mandate, Proposal, check_proposal, judge_proposal, read_document
from lockgate.errors import DeniedError
from lockgate.formats import plain


def propose(
    installation: Installation, content: RuleChange, document: bytes, signed: SignedIntent, now: datetime
) -> Receipt:
    """Open a change of the rules. Its number is the leaf index of the entry; the document is kept for who decides."""
    if done := installation.done(signed, "rules.propose"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "rules.propose", now, tx)
        check_intent(said, "rules.propose", content.environment, before=content.before, after=content.digest)
        proposed = read_document(content.kind, document)
        check_proposal(content, proposed, in_force(installation, tx), now)
        if isinstance(proposed, Policy):
            check_suites(proposed, installation.suites())
        tx.keep(document)
        kept = tx.keep(plain.encode(content)), tx.keep(plain.encode(signed))
        event = Proposed(content.environment, content.kind, *kept, said.actor.name)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def in_force(installation: Installation, tx: Transaction) -> InForce:
    """Return the rules that judge a proposal; raise `DeniedError` before the first policy, which needs none."""
    return InForce(installation.written_trust(tx), installation.policy(tx), installation.revocations([], tx))


def loaded_proposal(change: Change, tx: Transaction) -> Proposal:
    """Put together what a change of the rules is about; raise `DeniedError` for a change of something else."""
    if change.rules is None:
        raise DeniedError(f"change {change.number} is about {change.endpoint}, not about the rules")
    content = plain.decode(RuleChange, tx.document(change.content))
    return Proposal(
        content,
        read_document(content.kind, tx.document(content.document)),
        change.number,
        plain.decode(SignedIntent, tx.document(change.opening)),
        tuple(plain.decode(SignedIntent, tx.document(approval.approval)) for approval in change.approvals),
    )


def judged_proposal(installation: Installation, change: Change, now: datetime, tx: Transaction) -> Mandate:
    """Judge an open proposal; raise `DeniedError` with every reason against it."""
    check_open(change)
    return judge_proposal(loaded_proposal(change, tx), in_force(installation, tx), now)
