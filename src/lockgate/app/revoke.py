"""How is a release or a key taken back for good? By one authorised hand, at once, everywhere.

From the moment this returns, no lease is granted for the release and nothing that the key signed counts here; hosts
follow with the next deny-list (`publish_updates`). Whoever lost the race against another act is heard again.
"""

from collections.abc import Callable
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.publish_checkpoint import anchored
from lockgate.app.register import registered
from lockgate.core.intent import Said, SignedIntent, check_intent
from lockgate.core.journal import Event, revocation_subject
from lockgate.core.release import Manifest
from lockgate.core.revocation import KeyRevoked, Offboarded, ReleaseRevoked, Revocation, check_reason
from lockgate.core.rights import Role
from lockgate.core.trust import Purpose, Trust
from lockgate.errors import ConflictError, DeniedError, UnavailableError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag

_PATIENCE = 1000  # races that one revocation may lose

Decide = Callable[[Transaction, Said], Event | Revocation]


def revoke_release(installation: Installation, tag: Tag, reason: str, signed: SignedIntent, now: datetime) -> Receipt:
    """Revoke a release, in whatever state it is.

    Enforces: retirement_revocation
    """

    def decide(tx: Transaction, said: Said) -> Event | Revocation:
        record = registered(tx, tag)
        _check_said(said, "release.revoke", tag, record.release, reason)
        known = tx.load(revocation_subject(record.release))
        if isinstance(known, Revocation):
            return known
        manifest = plain.decode(Manifest, dsse.parse(tx.document(record.manifest)).payload)
        parts = tuple(sorted({part.digest for part in manifest.components.values()}))
        return ReleaseRevoked(tag, record.release, parts, reason, said.actor.name, tx.keep(plain.encode(signed)))

    return _insist(installation, "release.revoke", signed, now, decide)


def revoke_key(installation: Installation, key: Digest, reason: str, signed: SignedIntent, now: datetime) -> Receipt:
    """Revoke a key by its id, whoever holds it; root keys and those for updates are changed by the next trust document.

    Enforces: retirement_revocation
    """

    def decide(tx: Transaction, said: Said) -> Event | Revocation:
        _check_said(said, "key.revoke", key, key, reason)
        _check_revocable(installation.written_trust(tx).document, key)
        known = [entry for entry in installation.rulebook(tx).revoked if (entry.of, entry.digest) == ("key", key)]
        order = tx.keep(plain.encode(signed))
        return known[0] if known else KeyRevoked(installation.environment, key, reason, said.actor.name, order)

    return _insist(installation, "key.revoke", signed, now, decide)


def offboard(installation: Installation, person: Name, reason: str, signed: SignedIntent, now: datetime) -> Receipt:
    """End what somebody may do, at once and for good; what they did before still counts.

    The last admin stays until the next trust document: without one nobody could bring it in.
    """

    def decide(tx: Transaction, said: Said) -> Event | Revocation:
        check_reason(reason)
        after = Digest.of(reason.encode())
        check_intent(said, "person.offboard", person, before=None, after=after)
        _check_offboarding(installation.trust(tx).document, installation.written_trust(tx).document, person, now)
        known = [entry for entry in installation.rulebook(tx).revoked if entry.person == person]
        order = tx.keep(plain.encode(signed))
        return known[0] if known else Offboarded(installation.environment, person, reason, said.actor.name, order)

    return _insist(installation, "person.offboard", signed, now, decide)


def _check_offboarding(trust: Trust, written: Trust, person: Name, now: datetime) -> None:
    if not any(actor.name == person for actor in written.actors):
        raise DeniedError(f"there is no {person} in the trust document")
    lasting = [actor.at(now) for actor in trust.actors if actor.until is None or now < actor.until]
    admins = {actor.name for actor in lasting if Role.ADMIN in actor.roles and actor.keys}
    if admins == {person}:
        raise DeniedError(
            f"{person} is the last admin, without whom no rules come into force: propose another one first"
        )


def _insist(installation: Installation, act: str, signed: SignedIntent, now: datetime, decide: Decide) -> Receipt:
    for _ in range(_PATIENCE):
        try:
            return anchored(installation, _revoke(installation, act, signed, now, decide))
        except ConflictError:
            continue
    raise UnavailableError(f"the log changed {_PATIENCE} times while {signed.intent.object} was to be revoked")


def _revoke(installation: Installation, act: str, signed: SignedIntent, now: datetime, decide: Decide) -> Receipt:
    if done := installation.done(signed, act):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, act, now, tx)
        event = decide(tx, said)
        if isinstance(event, Revocation):
            return Receipt(event.index, event.index + 1)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _check_said(said: Said, act: str, object_: object, before: Digest, reason: str) -> None:
    """Raise `DeniedError` unless the intent names exactly this, and signs the reason with it."""
    check_reason(reason)
    check_intent(said, act, object_, before=before, after=Digest.of(reason.encode()))


def _check_revocable(trust: Trust, key: Digest) -> None:
    kept = [*trust.root.keys, *(s.key for s in trust.signers if s.purpose is Purpose.UPDATES and s.key)]
    if any(one.key_id == key for one in kept):
        raise DeniedError("a root key, or one for updates, is not revoked but replaced: sign the next trust document")
