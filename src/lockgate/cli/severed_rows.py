"""How does a person read what an endpoint holds, and what became of it? A row for each, an alarm if it is not cut."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from lockgate.cli.speaking import spread
from lockgate.errors import VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.names import Name
from lockgate.formats.one_line import one_line

if TYPE_CHECKING:
    from lockgate.core.halt import Halt
    from lockgate.core.order import Receipt
    from lockgate.core.tie import Ties

    Told: TypeAlias = Receipt | Halt


def severed_rows(told: "Sequence[Told]") -> list[str]:
    """Write what each node says of each binding, and what is not proven to be cut."""
    found = [(each.node, one) for each in told for one in each.bindings or ()]
    rows = [
        (str(node), str(one.name), one.kind, one.state.upper() if one.why else one.state, *map(_clock, _times(one)))
        for node, one in found
    ]
    lines = spread([("NODE", "BINDING", "KIND", "STATE", "CUT AT", "TRIED AT"), *rows]) if rows else []
    for node, one in found:
        if one.why is not None:
            lines.append(f"ALARM: {one.name} of {node} is {one.state.upper()}: {one_line(one.why)}; it is tried again")
    return lines


def held_rows(found: "Mapping[str, Json]") -> list[str]:
    """Write what an endpoint may hold, and what it holds where."""
    from lockgate.core.binding import Bound
    from lockgate.core.tie import Ties
    from lockgate.formats import plain

    may = plain.from_plain(Mapping[Name, Bound], found["bindings"], "bindings")  # type: ignore[type-abstract]
    nodes = [plain.from_plain(Ties, each, "ties") for each in _listed(found["nodes"])]
    rows = [
        (
            str(tie.name), tie.kind, str(each.node), tie.state if tie.state == "granted" else tie.state.upper(),
            tie.release.hex[:16] if tie.release else "all", _clock(tie.until),
            "-" if tie.sessions is None else str(tie.sessions),
        )
        for each in nodes
        for tie in each.ties
    ]  # fmt: skip
    held = {row[0] for row in rows}
    rows += [
        (str(name), bound.kind, "-", "not granted", "-", "-", "-")
        for name, bound in may.items()
        if str(name) not in held
    ]
    lines = spread([("BINDING", "KIND", "NODE", "STATE", "RELEASE", "UNTIL", "SESSIONS"), *sorted(rows)])
    return [*lines, *(f"ALARM: {line}" for each in nodes for line in _shared(each))]


def _shared(ties: "Ties") -> "Iterator[str]":
    """Say what releases side by side share on a node."""
    for one in ties.shared or ():
        releases = " and ".join(release.hex[:16] for release in one.releases)
        what = "share the" if one.medium != "unseen" else "may share anything:"
        medium = f"{one.medium} " if one.medium != "unseen" else ""
        yield f"on {ties.node} {releases} {what} {medium}{one_line(one.name)}"


def is_alarming(told: "Sequence[Told]") -> bool:
    """Tell whether somebody may still get in somewhere."""
    return any(one.state != "cut" for each in told for one in each.bindings or ())


def _listed(found: "Json") -> "Sequence[Json]":
    if not isinstance(found, list):
        raise VerificationError("the server's nodes are no list")
    return found


def _times(severed: object) -> tuple[datetime | None, datetime | None]:
    return getattr(severed, "cut_at", None), getattr(severed, "probed_at", None)


def _clock(at: datetime | None) -> str:
    return f"{at:%H:%M:%S.%f}"[:-3] if at else "-"
