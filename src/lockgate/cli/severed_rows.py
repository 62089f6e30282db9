"""How does a person read what became of the bindings of an endpoint? A row for each, an alarm for what is not cut."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from lockgate.cli.speaking import one_line, spread

if TYPE_CHECKING:
    from lockgate.core.halt import Halt
    from lockgate.core.order import Receipt

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


def is_alarming(told: "Sequence[Told]") -> bool:
    """Tell whether somebody may still get in somewhere."""
    return any(one.state != "cut" for each in told for one in each.bindings or ())


def _times(severed: object) -> tuple[datetime | None, datetime | None]:
    return getattr(severed, "cut_at", None), getattr(severed, "probed_at", None)


def _clock(at: datetime | None) -> str:
    return f"{at:%H:%M:%S.%f}"[:-3] if at else "-"
