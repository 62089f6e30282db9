"""How does a suite become known? By name, version and content, once and for good, so that a policy may ask for it."""

from dataclasses import dataclass
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import suite_subject
from lockgate.core.suite import Added, check_suite
from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag, Version


@dataclass(frozen=True, slots=True)
class NewSuite:
    """A version of a suite: what it is called, the dirHash of its directory, and the commit that it comes from."""

    name: Name
    version: Version
    digest: Digest
    commit: str


def add_suite(installation: Installation, new: NewSuite, signed: SignedIntent, now: datetime) -> Receipt:
    """Bind the name and version of a suite to its content."""
    if done := installation.done(signed, "suite.add"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "suite.add", now, tx)
        subject = suite_subject(Tag(new.name, new.version))
        check_intent(said, "suite.add", subject, before=None, after=new.digest)
        event = Added(new.name, new.version, new.digest, new.commit, said.actor.name)
        check_suite(event)
        if tx.load(subject) is not None:
            raise DeniedError(f"{subject} is known already: a version is bound once and never recycled")
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)
