"""How does a whole release come here, every byte compared with what its digest binds?

    release digest ──▶ manifest ──▶ digest of each bundle ──▶ digest of each file ──▶ each byte, as it is copied

No signature is looked at, because none is needed to know that these are the bytes: who may have signed them is judged
by the gate, and by every host.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from lockgate.cli.exporting import open_keys
from lockgate.core.release import MANIFEST, Manifest
from lockgate.errors import VerificationError
from lockgate.evaluator.candidate import Candidate
from lockgate.formats import dsse, oms, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from lockgate.formats.oms import FileDigest
from lockgate.loader.connection import Connection, ServerSource
from lockgate.loader.hand_over import lay_out

Release = tuple[Manifest, Digest, Mapping[str, tuple[FileDigest, ...]]]


def read_release(connection: Connection, tag: Tag, meant: Digest | None) -> Release:
    """Read the manifest of a release and the list of its files, each bound by the release's digest."""
    record = connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")
    digest = meant or Digest.parse(str(record["release"]))
    envelope = dsse.parse(connection.fetch(f"/api/v1/documents/{record['manifest']}"))
    if Digest.of(envelope.payload) != digest or envelope.payload_type != MANIFEST:
        raise VerificationError(f"the server shows another manifest of {tag} than {digest}")
    manifest = plain.decode(Manifest, envelope.payload)
    if manifest.tag != tag:
        raise VerificationError(f"{digest} is {manifest.tag}, not {tag}")
    listed = record["bundles"]
    if not isinstance(listed, dict):
        raise VerificationError(f"the server lists no bundles of {tag}")
    files = {name: _files(connection, manifest, name, listed.get(name)) for name in manifest.components}
    return manifest, digest, files


def fetch_candidate(connection: Connection, release: Release, into: Path, advance: Callable[[int], None]) -> Candidate:
    """Decrypt and compare every file of a release into an empty folder that nobody else writes."""
    manifest, digest, files = release
    keys = dict(open_keys(connection, manifest.tag, digest))
    try:
        lay_out(files, ServerSource(connection, keys), into, advance)
    finally:
        keys.clear()
    return Candidate(manifest, digest, into, files)


def size_of(release: Release) -> int:
    """Say how many bytes the files of a release have."""
    return sum(file.size or 0 for files in release[2].values() for file in files)


def _files(connection: Connection, manifest: Manifest, name: str, bundle: Json) -> tuple[FileDigest, ...]:
    document = connection.fetch(f"/api/v1/documents/{bundle}")
    part = manifest.components[name]
    if Digest.of(document) != part.bundle:
        raise VerificationError(f"the server shows another bundle of component {name} than the manifest lists")
    read = oms.parse(document)
    if read.dir_hash != part.digest:
        raise VerificationError(f"component {name}: dirHash is {read.dir_hash}, the manifest lists {part.digest}")
    return read.files
