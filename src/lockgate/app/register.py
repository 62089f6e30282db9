"""How does a release come into the registry? Signed, complete, and with every byte compared to what was signed."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.open_blob import data_key, plaintext, release_keys
from lockgate.app.ports import Blobs, Receipt, Transaction
from lockgate.core.gate import Admitted, admit
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import release_subject
from lockgate.core.passport import Passport
from lockgate.core.provider import open_providers
from lockgate.core.release import Manifest, Record, Registered
from lockgate.core.transfer import open_export
from lockgate.core.version import check_version, predecessor_of, successor_of
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from lockgate.formats.oms import FileDigest


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed manifest and the bundle of each component. `passport` is what it crossed with, if it did.

    `providers` are the documents of its provider models, the same that are stored among its files.
    """

    manifest: str
    bundles: Mapping[str, str]
    passport: Passport | None = None
    providers: Mapping[str, str] | None = None


def register(installation: Installation, submitted: Submission, signed: SignedIntent, now: datetime) -> Receipt:
    """Register a release: signatures, version and bytes are checked, then the tag is bound for good.

    Enforces: verified_admission
    """
    if done := installation.done(signed, "release.register"):
        return done
    bundles = {name: bundle.encode() for name, bundle in submitted.bundles.items()}
    providers = {name: document.encode() for name, document in (submitted.providers or {}).items()}
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "release.register", now, tx)
        trust, revoked = installation.trust(tx).document, installation.revocations([], tx)
        admitted = admit(submitted.manifest.encode(), bundles, trust, revoked, now)
        open_providers(admitted.release.manifest, admitted.components, providers)
        tag = admitted.release.manifest.tag
        check_intent(said, "release.register", tag, before=None, after=admitted.release.digest)
        installation.revocations([admitted.release.digest], tx).check_release(admitted.release.digest)
        origin = _origin(installation, submitted, admitted, now)
        if tx.load(release_subject(tag)) is not None:
            raise DeniedError(f"{tag} is registered already: a version is bound once and never recycled")
        _check_step(installation, admitted.release.manifest)
        _check_parents(tx, admitted.release.manifest)
        digests = blobs_of(admitted)
        check_bytes(installation.blobs, admitted, {blob: data_key(installation, blob) for blob in digests})
        release_keys(installation, admitted.release.digest, digests)
        event = Registered(
            tag,
            admitted.release.digest,
            tx.keep(submitted.manifest.encode()),
            {name: tx.keep(bundle) for name, bundle in bundles.items()},
            tx.keep(plain.encode(signed)),
            said.actor.name,
            origin,
            {name: tx.keep(document) for name, document in providers.items()} or None,
        )
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def check_bytes(blobs: Blobs, admitted: Admitted, keys: Mapping[Digest, bytes]) -> None:
    """Decrypt every file of the release in memory; its digest and chunk digests must be those that were signed."""
    for wrong in wrong_bytes(blobs, admitted, keys.__getitem__):
        raise wrong


def wrong_bytes(blobs: Blobs, admitted: Admitted, key_of: Callable[[Digest], bytes]) -> Iterator[LockgateError]:
    """Say of every file of the release that is not whole what is wrong with it."""
    for name, component in admitted.components.items():
        for file in component.files:
            try:
                with plaintext(blobs, file.sha256, key_of(file.sha256)) as pieces:
                    check_file(pieces, file)
            except VerificationError as e:
                yield VerificationError(f"{name}/{file.name}: the stored bytes are not those that were signed: {e}")
            except UnavailableError as e:
                yield UnavailableError(f"{name}/{file.name}: {e}")


def check_file(pieces: Iterable[memoryview], file: FileDigest) -> None:
    """Raise `VerificationError` unless the pieces are the file that was signed, whole and by its chunks."""
    whole, size, chunks = hashlib.sha256(), 0, []
    step = file.chunk_size or sys.maxsize
    with ThreadPoolExecutor(1) as pool:
        for piece in pieces:
            hashed = pool.submit(whole.update, piece)
            left = piece
            while left:
                if size % step == 0:
                    chunks.append(hashlib.sha256())
                part = left[: step - size % step]
                chunks[-1].update(part)
                size, left = size + len(part), left[len(part) :]
            hashed.result()
    found = (whole.digest(), size, tuple(chunk.digest() for chunk in chunks))
    if found != (file.sha256.raw, file.size, file.chunks) and not (
        size == 0 and found[:2] == (file.sha256.raw, file.size)
    ):
        raise VerificationError(
            f"found sha256:{whole.hexdigest()} of {size} bytes, wanted {file.sha256} of {file.size}"
        )


def blobs_of(admitted: Admitted) -> frozenset[Digest]:
    """List the files of a release by digest; one that is there twice is listed once."""
    return frozenset(file.sha256 for component in admitted.components.values() for file in component.files)


def registered(tx: Transaction, tag: Tag) -> Record:
    """Return what the log says of a release; raise `DeniedError` if there is none."""
    found = tx.load(release_subject(tag))
    if not isinstance(found, Record):
        raise DeniedError(f"{tag} is not registered here")
    return found


def _origin(installation: Installation, submitted: Submission, admitted: Admitted, now: datetime) -> str | None:
    if submitted.passport is None:
        return None
    trust = installation.trust().document
    return str(open_export(submitted.passport, admitted.release, trust, now))


def _check_step(installation: Installation, manifest: Manifest) -> None:
    """Compare a release with its neighbours on both sides, so that none can slip in between two of them."""
    prefix = f"{manifest.name}@"
    records = {
        record.tag.version: record
        for record in installation.catalog.listing("release", prefix=prefix, limit=100_000)
        if isinstance(record, Record)
    }
    before, after = predecessor_of(manifest.version, records), successor_of(manifest.version, records)
    if before:
        check_version(_manifest(installation, records[before]), manifest)
    if after:
        check_version(manifest, _manifest(installation, records[after]))


def _check_parents(tx: Transaction, manifest: Manifest) -> None:
    """Raise `DeniedError` for a parent that is another release here than the manifest says; others may be unknown."""
    for tag, digest in (manifest.derived_from.parents if manifest.derived_from else {}).items():
        parent = tx.load(release_subject(tag))
        if isinstance(parent, Record) and parent.release != digest:
            raise DeniedError(f"{manifest.tag} names {digest} as its parent {tag}, which is {parent.release} here")


def _manifest(installation: Installation, record: Record) -> Manifest:
    return plain.decode(Manifest, dsse.parse(installation.catalog.document(record.manifest)).payload)
