"""How is a run written down before it begins? As an entry under what the policy demands; its index is its number."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.register import registered
from lockgate.core.endpoint import check_here
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import suite_subject
from lockgate.core.requirement import check_attempt
from lockgate.core.suite import Suite, check_bound
from lockgate.core.trial import Attempt, Begun
from lockgate.formats.names import Name, Tag


def begin_trial(installation: Installation, attempt: Attempt, signed: SignedIntent, now: datetime) -> Receipt:
    """Write down that a suite is about to run over a release. The number of the trial is the index of the entry.

    Enforces: failed_validation_blocks
    """
    if done := installation.done(signed, "trial.begin"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "trial.begin", now, tx)
        check_intent(said, "trial.begin", attempt.tag, before=None, after=attempt.digest)
        check_here(attempt.endpoint, installation.environment)
        record, policy = registered(tx, attempt.tag), installation.policy(tx)
        installation.revocations([record.release], tx).check_release(record.release)
        rules = policy.document.rules_for(attempt.endpoint)
        check_attempt(attempt, rules, record.release, record.trials or ())
        if "/" not in attempt.suite:
            known = tx.load(suite_subject(Tag(Name(attempt.suite), attempt.suite_version)))
            check_bound(known if isinstance(known, Suite) else None, attempt.suite_digest)
        event = Begun(
            attempt.tag, attempt.release, attempt.suite, attempt.suite_version, attempt.suite_digest,
            attempt.demands, attempt.endpoint, policy.digest, said.actor.name,
        )  # fmt: skip
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)
