"""How is a run written down before it begins? As an entry under what the policy demands; its index is its number."""

from collections.abc import Iterator
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.register import registered
from lockgate.core.endpoint import check_here
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import suite_subject
from lockgate.core.release import Manifest, Record, is_same
from lockgate.core.requirement import check_attempt, check_beginner, check_chosen
from lockgate.core.suite import Suite
from lockgate.core.trial import Attempt, Begun, Trial
from lockgate.formats import dsse, plain
from lockgate.formats.names import Name, Tag

_ALL = 100_000


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
        manifest = _manifest(installation, record)
        authors = {record.registrant, *manifest.authors}
        check_beginner(attempt.tag, said.actor, authors)
        check_attempt(attempt, rules, record.release, list(_tries(installation, manifest)))
        known = tx.load(suite_subject(Tag(Name(attempt.suite), attempt.suite_version)))
        check_chosen(attempt, rules, known if isinstance(known, Suite) else None, authors)
        event = Begun(
            attempt.tag, attempt.release, attempt.suite, attempt.suite_version, attempt.suite_digest,
            attempt.demands, attempt.endpoint, policy.digest, said.actor.name,
        )  # fmt: skip
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _tries(installation: Installation, manifest: Manifest) -> Iterator[Trial]:
    """Find the trials of this release, and of all others that are the same under another version."""
    for record in installation.catalog.listing("release", limit=_ALL):
        if isinstance(record, Record) and record.trials and is_same(_manifest(installation, record), manifest):
            yield from record.trials


def _manifest(installation: Installation, record: Record) -> Manifest:
    """Read the manifest of a release; its signature was verified when it was registered."""
    return plain.decode(Manifest, dsse.parse(installation.catalog.document(record.manifest)).payload)
