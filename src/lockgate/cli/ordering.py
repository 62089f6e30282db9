"""How does a person stop an endpoint, and know that it stopped? By way of the server, or straight to every host."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from lockgate.cli.aiming import aiming
from lockgate.cli.severed_rows import is_alarming, severed_rows
from lockgate.cli.speaking import EXISTING, FILE, as_json, now, read, show, speaking, spread
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Name
from lockgate.formats.one_line import one_line
from lockgate.loader.whole_file import write_whole

if TYPE_CHECKING:
    from lockgate.cli.aiming import Aim
    from lockgate.cli.awaiting import Heard
    from lockgate.cli.directing import Answer, Outcome
    from lockgate.core.fleet import Fleet, Member
    from lockgate.core.halt import Halt
    from lockgate.core.order import Order, Receipt, Stopped
    from lockgate.core.trust import Trust
    from lockgate.loader.connection import Connection

P = ParamSpec("P")
R = TypeVar("R")

_AT_ONCE = 8  # endpoints; each of them asks all hosts at once
_STRAIGHT = "lockgate shutdown … --direct --fleet FLEET --trust TRUST --root ROOT"


@dataclass(frozen=True, slots=True)
class Way:
    """How an order goes without the server: to whom, and by which trust receipts are verified."""

    fleet: Path
    trust: Path
    root: Path
    wait: bool


def directing(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the options of a direct order; it gets the `way`, None if it goes by the server."""

    @functools.wraps(command)
    def directed(*args: Any, direct: bool, wait: bool, **kwargs: Any) -> R:
        named = {name: kwargs.pop(f"{name}_file") for name in ("fleet", "trust", "root")}
        if not direct:
            if wait or any(named.values()):
                raise click.UsageError("--fleet, --trust, --root and --wait go with --direct")
            return command(*args, way=None, **kwargs)  # type: ignore[arg-type]  # what the command takes
        if missing := [f"--{name}" for name, file in named.items() if file is None]:
            raise click.UsageError(f"--direct needs {' and '.join(missing)}")
        return command(*args, way=Way(**named, wait=wait), **kwargs)  # type: ignore[arg-type]  # as above

    trust = "The signed trust document you hold, which receipts are verified by."
    options = (
        click.option("--direct", is_flag=True, help="Send the order straight to the agent of every host as well."),
        click.option("--fleet", "fleet_file", type=EXISTING, help="What `lockgate fleet --output` wrote."),
        click.option("--trust", "trust_file", type=EXISTING, help=trust),
        click.option("--root", "root_file", type=EXISTING, help="The root that you pinned (JSON: threshold, keys)."),
        click.option("--wait", is_flag=True, help="Go on until the server has recorded the order."),
    )
    for option in reversed(options):
        directed = option(directed)
    return directed


@click.command()
@aiming
@click.option("--reason", help="Why, in writing; hosts show it, the log keeps its digest.")
@directing
@speaking
@as_json
def shutdown(aim: "Aim", reason: str | None, way: Way | None, connection: "Connection", json_: bool) -> int:
    """Suspend endpoints at once. Nothing serves there later than the lease lifetime; only a new change resumes them.

    What cannot be suspended holds up no other endpoint, is named at the end, and makes the exit code 6.

    Shows when each host stopped, cut what ran through its gateway, and cut and tried each binding, and names those that
    say nothing. If an agent says nothing for ten seconds, or the server does not answer, the exit code is 6: go
    straight to the hosts. It is 6 too if somebody still gets into a binding, or nobody knows: that is an alarm.
    With --direct the order goes straight to the agent of every host in the fleet file too, and works with the server
    down. Each agent stops what serves, keeps the order, and answers with a receipt signed by its node. Who does not
    answer is named, and the exit code is 6.
    """
    from lockgate.core.order import check_reason

    check_reason(reason)
    if way is not None:
        return _directly(aim, reason, way, connection, json_)
    return _by_server(aim, reason, connection, json_)


def _by_server(aim: "Aim", reason: str | None, connection: "Connection", json_: bool) -> int:
    """Have each endpoint suspended, whatever becomes of the others; then hear from the hosts of all of them."""
    try:
        meant = aim.by_server(connection)
    except UnavailableError as e:
        raise UnavailableError(f"{e}; go straight to the hosts: {_STRAIGHT}") from e
    given, failed = list[tuple[float, _Given]](), dict[Endpoint, LockgateError]()
    for where in meant:
        try:
            given.append(_order(where, reason, connection, json_))
        except LockgateError as e:
            failed[where] = e
    found = [_awaited(one, connection, json_) for one in given]
    if json_ and found:
        show(json_, {"orders": found} if failed else _alone(found))
    for line in aim.finishing(connection):
        click.echo(line, err=True)
    _check_none_failed(failed, alone=len(meant) == 1)
    alarming = any(one.heard and (one.heard.overdue or is_alarming(one.heard.halts)) for one in found)
    return UnavailableError.exit_code if alarming else 0


def _check_none_failed(failed: "Mapping[Endpoint, LockgateError]", *, alone: bool) -> None:
    """Raise what went wrong: of one endpoint its own error; of several all of them, named."""
    if not failed:
        return
    told = "; ".join(f"{where} is NOT suspended: {error}" for where, error in failed.items())
    if alone and not all(isinstance(error, UnavailableError) for error in failed.values()):
        raise next(iter(failed.values()))
    raise UnavailableError(f"{told}; go straight to the hosts: {_STRAIGHT}")


@click.command()
@click.option("--output", type=FILE, help="Write it here too, for `lockgate shutdown --direct`.")
@speaking
@as_json
def fleet(output: Path | None, connection: "Connection", json_: bool) -> None:
    """Show which hosts there are, what they serve, and where their agents take orders. Keep a copy at hand."""
    found = _asked(connection)
    if output is not None:
        write_whole(output, plain.encode(found))
    heads = ("NODE", "ORDERS", "ENDPOINTS", "SEEN")
    rows = [_member(member) for member in found.members]
    show(json_, found, *(spread([heads, *rows]) if rows else ["no host has asked for a lease yet"]))


@dataclass(frozen=True, slots=True)
class _Given:
    """An order that the server has recorded, and what became of it."""

    endpoint: Endpoint
    entry: int
    anchored: bool
    heard: "Heard | None"


@dataclass(frozen=True, slots=True)
class _Sent:
    """An order that went to every host, who gave no receipt, and who is not in the fleet file."""

    outcome: "Outcome"
    silent: list[str]
    not_in_fleet: list[str]


def _order(where: Endpoint, reason: str | None, connection: "Connection", json_: bool) -> tuple[float, _Given]:
    """Have one endpoint suspended; say at which instant that was asked for."""
    from lockgate.core.order import ACT, reason_digest

    intent, at = connection.intend(ACT, where, after=reason_digest(reason)), time.monotonic()
    answer = connection.act(f"/api/v1/endpoints/{where}/shutdown", intent, reason=reason)
    given = _Given(where, plain.from_plain(int, answer["first"]), answer.get("anchored") is True, None)
    lines = [f"{where} is suspended (entry {given.entry})"]
    if not given.anchored:
        lines.append("the signer does not remember it yet: a database from before would not be noticed; ask again")
    if not json_:
        show(json_, None, *lines)
    return at, given


def _awaited(ordered: tuple[float, _Given], connection: "Connection", json_: bool) -> _Given:
    """Hear from the hosts of one endpoint. All that was ordered has the same ten seconds."""
    from lockgate.cli.awaiting import await_halts

    at, given = ordered
    heard = await_halts(given.endpoint, at, connection)
    if not json_:
        show(json_, None, *_heard(given.endpoint, heard))
    return replace(given, heard=heard)


def _directly(aim: "Aim", reason: str | None, way: Way, connection: "Connection", json_: bool) -> int:
    """Send every order to every host, all at once: an endpoint whose hosts are silent holds up no other."""
    from lockgate.cli.directing import Direct, write_order
    from lockgate.core.fleet import strangers

    trust, known = _held(way)
    connection.environment = str(trust.environment)
    orders = [(where, write_order(where, reason, connection)) for where in aim.by_fleet(known)]
    unknown = [str(name) for name in strangers(known, trust, now())]

    def send(where: Endpoint, order: "Order") -> _Sent:
        speaker = replace(connection, environment=connection.environment)
        outcome = Direct(order, where, known, trust, speaker, functools.partial(_reach, connection)).send(
            shown, wait=way.wait
        )
        return _Sent(outcome, [str(one.node) for one in outcome.answers if one.receipt is None], unknown)

    def shown(answers: Sequence["Answer"]) -> None:
        if not json_:
            show(json_, None, *_receipts(answers))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [*pool.map(send, *zip(*orders, strict=True))]
    show(json_, _alone(found), *(line for one in found for line in _summary(one.outcome, one.silent, unknown)))
    return UnavailableError.exit_code if any(one.silent or _is_alarming(one.outcome.answers) for one in found) else 0


def _is_alarming(answers: Sequence["Answer"]) -> bool:
    """Tell whether nobody answered, or somebody may still get in somewhere."""
    return not answers or is_alarming([answer.receipt for answer in answers if answer.receipt is not None])


def _alone(found: Sequence[object]) -> object:
    """Write one order as it is, several as a list."""
    return found[0] if len(found) == 1 else {"orders": found}


def _held(way: Way) -> "tuple[Trust, Fleet]":
    from lockgate.core.fleet import Fleet, check_fleet
    from lockgate.core.trust import Root, open_trust

    trust = open_trust(read(way.trust), plain.decode(Root, read(way.root)), now()).document
    known = plain.decode(Fleet, read(way.fleet))
    check_fleet(known, trust)
    return trust, known


def _reach(speaker: "Connection", control: str) -> "Connection":
    from lockgate.loader.connection import Connection

    return Connection(control.rstrip("/"), speaker.actor, speaker.sign, speaker.tls)


def _heard(where: Endpoint, heard: "Heard | None") -> list[str]:
    if heard is None:
        return ["what the hosts did cannot be learnt now: ask each with `lockgate agent status`, or order it directly"]
    rows = [(str(halt.node), _cut(halt), _stopped(halt.stopped)) for halt in heard.halts]
    lines = spread([("NODE", "GATEWAY", "STOPPED"), *rows]) if rows else []
    lines += severed_rows(heard.halts)
    if heard.silent:
        silent = ", ".join(map(str, heard.silent))
        lines.append(f"{where}: NO WORD from {silent}: what runs there ends when its lease does, not before")
    if heard.overdue:
        overdue = ", ".join(map(str, heard.overdue))
        lines.append(f"{where}: the agent of {overdue} has not answered: go straight to it: {_STRAIGHT}")
    return lines


def _receipts(answers: Sequence["Answer"]) -> list[str]:
    rows = [("NODE", "KEPT AT", "GATEWAY", "STOPPED", "ANSWERED IN")]
    for answer in answers:
        if answer.receipt is None:
            rows.append((str(answer.node), "NO RECEIPT", "", one_line(answer.why or ""), f"{answer.seconds} s"))
            continue
        kept_at, cut = _clock(answer.receipt.kept_at), _cut(answer.receipt)
        rows.append((str(answer.node), kept_at, cut, _stopped(answer.receipt.stopped), f"{answer.seconds} s"))
    return [*spread(rows), *severed_rows([answer.receipt for answer in answers if answer.receipt is not None])]


def _stopped(found: "Sequence[Stopped]") -> str:
    told = (
        f"{each.tag}" if each.ended else f"{each.tag} told, at the latest in {each.seconds_left} s" for each in found
    )
    return ", ".join(told) or "nothing served"


def _cut(receipt: "Receipt | Halt") -> str:
    at = f" {_clock(receipt.cut_at)}" if receipt.cut_at else ""
    return f"{receipt.gateway or 'none'}{at}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S.%f}"[:-3]


def _summary(outcome: "Outcome", silent: list[str], unknown: list[str]) -> list[str]:
    kept = sum(answer.receipt is not None for answer in outcome.answers)
    lines = [f"{outcome.endpoint}: {kept} of {len(outcome.answers)} hosts keep the order {outcome.order}"]
    if outcome.recorded is not None:
        lines.append(f"entry {outcome.recorded} of the log records it")
    else:
        lines.append(f"the log does not record it yet ({outcome.why}); agents relay it when the server is back")
    if silent:
        lines.append(f"NO RECEIPT from {', '.join(silent)}: what runs there ends when its lease does, not before")
    if unknown:
        lines.append(f"not in the fleet file, though trust knows them as agents: {', '.join(unknown)}")
    return lines


def _asked(connection: "Connection") -> "Fleet":
    """Ask who is there; a node that asked for several endpoints is one member, at the address that it said last."""
    from lockgate.core.fleet import Fleet, Member

    items = connection.get("/api/v1/fleet")["items"]
    seen = [_sighting(item) for item in items] if isinstance(items, list) else []
    members: dict[Name, Member] = {}
    for one in sorted(seen, key=lambda member: member.seen_at):
        before = members.get(one.node)
        endpoints = {*(before.endpoints if before else ()), *one.endpoints}
        members[one.node] = Member(one.node, one.control, tuple(sorted(endpoints)), one.seen_at)
    installation = connection.get("/api/v1/installation")
    listed = tuple(members[node] for node in sorted(members))
    return Fleet(plain.from_plain(Name, installation["environment"]), listed, now())


def _sighting(item: Json) -> "Member":
    from lockgate.core.fleet import Member

    if not isinstance(item, dict):
        raise VerificationError("the server lists something else than sightings")
    members = {"node": item.get("node"), "control": item.get("control"), "seen_at": item.get("at")}
    return plain.from_plain(Member, members | {"endpoints": [item.get("endpoint")]}, "sighting")


def _member(member: "Member") -> tuple[str, ...]:
    endpoints = ", ".join(map(str, member.endpoints)) or "nothing"
    return str(member.node), member.control or "none taken", endpoints, f"{member.seen_at:%Y-%m-%d %H:%M:%S} UTC"
