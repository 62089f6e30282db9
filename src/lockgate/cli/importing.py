"""How does a release come in from another environment? Blob by blob, then the manifest, then its evidence.

The bundle is a zip file that is never extracted: its members are read by the names that the passport asks for, and
every byte is checked by digest on the other side.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from lockgate.core.passport import MAX_PASSPORT, Passport, parse_passport
from lockgate.core.release import MANIFEST, Manifest
from lockgate.errors import VerificationError
from lockgate.formats import dsse, oms, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from lockgate.loader.connection import Connection


def import_bundle(connection: Connection, bundle: Path) -> Mapping[str, Json]:
    """Upload the files, register the release with the passport that it crossed with, and attach its evidence."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            passport = parse_passport(_member(archive, "passport.json", MAX_PASSPORT))
            _upload_blobs(connection, archive, passport)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, ValueError, RuntimeError) as e:
        raise VerificationError(f"{bundle} is not a whole release bundle: {e}") from e
    envelope = dsse.parse(passport.manifest.encode())
    if envelope.payload_type != MANIFEST:
        raise VerificationError(f"{bundle} holds no release manifest")
    tag = plain.decode(Manifest, envelope.payload).tag
    intent = connection.intend("release.register", tag, after=Digest.of(envelope.payload))
    submission = {
        "manifest": passport.manifest,
        "bundles": passport.bundles,
        "passport": passport,
        "providers": passport.providers,
    }
    answer = connection.act("/api/v1/releases", intent, submission=submission)
    for statement in passport.evidence:
        attach(connection, tag, statement)
    return {"tag": str(tag), "entry": answer["first"], "evidence": len(passport.evidence)}


def attach(connection: Connection, tag: Tag, statement: str) -> Json:
    """Attach a signed statement to a release; return the index of the log entry."""
    intent = connection.intend("release.attest", tag, after=Digest.of(statement.encode()))
    return connection.act(f"/api/v1/releases/{tag.name}/{tag.version}/evidence", intent, statement=statement)["first"]


def _upload_blobs(connection: Connection, archive: zipfile.ZipFile, passport: Passport) -> None:
    for bundle in passport.bundles.values():
        for file in oms.parse(bundle.encode()).files:
            where = f"/api/v1/blobs/{file.sha256}"
            if connection.has(where):
                continue
            member = archive.getinfo(f"sha256/{file.sha256.hex}")
            if member.file_size != file.size or member.compress_type != zipfile.ZIP_STORED:
                raise VerificationError(
                    f"{file.name} has {member.file_size} bytes in the bundle, {file.size} are signed"
                )
            with archive.open(member) as stream:
                connection.upload(where, iter(lambda stream=stream: stream.read(1 << 20), b""), member.file_size)  # type: ignore[misc]


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    found = archive.getinfo(name)
    if found.compress_type != zipfile.ZIP_STORED:
        raise VerificationError(f"{name} is compressed, and no member of a release bundle is")
    if found.file_size > limit:
        raise VerificationError(f"{name} has {found.file_size} bytes, more than the {limit} allowed")
    return archive.read(found)
