"""How does an auditor see the log, the state at an instant, passports, and what of the standard is kept?"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.pinned import NOT_LOOKED_AT, RULES, pinned
from lockgate.cli.speaking import (
    ENDPOINT,
    EXISTING,
    FILE,
    FOLDER,
    as_json,
    now,
    read,
    show,
    speaking,
)
from lockgate.errors import VerificationError
from lockgate.formats.names import Endpoint, Tag
from lockgate.loader.whole_file import write_whole

if TYPE_CHECKING:
    from lockgate.core.trust import Agreed, Trust
    from lockgate.loader.connection import Connection


@click.group()
def log() -> None:
    """Show, export, prove and verify the log."""


@log.command("show")
@click.option("--start", type=click.IntRange(min=0), default=0)
@click.option("--stop", type=click.IntRange(min=0))
@speaking
@as_json
def show_log(start: int, stop: int | None, connection: "Connection", json_: bool) -> None:
    """Show entries of the log, one a line."""
    from lockgate.cli.following import entries_of, read_event

    events = [read_event(entry) for entry in entries_of(connection, start, stop)]
    lines = [
        f"{start + n:>6}  {str(e['time'])[:19]}  {e['actor']!s:<10} {e['type']!s:<26} {e['subject']}"
        for n, e in enumerate(events)
    ]
    show(json_, {"items": events}, *lines)


@log.command("export")
@click.argument("directory", type=FOLDER)
@speaking
@as_json
def export_log(directory: Path, connection: "Connection", json_: bool) -> None:
    """Write the whole log into DIRECTORY: `checkpoint`, and entries and hashes as C2SP tlog-tiles."""
    from lockgate.cli.following import export

    size = export(connection, directory)
    show(json_, {"entries": size, "directory": str(directory)}, f"exported {size} entries to {directory}")


@log.command("verify")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--trust", "trust_file", type=EXISTING, required=True, help="The signed trust document you hold.")
@click.option("--root", type=EXISTING, required=True, help="The root that you pinned (JSON: threshold, keys).")
@as_json
def verify_log(directory: Path, trust_file: Path, root: Path, json_: bool) -> None:
    """Verify an exported log offline: every entry, the tree, the signed head, what follows, and what was left out."""
    from lockgate.cli.following import verified
    from lockgate.core.omission import left_out

    found = verified(directory, _trust(trust_file, root))
    if omissions := list(left_out(found.entries)):
        raise VerificationError("; ".join(omissions))
    line = f"verified {len(found.entries)} entries, {len(found.states)} objects, under {found.checkpoint.origin}"
    show(
        json_, {"entries": len(found.entries), "objects": len(found.states), "root": found.checkpoint.root.hex()}, line
    )


@log.command("prove")
@click.argument("index", type=click.IntRange(min=0))
@click.option("--output", type=FILE, required=True, help="The proof to write (c2sp.org/tlog-proof).")
@speaking
@as_json
def prove_entry(index: int, output: Path, connection: "Connection", json_: bool) -> None:
    """Write the proof that the log holds entry INDEX, for an outsider."""
    write_whole(output, connection.fetch(f"/api/v1/log/proof/{index}"))
    show(json_, {"index": index, "output": str(output)}, f"proof of entry {index} in {output}")


@log.command("checkpoint")
@speaking
@as_json
def show_checkpoint(connection: "Connection", json_: bool) -> None:
    """Show the newest signed head of the log."""
    note = connection.fetch("/log/checkpoint").decode(errors="backslashreplace")
    show(json_, {"checkpoint": note}, note)


@click.command()
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@click.option("--at", "instant", help="An instant like 2026-11-21T12:00:00Z; now if left out.")
@click.option("--log", "directory", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True)
@click.option("--trust", "trust_file", type=EXISTING, required=True, help="The signed trust document you hold.")
@click.option("--root", type=EXISTING, required=True, help="The root that you pinned.")
@as_json
def state(where: Endpoint, instant: str | None, directory: Path, trust_file: Path, root: Path, json_: bool) -> None:
    """Rebuild from an exported, verified log what was true of an endpoint at an instant. Offline."""
    from lockgate.cli.following import verified
    from lockgate.core.journal import endpoint_subject
    from lockgate.formats import plain

    at = _instant(instant)
    found = verified(directory, _trust(trust_file, root), until=at)
    held = found.states.get(endpoint_subject(where))
    if held is None:
        raise VerificationError(f"the log knows nothing of {where} at {at}")
    show(json_, {"at": at, "state": held}, f"{where} at {at}:", json.dumps(plain.to_plain(held), indent=2))


@click.group()
def passport() -> None:
    """Export and verify everything about a release, offline."""


@passport.command("export")
@click.argument("what", metavar="ENDPOINT|RELEASE")
@click.option("--candidate", is_flag=True, help="Of an endpoint: the passport of the candidate on its way there.")
@click.option("--output", type=FILE, required=True)
@speaking
@as_json
def export_passport(what: str, candidate: bool, output: Path, connection: "Connection", json_: bool) -> None:
    """Write the passport of what serves at an endpoint, or of a release, into one file."""
    wanted = {"as": "candidate"} if candidate else {}
    if candidate and "@" in what:
        raise click.UsageError("a candidate is one of an endpoint")
    if "@" in what:
        tag = Tag.parse(what)
        path = f"/api/v1/releases/{tag.name}/{tag.version}/passport"
    else:
        path = f"/api/v1/endpoints/{Endpoint.parse(what)}/passport"
    write_whole(output, connection.fetch(path, **wanted))
    show(json_, {"passport": str(output)}, f"passport of {what} in {output}")


@passport.command("verify")
@click.argument("document", type=EXISTING)
@click.option("--endpoint", type=ENDPOINT, required=True)
@click.option("--trust", "where", type=RULES, required=True, help="A host's HOME, a folder of updates, or a document.")
@click.option("--policy", "policy_file", type=EXISTING, help="The signed policy; with a trust document only.")
@click.option("--root", type=EXISTING, help="The root that you pinned; not with HOME, which has its own.")
@as_json
def verify_passport(
    document: Path, endpoint: Endpoint, where: Path, policy_file: Path | None, root: Path | None, json_: bool
) -> None:
    """Judge a passport again with your own trust and policy. Exit 3 lists every reason against it; offline.

    A folder of updates (or a host, which has one) says what was revoked, too, and must be fresh.
    """
    from lockgate.core.passport import admit_passport, parse_passport
    from lockgate.core.policy import open_policy

    held = pinned(where, root)
    if held.policy is None and policy_file is None:
        raise click.UsageError("with a trust document, say the policy too: --policy")
    policy = held.policy or open_policy(read(policy_file or where), held.trust.document.root, now())
    admission = admit_passport(parse_passport(read(document)), endpoint, held.trust, policy, held.revoked, now())
    release = admission.permit.release
    found = {"tag": str(release.manifest.tag), "release": str(release.digest), "decision": admission.decision}
    people = ", ".join(str(name) for name in admission.decision.authorized_by)
    lines = [*(admission.decision.unpinned or ()), *([] if held.looked else [NOT_LOOKED_AT])]
    show(
        json_,
        {**found, "revocations": held.looked},
        f"{release.manifest.tag} may serve at {endpoint}: approved by {people}",
        *lines,
    )


@click.command()
@click.option("--log", "directory", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Exported log.")
@as_json
def compliance(directory: Path | None, json_: bool) -> None:
    """Tell which obligations of AISVS C3 are kept, which have a gap, which are planned; with --log, the evidence."""
    from lockgate.cli.complying import report

    lines, found = report(directory)
    show(json_, found, *lines)


def _trust(path: Path, root: Path) -> "Agreed[Trust]":
    from lockgate.core.trust import Root, open_trust
    from lockgate.formats import plain

    return open_trust(read(path), plain.decode(Root, read(root)), now())


def _instant(text: str | None) -> datetime:
    if text is None:
        return now()
    try:
        at = datetime.fromisoformat(text)
    except ValueError as e:
        raise click.UsageError(f"not an instant like 2026-11-21T12:00:00Z: {text[:40]}") from e
    if at.tzinfo is None:
        raise click.UsageError("say the zone: an instant without one means nothing")
    try:
        return at.astimezone(UTC)
    except OverflowError as e:
        raise click.UsageError(f"not an instant of this calendar: {text[:40]}") from e
