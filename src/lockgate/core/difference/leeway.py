"""What does a new policy change about what may be let go: overrides and emergencies, in words?"""

from collections.abc import Iterator, Mapping

from lockgate.core.difference.sentence import (
    Difference,
    Effect,
    Words,
    each_field,
    free,
    members,
    number,
    reordered,
    stronger,
    weaker,
)
from lockgate.core.policy import Emergencies, Overrides
from lockgate.formats.names import Name


def overrides(old: Overrides | None, new: Overrides | None, where: str) -> Iterator[Difference]:
    """Say who may override what now, or no more."""
    if old is None and new is not None:
        yield from (weaker(f"lets {person} override {_kinds(new)} at {where}", to=person) for person in new.by)
        yield weaker(f"lets overrides last {new.longest_hours} hours at {where}")
    elif new is None and old is not None:
        yield stronger(f"lets nobody override anything at {where} any more")
    elif old is not None and new is not None:
        yield from each_field(OVERRIDES, old, new, where)
        if set(new.about) - set(old.about) or new.longest_hours > old.longest_hours:
            yield from (weaker(f"lets {person} override more at {where}", to=person) for person in new.by)


def emergencies(
    table: Mapping[str, Words], old: Emergencies | None, new: Emergencies | None, where: str
) -> Iterator[Difference]:
    """Say what an emergency is now, or that there is none any more; `table` has the words of each field."""
    if old is None and new is not None:
        yield weaker(f"lets emergencies be at {where}: {_asked(new)}")
    elif new is None and old is not None:
        yield stronger(f"lets no emergency be at {where} any more")
    elif old is not None and new is not None:
        yield from each_field(table, old, new, f"emergencies at {where}")


def listed_leeway(allowed: Overrides | None, hurried: Emergencies | None) -> str:
    """Say in one line what may be let go; nothing if nothing may."""
    people = f"; {', '.join(map(str, allowed.by))} may override {_kinds(allowed)}" if allowed else ""
    return people + (f"; in an emergency {_asked(hurried)}" if hurried else "")


def _kinds(block: Overrides) -> str:
    return ", ".join(map(free, block.about))


def _asked(block: Emergencies) -> str:
    suites = ", ".join(map(free, block.evaluations)) or "no suite"
    people = f"{block.authority.count} approvals by the role {block.authority.role}"
    return f"{people} within {block.decide_minutes} minutes, {suites}, a review within {block.review_days} days"


def _by(old: tuple[Name, ...], new: tuple[Name, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda person: stronger(f"no longer lets {person} override anything at {where}"),
        lambda person: weaker(f"lets {person} override at {where}", to=person),
    )  # fmt: skip
    yield from reordered(old, new, f"people who override at {where}")


def _about(old: tuple[str, ...], new: tuple[str, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda kind: stronger(f"no longer lets anybody override {free(kind)} at {where}"),
        lambda kind: weaker(f"lets {free(kind)} be overridden at {where}"),
    )  # fmt: skip
    yield from reordered(old, new, f"kinds that are overridden at {where}")


def _suites(old: tuple[str, ...], new: tuple[str, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda suite: weaker(f"no longer demands suite {free(suite)} in {where}"),
        lambda suite: stronger(f"demands suite {free(suite)} in {where}"),
    )  # fmt: skip
    yield from reordered(old, new, f"suites of {where}")


OVERRIDES: Mapping[str, Words] = {
    "by": _by,
    "about": _about,
    "longest_hours": number("how many hours an override lasts at {where},", Effect.WEAKENS),
}
HURRY: Mapping[str, Words] = {
    "decide_minutes": number("within how many minutes {where} are decided,", Effect.WEAKENS),
    "evaluations": _suites,
    "review_days": number("within how many days {where} are reviewed,", Effect.WEAKENS),
}
