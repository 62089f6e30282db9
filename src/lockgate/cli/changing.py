"""How does a person ask for a change, decide about it, carry it out, take it back, or stop an endpoint?"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from lockgate.cli.comparing import as_items, compare, content_of, rolled_out, told
from lockgate.cli.conceding import (
    Wanted,
    against,
    flag_lines,
    flagged,
    is_emergency,
    overridden,
    override,
    review,
    risk_of,
    wanting,
)
from lockgate.cli.delegating import Manner, delegate, delegates, give_approval, manner, mine
from lockgate.cli.proving_back import prove, shown_way_back, way_back_lines
from lockgate.cli.restoring import coming
from lockgate.cli.rolling import go_back, slots_of
from lockgate.cli.speaking import ENDPOINT, TAG, Column, as_json, show, speaking, table
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag

if TYPE_CHECKING:
    from lockgate.core.strategy import Strategy
    from lockgate.loader.connection import Connection


@click.group()
def change() -> None:
    """Open, show, assess, approve, reject, withdraw and activate changes."""


@change.command("open")
@click.argument("tag", type=TAG)
@click.option("--endpoint", type=ENDPOINT, required=True)
@click.option("--reason", required=True, help="Why, in writing.")
@wanting
@speaking
@as_json
def open_change(
    tag: Tag, endpoint: Endpoint, reason: str, wanted: Wanted, connection: "Connection", json_: bool
) -> None:
    """Ask that the release TAG replaces what serves at an endpoint. Prints the number of the change.

    With --strategy it begins as a candidate beside the stable release (`lockgate strategy check`). With --emergency its
    security authority approves it, within the minutes of the policy; it needs a risk assessment and a strategy.
    """
    from lockgate.cli.planning import read_strategy
    from lockgate.core.difference import strategy_words

    strategy = read_strategy(wanted.strategy) if wanted.strategy else None
    words = list(strategy_words(strategy)) if strategy else []
    found = _open(connection, tag, endpoint, Case(reason, strategy=strategy, risk=wanted.assessed()))
    opened = f"change {found['change']} opened: {tag} for {endpoint}; content {found['content']}"
    show(json_, {**found, "rollout": words}, *words, opened)


@click.command()
@click.argument("endpoint", type=ENDPOINT)
@click.option("--release", "tag", type=TAG, required=True, help="What the endpoint shall serve when it resumes.")
@click.option("--reason", required=True)
@speaking
@as_json
def resume(endpoint: Endpoint, tag: Tag, reason: str, connection: "Connection", json_: bool) -> None:
    """Open the change that takes a suspended endpoint back into service; it needs approvals like any other."""
    found = _open(connection, tag, endpoint, Case(reason, resumes=True))
    show(json_, found, f"change {found['change']} opened: resume {endpoint} with {tag}")


@change.command("list")
@click.option("--endpoint", type=ENDPOINT)
@speaking
@as_json
def list_changes(endpoint: Endpoint | None, connection: "Connection", json_: bool) -> None:
    """List changes."""
    answer = connection.get("/api/v1/changes", endpoint=endpoint, limit=100)
    items = answer["items"]
    rows: list[Mapping[str, Json]] = [row for row in items if isinstance(row, dict)] if isinstance(items, list) else []
    columns = (
        Column("CHANGE", lambda row: row["number"]),
        Column("ABOUT", lambda row: row["endpoint"] or f"the {row.get('rules')}"),
        Column("PHASE", lambda row: row["phase"]),
        Column("BY", lambda row: row["author"]),
        Column("OPENED", lambda row: row["opened_at"]),
    )
    show(json_, {"items": rows}, *table(rows, *columns))


@change.command("show")
@click.argument("number", type=click.IntRange(min=0))
@speaking
@as_json
def show_change(number: int, connection: "Connection", json_: bool) -> None:
    """Show a change, its exact content and its approvals; of a change of the rules, every difference in words."""
    found = connection.get(f"/api/v1/changes/{number}")
    differences = compare(connection, content_of(found))
    words = rolled_out(connection, content_of(found))
    shown = {**found, "differences": as_items(differences)} if differences else found
    shown = {**shown, "rollout": words} if words else shown
    exceptions = [*overridden(found), *flagged(connection, change=number)]
    shown = {**shown, "exceptions": exceptions} if exceptions else shown
    lines = [*told(differences), *words, *exceptions, *against(connection, found)]
    show(json_, shown, json.dumps(found, indent=2), *lines)


@change.command("assess")
@click.argument("number", type=click.IntRange(min=0))
@speaking
@as_json
def assess_change(number: int, connection: "Connection", json_: bool) -> None:
    """Ask what speaks against a change now, without carrying it out. Exit 3 lists every reason against it."""
    found = connection.get(f"/api/v1/changes/{number}/assessment")
    reasons = found.get("reasons")
    if found.get("allowed") is not True:
        raise DeniedError(*[str(reason) for reason in reasons] if isinstance(reasons, list) and reasons else ["denied"])
    notes = found.get("notes")
    lines = [str(note) for note in notes] if isinstance(notes, list) else []
    show(json_, found, f"nothing speaks against change {number}", *lines)


@change.command("approve")
@click.argument("number", type=click.IntRange(min=0))
@manner
@click.option("--content", help="The content digest that you approve; else what the server shows is shown to you.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@speaking
@as_json
def approve_change(
    number: int, how: Manner, content: str | None, yes: bool, connection: "Connection", json_: bool
) -> None:
    """Approve exactly what a change contains. You sign the digest of its content; the approval expires.

    Of a change of the rules you see every difference in words, computed here from both documents; of a rollout every
    step and every metric, from the strategy that the content names.
    """
    found = connection.get(f"/api/v1/changes/{number}")
    digest = _content(found, content)
    differences = compare(connection, content_of(found))
    words = rolled_out(connection, content_of(found))
    words = [*words, *risk_of(connection, found), *overridden(found)]
    if not json_:
        show(json_, None, *([] if yes else [json.dumps(found.get("content"), indent=2)]), *told(differences), *words)
    if not yes and not json_:
        click.confirm(f"approve change {number} with content {digest}?", abort=True)
    how = replace(how, hurried=is_emergency(found))
    intent, answer = give_approval(connection, number, digest, how)
    said: dict[str, object] = {"change": number, "content": str(digest), "expires": intent.expires}
    said |= {"entry": answer["first"], "differences": as_items(differences), "rollout": words}
    show(json_, said, f"{connection.actor} approved change {number} until {intent.expires} (entry {answer['first']})")


for command in (mine, delegate, delegates, override, review):
    change.add_command(command)


def _decision(verb: str, act: str, path: str, done: str, help_: str) -> click.Command:
    @click.argument("number", type=click.IntRange(min=0))
    @speaking
    @as_json
    def command(number: int, connection: "Connection", json_: bool) -> None:
        digest = _content(connection.get(f"/api/v1/changes/{number}"), None)
        answer = connection.act(
            f"/api/v1/changes/{number}/{path}", connection.intend(act, f"change/{number}", after=digest)
        )
        show(json_, {"change": number, "entry": answer["first"]}, f"change {number} {done} (entry {answer['first']})")

    return click.command(verb, help=help_)(command)


change.add_command(_decision("reject", "change.reject", "rejections", "rejected", "Reject a change for good."))
change.add_command(_decision("withdraw", "change.withdraw", "withdrawals", "withdrawn", "Take your own change back."))
change.add_command(
    _decision("activate", "change.activate", "activation", "carried out", "Carry a change out, if the gate lets it.")
)


@click.group()
def endpoint() -> None:
    """What serves where."""


@endpoint.command("show")
@click.argument("where", type=ENDPOINT)
@speaking
@as_json
def show_endpoint(where: Endpoint, connection: "Connection", json_: bool) -> None:
    """Show what should serve at an endpoint, and what it replaced."""
    found = dict(connection.get(f"/api/v1/endpoints/{where}"))
    slots = found.get("slots")
    if isinstance(slots, list) and slots and isinstance(slots[-1], dict):
        tag = Tag.parse(str(slots[-1]["tag"]))
        if revoked := connection.find(f"/api/v1/releases/{tag.name}/{tag.version}/revocation"):
            found["revoked"] = revoked
    lines = ["nothing is granted here any more: what should serve is revoked"] if "revoked" in found else []
    if found.get("tripped") is not None:
        lines.append(f"the breaker {found['tripped']} of the policy shut it down: `lockgate resume` opens a change")
    if (back := coming(connection, where, found.get("restoration"))).hosts:
        found["hosts"] = dict(back.hosts)
    if proved := shown_way_back(connection, where):
        found["wayBack"] = proved
    lines += [*flag_lines(found), *back.lines, *way_back_lines(proved)]
    if exceptions := flagged(connection, endpoint=str(where)):
        found["exceptions"] = exceptions
        lines += exceptions
    show(json_, found, *lines, json.dumps(found, indent=2))


endpoint.add_command(prove)


@endpoint.command("bindings")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@speaking
@as_json
def show_bindings(where: Endpoint, connection: "Connection", json_: bool) -> None:
    """Show what an endpoint may hold by the policy, what each host says that it holds now, and what is not cut."""
    from lockgate.cli.severed_rows import held_rows

    found = connection.get(f"/api/v1/endpoints/{where}/bindings")
    show(json_, found, *held_rows(found))


@click.command()
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@click.option(
    "--wait", is_flag=True, help="Wait until every host has it, or the window of the policy is over (exit 6)."
)
@speaking
@as_json
def rollback(where: Endpoint, wait: bool, connection: "Connection", json_: bool) -> None:
    """Give an endpoint its whole former release back, in one act. One authorised hand is enough.

    While a rollout is in flight this aborts it: the stable release, which serves all the while, has all traffic again.
    How long a rollback took until every host had it is in the log, and shown by `lockgate endpoint show`.
    """
    go_back(connection, where, json_=json_, wait=wait)


@dataclass(frozen=True, slots=True)
class Case:
    """Why a change is asked for, and how the release gets its traffic; with a risk assessment it is an emergency."""

    reason: str
    resumes: bool = False
    strategy: "Strategy | None" = None
    risk: bytes | None = None


def _open(connection: "Connection", tag: Tag, endpoint: Endpoint, case: Case) -> Mapping[str, Json]:
    from lockgate.core.change import Content

    record = connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")
    installation = connection.get("/api/v1/installation")
    policy = installation.get("policy")
    if not isinstance(policy, dict):
        raise DeniedError(f"{installation['environment']} has no policy yet, so nothing may serve there")
    state = connection.find(f"/api/v1/endpoints/{endpoint}") or {"epoch": -1}
    stable, epoch = slots_of(state)[0], state["epoch"]
    if not isinstance(epoch, int):
        raise VerificationError(f"the server says no epoch of {endpoint}")
    content = Content(
        "normal" if case.risk is None else "emergency", endpoint, tag, Digest.parse(str(record["release"])), stable,
        epoch, case.resumes, Digest.parse(str(policy["digest"])), case.reason,
        case.strategy.digest if case.strategy else None, None if case.risk is None else Digest.of(case.risk),
    )  # fmt: skip
    intent = connection.intend("change.open", endpoint, before=stable, after=content.digest)
    document = plain.encode(case.strategy).decode() if case.strategy else None
    risk = case.risk.decode() if case.risk is not None else None
    answer = connection.act("/api/v1/changes", intent, content=content, strategy=document, risk=risk)
    return {"change": answer["first"], "content": str(content.digest), "endpoint": str(endpoint), "tag": str(tag)}


def _content(found: Mapping[str, Json], wanted: str | None) -> Digest:
    """Compute the digest of the content that the server shows; it must be the one in the log, and the one wanted."""
    digest = content_of(found).digest
    if wanted is not None and Digest.parse(wanted) != digest:
        raise DeniedError(f"the change contains {digest}, you approve {wanted}")
    return digest
