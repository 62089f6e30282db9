"""What waits for somebody's approval, and who approves in their place while they are away?"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from lockgate.cli.speaking import NAME, SPAN, Column, as_json, now, show, speaking, table
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.instant import parse_instant
from lockgate.formats.names import Name

if TYPE_CHECKING:
    from lockgate.core.intent import Intent
    from lockgate.loader.connection import Connection


@dataclass(frozen=True, slots=True)
class Manner:
    """How long an approval lasts, in whose place it is, and whether it is of an emergency."""

    lasts: timedelta
    principal: Name | None
    hurried: bool = False


class Instant(click.ParamType):  # type: ignore[type-arg]  # click 8.5 makes it generic, 8.3 does not
    """An instant on the command line: `2026-12-01T08:00:00Z`."""

    name = "INSTANT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read the instant; a bad one is an error of usage."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_instant(str(value).replace("Z", ".000000Z") if "." not in str(value) else str(value))
        except VerificationError as e:
            self.fail(str(e), param, ctx)


@click.command("mine")
@speaking
@as_json
def mine(connection: "Connection", json_: bool) -> None:
    """List the open changes that wait for you: you may approve them, are no author of them, and have not.

    Where somebody named you, changes that wait for them are listed too. Below each is what is against it now.
    """
    rows = _waiting(connection)
    lines = [line for row in rows for line in _told(row)]
    show(json_, {"items": rows}, *(lines or [f"nothing waits for {connection.actor}"]))


@click.command("delegate")
@click.argument("to", type=NAME, required=False)
@click.option("--for", "lasts", type=SPAN, help="For how long: 8h, 7d; at most 30 days.")
@click.option("--until", type=Instant(), help="Until when instead: 2026-12-01T08:00:00Z.")
@click.option("--revoke", is_flag=True, help="Nobody approves in your place any more.")
@speaking
@as_json
def delegate(
    to: Name | None,
    lasts: timedelta | None,
    until: datetime | None,
    revoke: bool,
    connection: "Connection",
    json_: bool,
) -> None:
    """Let the person TO approve in your place, for a time, instead of whom you named before.

    You and they count once. Neither may be an author. They cannot name anybody else, and it ends at once with --revoke.
    Changes of the rules and emergencies are always approved in person.
    """
    if revoke:
        if to or lasts or until:
            raise click.UsageError("--revoke goes alone: there is one delegate at most")
        _recall(connection, json_=json_)
        return
    if to is None or (lasts is None) == (until is None):
        raise click.UsageError("say who, and for how long: TO, and --for or --until")
    lasts = lasts or (until or now()) - now()
    intent = connection.intend("approval.delegate", to, lasts=lasts)
    answer = connection.act("/api/v1/delegations", intent)
    said: dict[str, object] = {"principal": connection.actor, "to": to, "until": intent.expires}
    said |= {"entry": answer["first"]}
    show(json_, said, f"{to} may approve in the place of {connection.actor} until {intent.expires}")


@click.command("delegates")
@speaking
@as_json
def delegates(connection: "Connection", json_: bool) -> None:
    """List who approves in whose place."""
    rows = [row for row in _delegations(connection) if not row["recalled"]]
    columns = (
        Column("IN PLACE OF", lambda row: row["principal"]),
        Column("DELEGATE", lambda row: row["to"]),
        Column("UNTIL", lambda row: row["until"]),
    )
    show(json_, {"items": rows}, *table(rows, *columns))


def manner(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how long an approval lasts and in whose place; it gets them as `how`."""

    @functools.wraps(command)
    def mannered(*args: Any, lasts: timedelta, principal: Name | None, **more: Any) -> None:
        command(*args, how=Manner(lasts, principal), **more)

    lasting = click.option(
        "--for", "lasts", type=SPAN, default="24h", show_default=True, help="How long it lasts: 90s, 30m, 7d."
    )
    place = click.option(
        "--in-place-of", "principal", type=NAME, help="The person who named you to approve in their place."
    )
    return lasting(place(mannered))


def give_approval(
    connection: "Connection", number: int, content: Digest, how: Manner
) -> "tuple[Intent, Mapping[str, Json]]":
    """Approve the content of a change, in one's own name or in somebody's place."""
    path = f"/api/v1/changes/{number}/approvals"
    if how.principal is None:
        act, way = ("emergency.approve", f"{path}/emergency") if how.hurried else ("change.approve", path)
        intent = connection.intend(act, f"change/{number}", after=content, lasts=how.lasts)
        return intent, connection.act(way, intent)
    intent = _in_place(connection, number, content, how.principal, how.lasts)
    return intent, connection.act(f"{path}/in-place", intent, in_place_of=how.principal)


def _in_place(connection: "Connection", number: int, content: Digest, principal: Name, lasts: timedelta) -> "Intent":
    """Write the approval of a change in the place of `principal`, citing the word by which they named the actor."""
    found = next((row for row in _delegations(connection) if row["principal"] == str(principal)), None)
    if found is None or found["to"] != str(connection.actor) or found["recalled"]:
        raise DeniedError(f"{principal} has not named {connection.actor} to approve in their place")
    cited = Digest.parse(str(found["order"]))
    return connection.intend("change.approve-in-place", f"change/{number}", before=cited, after=content, lasts=lasts)


def _recall(connection: "Connection", *, json_: bool) -> None:
    found = next((row for row in _delegations(connection) if row["principal"] == str(connection.actor)), None)
    if found is None:
        raise DeniedError(f"nobody approves in the place of {connection.actor}")
    intent = connection.intend("approval.recall", connection.actor, before=Digest.parse(str(found["order"])))
    answer = connection.act("/api/v1/delegations/recalls", intent)
    said = {"principal": str(connection.actor), "recalled": found["to"], "entry": answer["first"]}
    show(json_, said, f"{found['to']} approves in the place of {connection.actor} no longer (entry {answer['first']})")


def _delegations(connection: "Connection") -> list[Mapping[str, Json]]:
    return _all_items(connection, "/api/v1/delegations", limit=1000)


def _waiting(connection: "Connection") -> list[Mapping[str, Json]]:
    return _all_items(connection, "/api/v1/waiting")


def _all_items(connection: "Connection", path: str, **query: object) -> list[Mapping[str, Json]]:
    """Fetch every page of a list."""
    rows: list[Mapping[str, Json]] = []
    after: Json = ""
    while after is not None:
        page = connection.get(path, after=after, **query)
        items = page["items"]
        rows += [row for row in items if isinstance(row, dict)] if isinstance(items, list) else []
        after = page["next"]
    return rows


def _told(row: Mapping[str, Json]) -> list[str]:
    place = f" (in the place of {row['in_place_of']})" if row["in_place_of"] else ""
    head = f"change {row['change']}: {row['about']}, {row['does']}, by {row['author']}: {row['reason']}{place}"
    waits = row["waits"]
    return [head, *(f"    {reason}" for reason in waits)] if isinstance(waits, list) else [head]
