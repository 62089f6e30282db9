"""How does evidence reach a release? As signed statements about its digest, checked when they come in."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.register import registered
from lockgate.core.evidence import check_new, check_tried, open_evidence, payload_of
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.release import Attested, open_manifest
from lockgate.core.trust import MANIFESTS, Purpose
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from lockgate.formats.statement import parse_statement


def attest(installation: Installation, tag: Tag, statement: bytes, signed: SignedIntent, now: datetime) -> Receipt:
    """Take a statement into the evidence of a release, failed results too."""
    if done := installation.done(signed, "release.attest"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "release.attest", now, tx)
        check_intent(said, "release.attest", tag, before=None, after=Digest.of(statement))
        record = registered(tx, tag)
        trust = installation.trust(tx).document
        keys = trust.keys_for(Purpose.COMPONENT, record.registered_at, MANIFESTS)
        release = open_manifest(tx.document(record.manifest), keys)
        evidence = open_evidence(statement, release, trust, now)
        check_new(evidence, [payload_of(tx.document(digest)) for digest in record.evidence], now)
        check_tried(evidence.about, record.trials or (), trust.origin)
        predicate = parse_statement(dsse.parse(statement).payload).predicate_type
        event = Attested(tag, release.digest, tx.keep(statement), predicate, str(evidence.signed_by.key_id))
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)
