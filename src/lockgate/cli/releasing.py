"""How does a person create, show and move releases, and attach evidence to them?"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.conceding import flagged
from lockgate.cli.speaking import (
    EXISTING,
    FILE,
    KEY,
    TAG,
    WHERE,
    Column,
    as_json,
    now,
    progress,
    read,
    show,
    signer,
    speaking,
    table,
)
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.names import Tag

if TYPE_CHECKING:
    from lockgate.core.provider import ProviderModel
    from lockgate.core.release import Manifest
    from lockgate.formats.oms import FileDigest
    from lockgate.loader.connection import Connection


@click.group()
def release() -> None:
    """Create, list, show, diff, export and import releases."""


@release.command("create")
@click.argument("description", type=EXISTING)
@click.option(
    "--manifest-key", type=KEY, required=True, help=f"Key that signs the manifest (purpose component): {WHERE}."
)
@speaking
@as_json
def create_release(description: Path, manifest_key: str, connection: "Connection", json_: bool) -> None:
    """Register the release that DESCRIPTION (release.toml) describes: sign its manifest, upload its files, register.

    Files that the server already has are not sent again; the command can be repeated.
    """
    from lockgate.cli.authoring import read_draft
    from lockgate.core.release import MANIFEST
    from lockgate.formats import dsse, oms, plain
    from lockgate.formats.digest import Digest

    draft = read_draft(description, now())
    payload = plain.encode(draft.manifest)
    envelope = dsse.sign(payload, MANIFEST, [signer(manifest_key)]).encode().decode()
    files = [(draft.directories[n] / f.name, f) for n, b in draft.bundles.items() for f in oms.parse(b).files]
    with progress("uploading", sum(file.size or 0 for _, file in files)) as advance:
        for path, file in files:
            _upload(connection, path, file, advance)
    digest = Digest.of(payload)
    intent = connection.intend("release.register", draft.manifest.tag, after=digest)
    bundles, providers = ({n: b.decode() for n, b in read.items()} for read in (draft.bundles, draft.providers))
    submission = {"manifest": envelope, "bundles": bundles, "providers": providers or None}
    answer = connection.act("/api/v1/releases", intent, submission=submission)
    found = {"release": str(digest), "tag": str(draft.manifest.tag), "entry": answer["first"]}
    show(json_, found, f"registered {draft.manifest.tag} as {digest} (entry {answer['first']})")


@release.command("list")
@click.option("--name", help="Only releases of this name.")
@speaking
@as_json
def list_releases(name: str | None, connection: "Connection", json_: bool) -> None:
    """List the releases that are registered."""
    found = _items(connection.get("/api/v1/releases", name=name, limit=100))
    columns = (
        Column("RELEASE", lambda row: row["tag"]),
        Column("DIGEST", lambda row: str(row["release"])[:23]),
        Column("REGISTERED BY", lambda row: row["registrant"]),
        Column("AT", lambda row: row["registered_at"]),
    )
    show(json_, {"items": found}, *table(found, *columns))


@release.command("show")
@click.argument("tag", type=TAG)
@speaking
@as_json
def show_release(tag: Tag, connection: "Connection", json_: bool) -> None:
    """Show a release: its record in the log, its manifest, what is not pinned, and what its parents passed."""
    from lockgate.cli.descending import ancestry, ancestry_words
    from lockgate.core.provider import left_open

    record, manifest = _release(connection, tag)
    unpinned, parents = left_open(_providers(connection, record)), ancestry(connection, _manifest(manifest))
    found = {"record": record, "manifest": manifest, "unpinned": list(unpinned), "parents": parents}
    lines = [json.dumps({**record, "manifest": manifest}, indent=2), *unpinned, *ancestry_words(parents)]
    if revoked := connection.find(f"/api/v1/releases/{tag.name}/{tag.version}/revocation"):
        found["revoked"] = revoked
        lines.append(f"{tag} is revoked since {revoked['at']}: {revoked['reason']}")
    if exceptions := flagged(connection, release=str(tag)):
        found["exceptions"] = exceptions
        lines += exceptions
    show(json_, found, *lines)


@release.command("diff")
@click.argument("old", type=TAG)
@click.argument("new", type=TAG)
@speaking
@as_json
def diff_releases(old: Tag, new: Tag, connection: "Connection", json_: bool) -> None:
    """Say what differs between two releases, and the least version bump that the difference demands."""
    from lockgate.core.provider import provider_differences
    from lockgate.core.version import least_bump

    releases = [_release(connection, tag) for tag in (old, new)]
    bump, why = least_bump(*(_manifest(manifest) for _, manifest in releases))
    hosted = provider_differences(*(_providers(connection, record) for record, _ in releases))
    because = [*why, *hosted]
    found = {"old": str(old), "new": str(new), "least_bump": bump.name, "because": because}
    show(json_, found, f"{new} owes {old} a {bump.name} step:", *(f"  {reason}" for reason in because))


@release.command("export")
@click.argument("tag", type=TAG)
@click.option("--output", type=FILE, required=True, help="The bundle to write.")
@speaking
@as_json
def export_release(tag: Tag, output: Path, connection: "Connection", json_: bool) -> None:
    """Write a release with its passport, signed by its environment, into one file for another environment.

    The file holds the release in plain text: keep it as you would keep the weights. The log says that you took it.
    """
    from lockgate.cli.exporting import open_keys, write_bundle
    from lockgate.core.passport import parse_passport
    from lockgate.formats import dsse, oms
    from lockgate.formats.digest import Digest
    from lockgate.loader.connection import ServerSource

    if not output.name:
        raise click.UsageError("say what the bundle is called: --output FILE")
    passport = connection.fetch(f"/api/v1/releases/{tag.name}/{tag.version}/export")
    parsed = parse_passport(passport)
    files = {f.sha256: f for bundle in parsed.bundles.values() for f in oms.parse(bundle.encode()).files}
    digest = Digest.of(dsse.parse(parsed.manifest.encode()).payload)
    source = ServerSource(connection, open_keys(connection, tag, digest))
    draft = output.parent / f".{output.name[:200]}.{os.getpid()}"
    try:
        with progress("exporting", sum(file.size or 0 for file in files.values())) as advance:
            write_bundle(draft, passport, files.values(), source, advance)
        draft.replace(output)
    except OSError as e:
        raise UnavailableError(f"cannot write {output}: {e.strerror}") from e
    finally:
        with suppress(OSError):  # it became the bundle, or was never made
            draft.unlink()
    show(json_, {"tag": str(tag), "output": str(output), "files": len(files)}, f"exported {tag} to {output}")


@release.command("import")
@click.argument("bundle", type=EXISTING)
@speaking
@as_json
def import_release(bundle: Path, connection: "Connection", json_: bool) -> None:
    """Admit a release that another environment exported: its bytes, signatures and evidence are all checked again."""
    from lockgate.cli.importing import import_bundle

    found = import_bundle(connection, bundle)
    show(json_, found, f"admitted {found['tag']} with {found['evidence']} statements (entry {found['entry']})")


@click.group()
def attest() -> None:
    """Sign a statement about a release and attach it."""


@attest.command("provenance")
@click.argument("tag", type=TAG)
@click.option("--signing-key", type=KEY, required=True, help=f"Key for results (purpose result): {WHERE}.")
@click.option("--provenance", "made", type=EXISTING, required=True, help="JSON: build_type, builder, …; see below.")
@click.option("--digest", help="The release digest you mean; else the server's word is taken and shown.")
@speaking
@as_json
def attest_provenance(
    tag: Tag, signing_key: str, made: Path, digest: str | None, connection: "Connection", json_: bool
) -> None:
    """Attach where a release came from (SLSA provenance v1).

    The JSON file has build_type, builder (URIs), authorized_by, finished_at, and training_data: an object of dataset
    names and sha256: digests, or null when it is unknown, which is then said and signed.
    """
    from lockgate.core.evidence import Provenance, provenance
    from lockgate.formats import plain
    from lockgate.formats.statement import PROVENANCE

    predicate = provenance(plain.decode(Provenance, read(made)))
    found = sign_statement(connection, tag, digest, signing_key, Signable(PROVENANCE, predicate))
    show(json_, found, f"attached provenance to {tag} (entry {found['entry']})")


@attest.command("result")
@click.argument("tag", type=TAG)
@click.option("--signing-key", type=KEY, required=True, help=f"Key for results (purpose result): {WHERE}.")
@click.option("--result", type=EXISTING, required=True, help="JSON: result, suite, suite_version, harness, …")
@click.option("--digest", help="The release digest you mean; else the server's word is taken and shown.")
@speaking
@as_json
def attest_result(
    tag: Tag, signing_key: str, result: Path, digest: str | None, connection: "Connection", json_: bool
) -> None:
    """Attach a test result, passed or failed (in-toto test-result v0.1)."""
    from lockgate.core.evidence import TestRun, test_result
    from lockgate.formats import plain
    from lockgate.formats.statement import TEST_RESULT

    run = plain.decode(TestRun, read(result))
    found = sign_statement(connection, tag, digest, signing_key, Signable(TEST_RESULT, test_result(run)))
    show(json_, found, f"attached {run.suite} {run.result} to {tag} (entry {found['entry']})")


@attest.command("file")
@click.argument("tag", type=TAG)
@click.argument("statement", type=EXISTING)
@speaking
@as_json
def attest_file(tag: Tag, statement: Path, connection: "Connection", json_: bool) -> None:
    """Attach a statement that was signed elsewhere (a DSSE envelope)."""
    from lockgate.cli.importing import attach

    entry = attach(connection, tag, read(statement).decode(errors="replace"))
    show(json_, {"tag": str(tag), "entry": entry}, f"attached {statement} to {tag} (entry {entry})")


@click.command()
@click.argument("tag", type=TAG)
@speaking
@as_json
def evidence(tag: Tag, connection: "Connection", json_: bool) -> None:
    """Show every statement about a release, as it was signed; and what its parents passed, which does not count."""
    from lockgate.cli.descending import ancestry, ancestry_words, statements

    record, manifest = _release(connection, tag)
    rows, parents = statements(connection, record), ancestry(connection, _manifest(manifest))
    lines = [f"{row['statement']}\n  {row['predicate']}\n  {json.dumps(row['content'])}" for row in rows]
    show(json_, {"items": rows, "parents": parents}, *lines, *ancestry_words(parents))


@dataclass(frozen=True, slots=True)
class Signable:
    """A predicate and its type."""

    predicate_type: str
    predicate: Mapping[str, Json]


def sign_statement(
    connection: "Connection", tag: Tag, digest: str | None, key: str, claim: Signable
) -> Mapping[str, Json]:
    """Sign a statement about a release and attach it."""
    from lockgate.cli.importing import attach
    from lockgate.formats import dsse
    from lockgate.formats.digest import Digest
    from lockgate.formats.statement import Statement, Subject

    meant = Digest.parse(digest or str(_release(connection, tag)[0]["release"]))
    statement = Statement((Subject(str(tag), {"sha256": meant.hex}),), claim.predicate_type, claim.predicate)
    document = dsse.sign(statement.encode(), dsse.IN_TOTO, [signer(key)]).encode().decode()
    entry = attach(connection, tag, document)
    return {"tag": str(tag), "release": str(meant), "statement": str(Digest.of(document.encode())), "entry": entry}


def _release(connection: "Connection", tag: Tag) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
    from lockgate.formats import canonical, dsse

    record = connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")
    envelope = dsse.parse(connection.fetch(f"/api/v1/documents/{record['manifest']}"))
    return record, canonical.parse_object(envelope.payload)


def _manifest(shown: Mapping[str, Json]) -> "Manifest":
    from lockgate.core.release import Manifest
    from lockgate.formats import plain

    return plain.from_plain(Manifest, shown)


def _providers(connection: "Connection", record: Mapping[str, Json]) -> "Mapping[str, ProviderModel]":
    """Read the documents of a release's provider models; each must be the one that its record names."""
    from lockgate.core.provider import parse_provider
    from lockgate.formats.digest import Digest

    listed = record.get("providers") or {}
    if not isinstance(listed, dict):
        raise VerificationError("the server says no list of provider models")
    found = {}
    for name, digest in listed.items():
        document = connection.fetch(f"/api/v1/documents/{digest}")
        if str(Digest.of(document)) != digest:
            raise VerificationError(f"the server shows another document of provider model {name} than {digest}")
        found[name] = parse_provider(document)
    return found


def _upload(connection: "Connection", path: Path, file: "FileDigest", advance: Callable[[int], None]) -> None:
    from lockgate.loader.connection import file_pieces

    where = f"/api/v1/blobs/{file.sha256}"
    if connection.has(where):
        advance(file.size or 0)
        return
    try:
        size = path.stat().st_size
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    connection.upload(where, _told(file_pieces(path), advance), size)


def _told(pieces: Iterable[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    """Tell how much was sent, when the next piece is asked for."""
    for piece in pieces:
        yield piece
        advance(len(piece))


def _items(answer: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    items = answer.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
