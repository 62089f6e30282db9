"""How does an endpoint get its former release back? By one authorised hand, whole, or not at all."""

from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.open_blob import release_keys
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.register import registered, wrong_bytes
from lockgate.core.endpoint import RolledBack, check_rollback
from lockgate.core.gate import admit
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.slot import Slot
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint


def roll_back(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    """Restore the release that the stable one replaced: integrity, no revocation, one hand; no fresh evidence.

    Its signatures are judged at the instant that registered them, and every byte is read again before the switch.

    Enforces: complete_rollback
    """
    if done := installation.done(signed, "endpoint.roll-back"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "endpoint.roll-back", now, tx)
        state = loaded_endpoint(tx, endpoint)
        target = check_rollback(state)
        assert state.stable is not None
        check_intent(said, "endpoint.roll-back", endpoint, before=state.stable.release, after=target.release)
        prove_whole(installation, target, tx)
        order = tx.keep(plain.encode(signed))
        event = RolledBack(endpoint, target.tag, target.release, state.stable.release, said.actor.name, order)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def prove_whole(installation: Installation, slot: Slot, tx: Transaction) -> None:
    """Raise, with every reason, unless a release could serve again: not revoked, signatures good, every byte as signed.

    Enforces: preserved_rollback_artifacts
    """
    record = registered(tx, slot.tag)
    bundles = {name: tx.document(digest) for name, digest in record.bundles.items()}
    trust = installation.trust(tx).document
    wrong: list[LockgateError] = []
    try:
        installation.revocations([slot.release], tx).check_release(slot.release)
    except DeniedError as e:
        wrong.append(e)
    admitted = admit(
        tx.document(record.manifest), bundles, trust, installation.revocations([], tx), record.registered_at
    )
    wrong += wrong_bytes(
        installation.blobs, admitted, lambda blob: release_keys(installation, slot.release, [blob])[blob]
    )
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise DeniedError(*(f"{slot.tag}: {each}" for each in wrong))
