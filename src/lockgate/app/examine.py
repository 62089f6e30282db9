"""What does a look at the release that an endpoint would go back to find? Signatures, revocation, key and every byte.

Nothing is changed by a look: it opens files with the keys that a rollback would open them with, and reads them at the
pace of whoever looks. A store or a vault that does not answer is told apart from a file that is not what was signed.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.open_blob import plaintext, rollback_key
from lockgate.app.ports import Receipt
from lockgate.app.register import check_file
from lockgate.app.watch_rollout import all_endpoints
from lockgate.core.gate import Admitted, admit
from lockgate.core.journal import preservation_subject, release_subject
from lockgate.core.preservation import Flaw, Look, Preservation, look_of, news, standing, way_back
from lockgate.core.release import Record
from lockgate.core.slot import Slot
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.formats.oms import FileDigest

CONTROLLER = "controller"
_PIECE = 1 << 20

Pace = Callable[[int], None]  # is told how many bytes were read; takes its time, or raises to end the look


def examine(installation: Installation, slot: Slot, pace: Pace, now: datetime) -> Look:
    """Look at every byte of a release.

    Enforces: preserved_rollback_artifacts
    """
    flaws: list[Flaw] = []
    try:
        installation.revocations([slot.release]).check_release(slot.release)
    except DeniedError as e:
        flaws.append(Flaw("revoked", str(e)))
    try:
        admitted = _admitted(installation, slot)
    except UnavailableError as e:
        return look_of(slot.release, (*flaws, Flaw("unknown", str(e))), 0, 0, now)
    except LockgateError as e:
        return look_of(slot.release, (*flaws, Flaw("signature", str(e))), 0, 0, now)
    files = [(f"{name}/{file.name}", file) for name, part in admitted.components.items() for file in part.files]
    for name, file in files:
        flaws += _flaws_of(installation, slot.release, name, file, pace)
    return look_of(slot.release, tuple(flaws), len(files), sum(file.size or 0 for _, file in files), now)


def note_look(installation: Installation, endpoint: Endpoint, look: Look, before: Look | None) -> Receipt | None:
    """Write down, once, what a look found if that is news; None if it is none, or the way back is another by now.

    Raises `ConflictError` if somebody else was faster.

    Enforces: preserved_rollback_artifacts
    """
    with installation.ledger.transaction() as tx:
        slot = way_back(loaded_endpoint(tx, endpoint))
        if slot is None or slot.release != look.release:
            return None
        found = tx.load(preservation_subject(endpoint))
        known = found if isinstance(found, Preservation) else None
        event = news(known, endpoint, slot, look, before)
        if event is None:
            return None
        installation.watch.known(to_act=True)
        said: dict[str, Json] = {
            "act": event.type,
            "after": known.index if known else -1,
            "event": plain.to_plain(event),
        }
        return tx.append([event], actor=CONTROLLER, key=Digest.of(canonical.encode(said)), at=look.looked_at)


def damaged(installation: Installation) -> Iterator[Preservation]:
    """List what is known to be wrong with what endpoints would go back to now."""
    for state in all_endpoints(installation):
        known = installation.catalog.find(preservation_subject(state.endpoint))
        wrong = standing(state, known if isinstance(known, Preservation) else None)
        if wrong is not None:
            yield wrong


def _admitted(installation: Installation, slot: Slot) -> Admitted:
    catalog = installation.catalog
    record = catalog.find(release_subject(slot.tag))
    if not isinstance(record, Record):
        raise DeniedError(f"{slot.tag} is not registered here")
    bundles = {name: catalog.document(digest) for name, digest in record.bundles.items()}
    trust, revoked = installation.trust().document, installation.revocations([])
    return admit(catalog.document(record.manifest), bundles, trust, revoked, record.registered_at)


def _flaws_of(installation: Installation, release: Digest, name: str, file: FileDigest, pace: Pace) -> Iterator[Flaw]:
    about, wanted = name, file.sha256
    try:
        if not installation.blobs.wraps(wanted):
            yield Flaw("gone", f"{name}: the file is not in the store", about, wanted)
            return
        key = rollback_key(installation, release, wanted)
    except UnavailableError as e:
        yield Flaw("unknown", f"{name}: {e}", about, wanted)
        return
    except (DeniedError, VerificationError) as e:
        yield Flaw("key", f"{name}: its key does not open it: {e}", about, wanted)
        return
    try:
        with plaintext(installation.blobs, wanted, key) as pieces:
            check_file(_paced(pieces, pace), file)
    except VerificationError as e:
        found, stored = _digest_of(installation, wanted, key, pace), _stored(installation, wanted, pace)
        yield Flaw(
            "bytes", f"{name}: the stored bytes are not those that were signed: {e}", about, wanted, found, stored
        )
    except UnavailableError as e:
        yield Flaw("unknown", f"{name}: {e}", about, wanted)


def _digest_of(installation: Installation, digest: Digest, key: bytes, pace: Pace) -> Digest | None:
    """Say what a file holds that does not hold what it should; None if it cannot be decrypted."""
    whole = hashlib.sha256()
    try:
        with plaintext(installation.blobs, digest, key) as pieces:
            for piece in _paced(pieces, pace):
                whole.update(piece)
    except (UnavailableError, VerificationError):
        return None
    return Digest(whole.hexdigest())


def _stored(installation: Installation, digest: Digest, pace: Pace) -> Digest | None:
    """Say what lies there, encrypted: whoever looks later sees whether it is still the same."""
    whole = hashlib.sha256()
    try:
        with installation.blobs.open(digest) as stream:
            while piece := stream.read(_PIECE):
                whole.update(piece)
                pace(len(piece))
    except (OSError, UnavailableError, VerificationError):
        return None
    return Digest(whole.hexdigest())


def _paced(pieces: Iterator[memoryview], pace: Pace) -> Iterator[memoryview]:
    for piece in pieces:
        yield piece
        pace(len(piece))
