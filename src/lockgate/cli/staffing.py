"""Who may act here: how do people join and leave, and how does a new key take the place of an old one?"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.proposing import Order, in_force, ordering, trust_of
from lockgate.cli.speaking import (
    EXISTING,
    FOLDER,
    NAME,
    SPAN,
    Column,
    as_json,
    now,
    public_key,
    read,
    show,
    speaking,
    table,
)
from lockgate.core.rights import Role
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection

REASON = click.option("--reason", required=True, help="Why, in writing.")


@click.group()
def person() -> None:
    """List, add and off-board people. They are in the trust document, so others approve and root keys sign."""


@person.command("list")
@speaking
@as_json
def list_people(connection: "Connection", json_: bool) -> None:
    """List who may act, with their roles, until when, and with which keys; as the document in force says."""
    rows: list[Mapping[str, Json]] = []
    for actor in trust_of(in_force(connection)).actors:
        keys: Json = [key.key_id.hex[:16] for key in actor.held]
        until = str(plain.to_plain(actor.until)) if actor.until else ""
        rows.append({"name": str(actor.name), "roles": list(actor.roles), "until": until, "keys": keys})
    columns = (
        Column("NAME", lambda row: row["name"]),
        Column("ROLES", lambda row: _joined(row["roles"])),
        Column("UNTIL", lambda row: row["until"]),
        Column("KEYS", lambda row: _joined(row["keys"])),
    )
    show(json_, {"items": rows}, *table(rows, *columns))


@person.command("add")
@click.argument("name", type=NAME)
@ordering
@click.option("--role", "roles", type=click.Choice([role.value for role in Role]), multiple=True, required=True)
@click.option("--public-key", "keys", type=EXISTING, multiple=True, required=True, help="PEM, or an OpenSSH .pub file.")
def add_person(name: Name, roles: tuple[str, ...], keys: tuple[Path, ...], order: Order) -> None:
    """Propose that NAME may act: a change that others approve, and a ceremony in FOLDER to be signed."""
    from lockgate.core.roster import with_person

    held = order.held()
    public = [_public(path) for path in keys]
    order.propose(held, with_person(trust_of(held), name, [Role(role) for role in roles], public))


@person.command("offboard")
@click.argument("name", type=NAME)
@click.option("--folder", type=FOLDER, help="Propose the next trust document too, with a ceremony here to be signed.")
@REASON
@speaking
@as_json
def offboard_person(name: Name, folder: Path | None, reason: str, connection: "Connection", json_: bool) -> None:
    """End what NAME may do, at once and for good; approvals of theirs that were not used yet count no longer.

    What they did before still counts. One authorised hand is enough, and the reason is public. If a key of theirs was
    stolen, revoke the key too: then nothing that it ever signed counts. With --folder the trust document is to say so.
    """
    intent = connection.intend("person.offboard", name, after=Digest.of(reason.encode()))
    answer = connection.act(f"/api/v1/people/{name}/offboarding", intent, reason=reason)
    found = {"person": str(name), "entry": answer["first"], "published": answer.get("published")}
    told = f"published at {found['published']}" if found["published"] else "not published yet: hosts learn of it later"
    if folder is None:
        show(json_, found, f"{name} is off-boarded (entry {answer['first']})", told)
        return
    if not json_:
        show(json_, None, f"{name} is off-boarded (entry {answer['first']})", told)
    from lockgate.core.roster import without_person

    held = in_force(connection)
    Order(folder, reason, connection, json_).propose(held, without_person(trust_of(held), name, now()))


@click.command("rotate")
@click.argument("old", metavar="OLD-KEY")
@click.argument("new", metavar="NEW-PUBLIC-KEY", type=EXISTING)
@ordering
@click.option("--overlap", type=SPAN, default="7d", show_default=True, help="How long the old key counts beside it.")
def rotate_key(old: str, new: Path, overlap: timedelta, order: Order) -> None:
    """Propose that a new key takes the place of an old one, which counts beside it for a while.

    OLD-KEY is a key id (sha256:…) or the public half in a file. A root key is replaced at once, by the old and the new
    threshold; a key for updates is only joined by the new one. If the old key was stolen, revoke it instead.
    """
    from lockgate.core.roster import with_key

    held = order.held()
    known = Digest.parse(old) if old.startswith("sha256:") else _public(Path(old)).key_id
    order.propose(held, with_key(trust_of(held), known, _public(new), now() + overlap))


def _public(path: Path) -> PublicKey:
    """Read a public key: PEM, or the line of OpenSSH."""
    from lockgate.keyring import ssh_key

    return public_key(path) if b"BEGIN" in read(path) else ssh_key(path)


def _joined(values: Json) -> str:
    return ", ".join(str(value) for value in values) if isinstance(values, list) else ""
