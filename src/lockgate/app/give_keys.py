"""Who gets the keys of a release's files? A host that is granted a lease for it, and who may take it elsewhere.

Both get a box that only they can open. What a host gets goes with its lease; what a person gets is an act of its own,
in the log before it is given.
"""

from dataclasses import replace
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.open_blob import release_keys
from lockgate.app.ports import Receipt
from lockgate.app.register import registered
from lockgate.core.box import Occasion, seal
from lockgate.core.endpoint import State, check_share
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import endpoint_subject, release_subject
from lockgate.core.lease import Grant, Granted, Request
from lockgate.core.release import KeysOpened, Record
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import oms, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag

_ACT = "release.open-keys"


def with_keys(installation: Installation, request: Request, grant: Grant) -> Grant:
    """Add the keys that `request` asks for to what was granted; where they cannot be had, the grant stays without.

    Other permissions in the same answer must not suffer from a vault that does not answer.
    """
    wanted = {(want.endpoint, want.release) for want in request.wants if want.keys}
    if request.seal_to is None or not wanted:
        return grant
    granted = (
        _with_keys(installation, request, request.seal_to, one) if (one.endpoint, one.release) in wanted else one
        for one in grant.granted
    )
    return replace(grant, granted=tuple(granted))


def open_keys(
    installation: Installation, tag: Tag, seal_to: str, signed: SignedIntent, now: datetime
) -> tuple[Receipt, str]:
    """Record that somebody wants to read a release, and seal its keys to `seal_to`, which their intent names.

    Raises `DeniedError` for a release that was revoked: it goes nowhere any more.
    """
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, _ACT, now, tx)
        record = registered(tx, tag)
        check_intent(said, _ACT, tag, before=record.release, after=Digest.of(seal_to.encode()))
        installation.revocations([record.release], tx).check_release(record.release)
        occasion = Occasion(said.actor.name, said.intent.nonce, record.release)
        box = seal(release_keys(installation, record.release, _files(installation, record)), seal_to, occasion)
        event = KeysOpened(tag, record.release, said.actor.name, tx.keep(plain.encode(signed)))
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now), box


def _with_keys(installation: Installation, request: Request, seal_to: str, granted: Granted) -> Granted:
    try:
        keys = release_keys(installation, granted.release, _files(installation, _serving(installation, granted)))
    except (DeniedError, UnavailableError, VerificationError):
        return granted
    occasion = Occasion(request.node, request.nonce, granted.release, granted.endpoint)
    return replace(granted, keys=seal(keys, seal_to, occasion))


def _serving(installation: Installation, granted: Granted) -> Record:
    state = installation.catalog.find(endpoint_subject(granted.endpoint))
    if not isinstance(state, State):
        raise DeniedError(f"{granted.endpoint} does not serve {granted.release} any more")
    record = installation.catalog.find(release_subject(check_share(state, granted.release).slot.tag))
    assert isinstance(record, Record), "what may serve is registered"
    return record


def _files(installation: Installation, record: Record) -> frozenset[Digest]:
    bundles = (installation.catalog.document(digest) for digest in record.bundles.values())
    return frozenset(file.sha256 for bundle in bundles for file in oms.parse(bundle).files)
