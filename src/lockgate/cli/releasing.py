"""Commands about releases and their evidence."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import click

from lockgate.cli.speaking import (
    EXISTING,
    FILE,
    TAG,
    Column,
    as_json,
    connect,
    now,
    private_key,
    progress,
    read,
    show,
    speaking,
    table,
)
from lockgate.formats.canonical import Json
from lockgate.formats.names import Name, Tag


@click.group()
def release() -> None:
    """Create, list, show, diff, export and import releases."""


@release.command("create")
@click.argument("description", type=EXISTING)
@click.option("--manifest-key", type=EXISTING, required=True, help="Key that signs the manifest (purpose component).")
@speaking
@as_json
def create_release(description: Path, manifest_key: Path, server: str, actor: Name, key: str, json_: bool) -> None:
    """Register the release that DESCRIPTION (release.toml) describes: sign its manifest, upload its files, register.

    Files that the server already has are not sent again; the command can be repeated.
    """
    from lockgate.cli.authoring import read_draft
    from lockgate.core.release import MANIFEST
    from lockgate.formats import dsse, oms, plain
    from lockgate.formats.digest import Digest

    draft = read_draft(description, now())
    payload = plain.encode(draft.manifest)
    envelope = dsse.sign(payload, MANIFEST, [private_key(manifest_key)]).encode().decode()
    connection = connect(server, actor, key)
    files = [(draft.directories[n] / f.name, f) for n, b in draft.bundles.items() for f in oms.parse(b).files]
    with progress("uploading", sum(file.size or 0 for _, file in files)) as advance:
        for path, file in files:
            _upload(connection, path, file.sha256)
            advance(file.size or 0)
    digest = Digest.of(payload)
    intent = connection.intend("release.register", draft.manifest.tag, after=digest)
    submission = {"manifest": envelope, "bundles": {name: b.decode() for name, b in draft.bundles.items()}}
    answer = connection.act("/api/v1/releases", intent, submission=submission)
    found = {"release": str(digest), "tag": str(draft.manifest.tag), "entry": answer["first"]}
    show(json_, found, f"registered {draft.manifest.tag} as {digest} (entry {answer['first']})")


@release.command("list")
@click.option("--name", help="Only releases of this name.")
@speaking
@as_json
def list_releases(name: str | None, server: str, actor: Name, key: str, json_: bool) -> None:
    """List the releases that are registered."""
    found = _items(connect(server, actor, key).get("/api/v1/releases", name=name, limit=100))
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
def show_release(tag: Tag, server: str, actor: Name, key: str, json_: bool) -> None:
    """Show a release: its record in the log, and its manifest."""
    record, manifest = _release(connect(server, actor, key), tag)
    show(json_, {"record": record, "manifest": manifest}, json.dumps({**record, "manifest": manifest}, indent=2))


@release.command("diff")
@click.argument("old", type=TAG)
@click.argument("new", type=TAG)
@speaking
@as_json
def diff_releases(old: Tag, new: Tag, server: str, actor: Name, key: str, json_: bool) -> None:
    """Say what differs between two releases, and the least version bump that the difference demands."""
    from lockgate.core.release import Manifest
    from lockgate.core.version import least_bump
    from lockgate.formats import plain

    connection = connect(server, actor, key)
    manifests = [plain.from_plain(Manifest, _release(connection, tag)[1]) for tag in (old, new)]
    bump, why = least_bump(*manifests)
    found = {"old": str(old), "new": str(new), "least_bump": bump.name, "because": list(why)}
    show(json_, found, f"{new} owes {old} a {bump.name} step:", *(f"  {reason}" for reason in why))


@release.command("export")
@click.argument("tag", type=TAG)
@click.option("--output", type=FILE, required=True, help="The bundle to write.")
@speaking
@as_json
def export_release(tag: Tag, output: Path, server: str, actor: Name, key: str, json_: bool) -> None:
    """Write a release with its passport, signed by its environment, into one file for another environment."""
    from lockgate.core.passport import parse_passport
    from lockgate.formats import oms

    connection = connect(server, actor, key)
    passport = connection.fetch(f"/api/v1/releases/{tag.name}/{tag.version}/export")
    bundles = parse_passport(passport).bundles.values()
    files = {f.sha256: f.size or 0 for bundle in bundles for f in oms.parse(bundle.encode()).files}
    draft = output.with_name(f".{output.name}.part")
    with (
        zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as bundle,
        progress("exporting", sum(files.values())) as advance,
    ):
        bundle.writestr("passport.json", passport)
        for digest in files:
            with bundle.open(f"sha256/{digest.hex}", "w", force_zip64=True) as member:
                for piece in connection.stream(f"/api/v1/blobs/{digest}").stream(1 << 20):
                    member.write(piece)
                    advance(len(piece))
    draft.replace(output)
    show(json_, {"tag": str(tag), "output": str(output), "files": len(files)}, f"exported {tag} to {output}")


@release.command("import")
@click.argument("bundle", type=EXISTING)
@speaking
@as_json
def import_release(bundle: Path, server: str, actor: Name, key: str, json_: bool) -> None:
    """Admit a release that another environment exported: its bytes, signatures and evidence are all checked again."""
    from lockgate.cli.importing import import_bundle

    found = import_bundle(connect(server, actor, key), bundle)
    show(json_, found, f"admitted {found['tag']} with {found['evidence']} statements (entry {found['entry']})")


@click.group()
def attest() -> None:
    """Sign a statement about a release and attach it."""


@attest.command("provenance")
@click.argument("tag", type=TAG)
@click.option("--signing-key", type=EXISTING, required=True, help="Key for results (purpose result).")
@click.option("--builder", required=True, help="URI of what built the release.")
@click.option("--authorized-by", required=True, help="Who authorised the build.")
@click.option("--training-data", multiple=True, metavar="NAME=SHA256", help="A dataset by checksum. May be repeated.")
@click.option("--unknown-training-data", is_flag=True, help="The training data is not known: said and signed.")
@click.option("--digest", help="The release digest you mean; else the server's word is taken and shown.")
@speaking
@as_json
def attest_provenance(  # noqa: PLR0913 - options of a command
    tag: Tag, signing_key: Path, builder: str, authorized_by: str, training_data: tuple[str, ...],
    unknown_training_data: bool, digest: str | None, server: str, actor: Name, key: str, json_: bool,
) -> None:  # fmt: skip
    """Attach where a release came from (SLSA provenance v1)."""
    from lockgate.core.evidence import Provenance, provenance
    from lockgate.formats.digest import Digest
    from lockgate.formats.statement import PROVENANCE

    if unknown_training_data == bool(training_data):
        raise click.UsageError("give either --training-data or --unknown-training-data")
    data = (
        None if unknown_training_data else {n: Digest.parse(d) for n, _, d in (t.partition("=") for t in training_data)}
    )
    made = Provenance("https://lockgate.invalid/build/v1", builder, authorized_by, data, now())
    found = _attach(connect(server, actor, key), tag, digest, signing_key, PROVENANCE, provenance(made))
    show(json_, found, f"attached provenance to {tag} (entry {found['entry']})")


@attest.command("result")
@click.argument("tag", type=TAG)
@click.option("--signing-key", type=EXISTING, required=True, help="Key for results (purpose result).")
@click.option("--result", type=EXISTING, required=True, help="JSON: result, suite, suite_version, harness, …")
@click.option("--digest", help="The release digest you mean; else the server's word is taken and shown.")
@speaking
@as_json
def attest_result(  # noqa: PLR0913 - options of a command
    tag: Tag, signing_key: Path, result: Path, digest: str | None, server: str, actor: Name, key: str, json_: bool
) -> None:
    """Attach a test result, passed or failed (in-toto test-result v0.1)."""
    from lockgate.core.evidence import TestRun, test_result
    from lockgate.formats import plain
    from lockgate.formats.statement import TEST_RESULT

    run = plain.decode(TestRun, read(result))
    found = _attach(connect(server, actor, key), tag, digest, signing_key, TEST_RESULT, test_result(run))
    show(json_, found, f"attached {run.suite} {run.result} to {tag} (entry {found['entry']})")


@attest.command("file")
@click.argument("tag", type=TAG)
@click.argument("statement", type=EXISTING)
@speaking
@as_json
def attest_file(tag: Tag, statement: Path, server: str, actor: Name, key: str, json_: bool) -> None:
    """Attach a statement that was signed elsewhere (a DSSE envelope)."""
    from lockgate.cli.importing import attach

    entry = attach(connect(server, actor, key), tag, read(statement).decode(errors="replace"))
    show(json_, {"tag": str(tag), "entry": entry}, f"attached {statement} to {tag} (entry {entry})")


@click.command()
@click.argument("tag", type=TAG)
@speaking
@as_json
def evidence(tag: Tag, server: str, actor: Name, key: str, json_: bool) -> None:
    """Show every statement about a release, as it was signed."""
    from lockgate.formats import dsse
    from lockgate.formats.statement import parse_statement

    connection = connect(server, actor, key)
    record, _ = _release(connection, tag)
    digests = record["evidence"]
    assert isinstance(digests, list)
    rows: list[Mapping[str, Json]] = []
    for digest in digests:
        statement = parse_statement(dsse.parse(connection.fetch(f"/api/v1/documents/{digest}")).payload)
        rows.append({"statement": digest, "predicate": statement.predicate_type, "content": statement.predicate})
    lines = [f"{row['statement']}\n  {row['predicate']}\n  {json.dumps(row['content'])}" for row in rows]
    show(json_, {"items": rows}, *lines)


def _attach(  # type: ignore[no-untyped-def]
    connection, tag: Tag, digest: str | None, key: Path, predicate_type: str, predicate: Mapping[str, Json]
) -> Mapping[str, Json]:
    from lockgate.cli.importing import attach
    from lockgate.formats import dsse
    from lockgate.formats.digest import Digest
    from lockgate.formats.statement import Statement, Subject

    meant = Digest.parse(digest or str(_release(connection, tag)[0]["release"]))
    statement = Statement((Subject(str(tag), {"sha256": meant.hex}),), predicate_type, predicate)
    document = dsse.sign(statement.encode(), dsse.IN_TOTO, [private_key(key)]).encode().decode()
    entry = attach(connection, tag, document)
    return {"tag": str(tag), "release": str(meant), "statement": str(Digest.of(document.encode())), "entry": entry}


def _release(connection, tag: Tag) -> tuple[Mapping[str, Json], Mapping[str, Json]]:  # type: ignore[no-untyped-def]
    from lockgate.formats import canonical, dsse

    record = connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")
    envelope = dsse.parse(connection.fetch(f"/api/v1/documents/{record['manifest']}"))
    return record, canonical.parse_object(envelope.payload)


def _upload(connection, path: Path, digest: object) -> None:  # type: ignore[no-untyped-def]
    from lockgate.loader.connection import file_pieces

    where = f"/api/v1/blobs/{digest}"
    if not connection.has(where):
        connection.upload(where, file_pieces(path), path.stat().st_size)


def _items(answer: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    items = answer.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
