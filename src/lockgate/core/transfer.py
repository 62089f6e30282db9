"""How does a release cross from one environment to another? With its passport, under the other side's own trust.

The environment that lets go signs one statement about the release and the digest of its passport; the environment that
takes in trusts that signer by name, and still verifies every component itself.
"""

from dataclasses import replace
from datetime import datetime

from lockgate.core.evidence import subject_of
from lockgate.core.passport import Passport
from lockgate.core.release import Release
from lockgate.core.trust import Purpose, Trust
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Name
from lockgate.formats.statement import Statement, parse_statement

EXPORT = "https://lockgate.invalid/export/v1"


def sign_export(passport: Passport, release: Release, environment: Name, signer: Signer) -> Passport:
    """Seal `passport` for another environment."""
    digest = Digest.of(plain.encode(replace(passport, export=None)))
    statement = Statement((subject_of(release),), EXPORT, {"environment": str(environment), "passport": str(digest)})
    return replace(passport, export=dsse.sign(statement.encode(), dsse.IN_TOTO, [signer]).encode().decode())


def open_export(passport: Passport, release: Release, trust: Trust, at: datetime) -> Name:
    """Verify who let this release go; return the environment that it comes from."""
    if passport.export is None:
        raise VerificationError("the passport was not exported for another environment: nobody has signed it")
    envelope = dsse.parse(passport.export.encode())
    claimed = Name(str(parse_statement(envelope.payload).predicate.get("environment")))
    opened = dsse.open_envelope(envelope, dsse.IN_TOTO, trust.keys_for(Purpose.EXPORT, at, str(claimed)))
    statement = parse_statement(opened.payload)
    digest = Digest.of(plain.encode(replace(passport, export=None)))
    wanted = (EXPORT, (subject_of(release),), str(digest))
    if (statement.predicate_type, statement.subject, statement.predicate.get("passport")) != wanted:
        raise VerificationError("the export statement is about another passport or release")
    return claimed
