"""Which rules does the installation judge by? Those that a threshold of offline keys signed, version after version."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import Rulebook, rulebook_subject
from lockgate.core.policy import POLICY, Policy, PolicyAdopted, open_policy
from lockgate.core.trust import Agreed, Root, Trust, TrustAdopted, open_agreed, open_trust
from lockgate.errors import ConflictError, DeniedError, VerificationError
from lockgate.formats.digest import Digest


def found(installation: Installation, document: bytes, root: Root, now: datetime) -> Receipt:
    """Adopt the first trust document of a new installation, signed by the root that its founder names."""
    trust = open_trust(document, root, now)
    _check_environment(installation, trust.document.environment, trust.document.version, 0)
    with installation.ledger.transaction() as tx:
        if tx.load(rulebook_subject(installation.environment)) is not None:
            raise ConflictError(f"{installation.environment} has a trust document already")
        return tx.append([_adopted(trust, tx.keep(document))], actor="founder", key=Digest.of(document), at=now)


def adopt_trust(installation: Installation, document: bytes, signed: SignedIntent, now: datetime) -> Receipt:
    """Adopt the next trust document, signed by the threshold of the one in force."""
    if done := installation.done(signed, "trust.adopt"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "trust.adopt", now, tx)
        held = installation.trust(tx)
        trust = open_trust(document, held.document.root, now)
        check_intent(said, "trust.adopt", installation.environment, before=held.digest, after=trust.digest)
        _check_environment(installation, trust.document.environment, trust.document.version, held.document.version)
        _check_continuity(installation, held.document, trust.document, tx)
        event = _adopted(trust, tx.keep(document))
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def adopt_policy(installation: Installation, document: bytes, signed: SignedIntent, now: datetime) -> Receipt:
    """Adopt the next policy, signed by the threshold of the trust document in force."""
    if done := installation.done(signed, "policy.adopt"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "policy.adopt", now, tx)
        policy = open_policy(document, installation.trust(tx).document.root, now)
        rulebook = tx.load(rulebook_subject(installation.environment))
        assert isinstance(rulebook, Rulebook)
        check_intent(said, "policy.adopt", installation.environment, before=rulebook.policy, after=policy.digest)
        found = policy.document
        _check_environment(installation, found.environment, found.version, rulebook.policy_version)
        event = PolicyAdopted(found.environment, found.version, policy.digest, tx.keep(document))
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _adopted(trust: Agreed[Trust], envelope: Digest) -> TrustAdopted:
    return TrustAdopted(trust.document.environment, trust.document.version, trust.digest, envelope)


def _check_continuity(installation: Installation, held: Trust, trust: Trust, tx: Transaction) -> None:
    """Raise `DeniedError` if the new document would be of another log, or leave its policy unsigned."""
    if trust.origin != held.origin:
        raise DeniedError(f"the document is for log {trust.origin[:80]!a}; this log is {held.origin}, for good")
    rulebook = tx.load(rulebook_subject(installation.environment))
    if isinstance(rulebook, Rulebook) and rulebook.policy_envelope is not None:
        try:
            open_agreed(Policy, tx.document(rulebook.policy_envelope), POLICY, trust.root)
        except VerificationError as e:
            raise DeniedError(f"the policy in force is not signed by the new root, adopt one that is: {e}") from e


def _check_environment(installation: Installation, environment: object, version: int, held: int) -> None:
    if environment != installation.environment:
        raise DeniedError(f"the document is for {environment}, this installation is {installation.environment}")
    if version != held + 1:
        raise DeniedError(f"the document is version {version}, the next one is {held + 1}")
