"""How does an outsider get what was signed about a release, in a form that their own tools read, and verify it?"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.pinned import NOT_LOOKED_AT, RULES, pinned
from lockgate.cli.speaking import (
    EXISTING,
    FOLDER,
    KEY,
    TAG,
    WHERE,
    as_json,
    now,
    public_key,
    read,
    show,
    signer,
    speaking,
)
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name, Tag

if TYPE_CHECKING:
    from lockgate.core.exhibit import Shown, Stage, Statements
    from lockgate.formats.keys import PublicKey
    from lockgate.loader.connection import Connection

PASSPORT = "passport.json"
_LARGEST = 64 << 20


@click.group()
def statement() -> None:
    """Take every statement about a release away as in-toto, and verify that; offline."""


@statement.command("export")
@click.argument("tag", type=TAG)
@click.option("--into", type=FOLDER, required=True, help="A folder that is empty, or not there.")
@click.option("--signing-key", type=KEY, help=f"Carry people's words in an envelope that you sign: {WHERE}.")
@speaking
@as_json
def export_statements(tag: Tag, into: Path, signing_key: str | None, connection: "Connection", json_: bool) -> None:
    """Write every statement about a release into a folder, a file each.

    Provenance, results and decisions are written as they were signed (DSSE). What people signed, approvals, overrides,
    risk assessments and reviews, is written as in-toto statements that hold the very bytes they signed, their
    signatures, and the proof of the log. Nobody signs in their name. For tools that want every statement in an
    envelope, --signing-key puts those in one that you sign, as who carried them.
    """
    from lockgate.core.exhibit import Statements
    from lockgate.formats import canonical, dsse, plain

    answer = connection.fetch(f"/api/v1/releases/{tag.name}/{tag.version}/statements")
    found = plain.from_plain(Statements, canonical.parse(answer, limit=_LARGEST), "statements")
    files = dict(_named(found))
    if signing_key is not None:
        carrier = signer(signing_key)
        bare = {name for name, content in files.items() if content in _bare(found)}
        files |= {name: dsse.sign(files[name], dsse.IN_TOTO, [carrier]).encode() for name in bare}
    _write(into, {PASSPORT: plain.encode(found.passport), **files})
    show(json_, {"tag": str(tag), "files": [PASSPORT, *files]}, *(str(into / name) for name in (PASSPORT, *files)))


@statement.command("verify")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--trust", "where", type=RULES, required=True, help="A host's HOME, a folder of updates, or a document.")
@click.option("--root", type=EXISTING, help="The root that you pinned; not with HOME, which has its own.")
@click.option(
    "--carrier", type=EXISTING, help="Public key (PEM) of who carried people's words; else that is not asked."
)
@as_json
def verify_statements(folder: Path, where: Path, root: Path | None, carrier: Path | None, json_: bool) -> None:
    """Verify exported statements: each signature, each word, each proof of the log, all about one release. Offline.

    It says what was signed, by whom and when; whether that is enough to serve, `lockgate passport verify` says. A
    statement that was left out is not missed here: the log has them all (`lockgate log verify`).
    """
    from lockgate.core.exhibit import staged
    from lockgate.core.passport import parse_passport

    held = pinned(where, root)
    trust = held.revoked.applied(held.trust.document)
    stage = staged(parse_passport(read(folder / PASSPORT)), trust, now())
    by = public_key(carrier) if carrier is not None else None
    found = [(path.name, _shown(path, stage, by)) for path in _files(folder)]
    manifest, release = stage.release.manifest, stage.release.digest
    lines = [f"{name}: {one.by} {one.says}" for name, one in found]
    told = f"{len(found)} statements about {manifest.tag} {release}, under the head of {stage.head.size} entries"
    items = [{"file": name, "type": one.predicate_type, "by": one.by, "says": one.says} for name, one in found]
    show(
        json_,
        {"tag": str(manifest.tag), "release": str(release), "revocations": held.looked, "items": items},
        *(*lines, told, *([] if held.looked else [NOT_LOOKED_AT])),
    )


def _shown(path: Path, stage: "Stage", carrier: "PublicKey | None") -> "Shown":
    from lockgate.core.exhibit import EXHIBITS, open_shown
    from lockgate.formats import dsse

    document = read(path)
    try:
        found = open_shown(document, stage)
        if carrier is not None and found.predicate_type in EXHIBITS:
            dsse.open_envelope(dsse.parse(document), dsse.IN_TOTO, [carrier])
    except VerificationError as e:
        raise VerificationError(f"{path.name}: {e}") from e
    return found


def _named(found: "Statements") -> Iterator[tuple[str, bytes]]:
    """Call each statement after its type and its place among those: `approval-1.json`."""
    from lockgate.core.exhibit import payload_of
    from lockgate.formats.statement import parse_statement

    counts = Counter[Name]()
    for document in (*found.passport.evidence, *found.decisions, *found.exhibits):
        kind = Name.parse(
            parse_statement(payload_of(document.encode())).predicate_type.split("/")[-2].replace("_", "-")
        )
        counts[kind] += 1
        yield f"{kind}-{counts[kind]}.json", document.encode()


def _bare(found: "Statements") -> frozenset[bytes]:
    return frozenset(document.encode() for document in found.exhibits)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name != PASSPORT)
    except OSError as e:
        raise UnavailableError(f"cannot read {folder}: {e.strerror}") from e


def _write(into: Path, files: "dict[str, bytes]") -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise UnavailableError(f"{into} is not empty: what lies there would be taken for statements")
        for name, content in files.items():
            (into / name).write_bytes(content)
    except OSError as e:
        raise UnavailableError(f"cannot write {e.filename}: {e.strerror}") from e
