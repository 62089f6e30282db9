"""How is a release or a key taken back for good? By one authorised hand, at once, everywhere.

From the moment this returns, no lease is granted for the release and nothing that the key signed counts here; hosts
follow with the next deny-list (`publish_updates`). A rollout whose candidate it is ends in the same append, so the
stable release has all traffic again from that very entry on. Whoever lost the race against another act is heard again.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.publish_checkpoint import anchored
from lockgate.app.register import registered
from lockgate.app.roll_out import Why, aborted
from lockgate.app.watch_rollout import in_flight
from lockgate.core.intent import Said, SignedIntent, check_intent
from lockgate.core.journal import Event, revocation_subject
from lockgate.core.release import Manifest
from lockgate.core.revocation import KeyRevoked, Offboarded, ReleaseRevoked, Revocation, check_reason
from lockgate.core.rights import Role
from lockgate.core.rollout import Abort
from lockgate.core.trust import Purpose, Trust
from lockgate.errors import ConflictError, DeniedError, UnavailableError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag

_PATIENCE = 1000  # races that one revocation may lose

Decide = Callable[[Transaction, Said], Sequence[Event] | Revocation]


def revoke_release(installation: Installation, tag: Tag, reason: str, signed: SignedIntent, now: datetime) -> Receipt:
    """Revoke a release, in whatever state it is.

    Enforces: retirement_revocation, gradual_rollout
    """

    def decide(tx: Transaction, said: Said) -> Sequence[Event] | Revocation:
        record = registered(tx, tag)
        _check_said(said, "release.revoke", tag, record.release, reason)
        known = tx.load(revocation_subject(record.release))
        if isinstance(known, Revocation):
            return known
        manifest = plain.decode(Manifest, dsse.parse(tx.document(record.manifest)).payload)
        parts = tuple(sorted({part.digest for part in manifest.components.values()}))
        order = tx.keep(plain.encode(signed))
        revoked = ReleaseRevoked(tag, record.release, parts, reason, said.actor.name, order)
        return [revoked, *_ended(installation, record.release, (order, said.actor.name), tx)]

    return _insist(installation, "release.revoke", signed, now, decide)


def revoke_key(installation: Installation, key: Digest, reason: str, signed: SignedIntent, now: datetime) -> Receipt:
    """Revoke a key by its id, whoever holds it; root keys and those for updates are changed by the next trust document.

    Enforces: retirement_revocation
    """

    def decide(tx: Transaction, said: Said) -> Sequence[Event] | Revocation:
        _check_said(said, "key.revoke", key, key, reason)
        _check_revocable(installation.written_trust(tx).document, key)
        known = [entry for entry in installation.rulebook(tx).revoked if (entry.of, entry.digest) == ("key", key)]
        order = tx.keep(plain.encode(signed))
        return known[0] if known else [KeyRevoked(installation.environment, key, reason, said.actor.name, order)]

    return _insist(installation, "key.revoke", signed, now, decide)


def offboard(installation: Installation, person: Name, reason: str, signed: SignedIntent, now: datetime) -> Receipt:
    """End what somebody may do, at once and for good; what they did before still counts.

    The last admin stays until the next trust document: without one nobody could bring it in.
    """

    def decide(tx: Transaction, said: Said) -> Sequence[Event] | Revocation:
        check_reason(reason)
        after = Digest.of(reason.encode())
        check_intent(said, "person.offboard", person, before=None, after=after)
        _check_offboarding(installation.trust(tx).document, installation.written_trust(tx).document, person, now)
        known = [entry for entry in installation.rulebook(tx).revoked if entry.person == person]
        order = tx.keep(plain.encode(signed))
        return known[0] if known else [Offboarded(installation.environment, person, reason, said.actor.name, order)]

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


def _ended(installation: Installation, release: Digest, why: Why, tx: Transaction) -> Iterator[Event]:
    """End every rollout of a release. One that begins at this moment is ended by a controller, at its next look."""
    for flying in in_flight(installation):
        if flying.rollout is not None and flying.rollout.candidate.release == release:
            state = loaded_endpoint(tx, flying.endpoint)
            if state.rollout is not None and state.rollout.candidate.release == release:
                yield from aborted(state, Abort("revoked"), why)


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
        events = decide(tx, said)
        if isinstance(events, Revocation):
            return Receipt(events.index, events.index + 1)
        return tx.append(events, actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _check_said(said: Said, act: str, object_: object, before: Digest, reason: str) -> None:
    """Raise `DeniedError` unless the intent names exactly this, and signs the reason with it."""
    check_reason(reason)
    check_intent(said, act, object_, before=before, after=Digest.of(reason.encode()))


def _check_revocable(trust: Trust, key: Digest) -> None:
    kept = [*trust.root.keys, *(s.key for s in trust.signers if s.purpose is Purpose.UPDATES and s.key)]
    if any(one.key_id == key for one in kept):
        raise DeniedError("a root key, or one for updates, is not revoked but replaced: sign the next trust document")
