"""What does a new policy change about what an endpoint may hold, in words?"""

from collections.abc import Iterator, Mapping

from lockgate.core.binding import Bound
from lockgate.core.difference.sentence import Difference, members, stronger, weaker
from lockgate.formats.names import Name


def bindings(old: Mapping[Name, Bound] | None, new: Mapping[Name, Bound] | None, where: str) -> Iterator[Difference]:
    """Say what may be held now, or no more: to hold more is to be able to do more."""
    before, after = old or {}, new or {}
    yield from members(
        before, after,
        lambda name: stronger(f"no longer lets {where} hold {name} ({before[name].kind})"),
        lambda name: weaker(f"lets {where} hold {name} ({after[name].kind})"),
    )  # fmt: skip
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield weaker(f"lets {where} hold {name} as {after[name].kind}, no longer as {before[name].kind}")


def listed_bindings(bindings: Mapping[Name, Bound] | None) -> str:
    """Name what may be held in one line; nothing if there is nothing."""
    names = ", ".join(f"{name} ({bound.kind})" for name, bound in sorted((bindings or {}).items()))
    return f"; it may hold {names}" if names else ""
