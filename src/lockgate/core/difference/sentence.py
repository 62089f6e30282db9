"""How is one difference between two documents said, and does it make the rules weaker or stronger?

Unknown means weaker: a field for which nobody wrote words is said to be changed, and to weaken.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

from lockgate.formats.instant import write_instant
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name

T = TypeVar("T")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")


class Effect(StrEnum):
    """What a difference does to the rules."""

    WEAKENS = "weakens"
    STRENGTHENS = "strengthens"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference in words. `to` is the person whose own rights it widens."""

    says: str
    effect: Effect
    to: Name | None = None


Words: TypeAlias = Callable[[Any, Any, str], Iterable[Difference]]
Pair: TypeAlias = tuple[T | None, T | None]


def weaker(says: str, to: Name | None = None) -> Difference:
    """Say something that lets more happen than before."""
    return Difference(says, Effect.WEAKENS, to)


def stronger(says: str) -> Difference:
    """Say something that lets less happen than before."""
    return Difference(says, Effect.STRENGTHENS)


def neutral(says: str) -> Difference:
    """Say something that lets the same happen as before."""
    return Difference(says, Effect.NEUTRAL)


def each_field(table: Mapping[str, Words], old: object, new: object, where: str) -> Iterator[Difference]:
    """Say the difference of every field, in the order of the fields; one without words weakens."""
    for field in fields(old):  # type: ignore[arg-type]  # of a dataclass, always
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if words := table.get(field.name):
            yield from words(before, after, where)
        else:
            yield weaker(f"changes {field.name} of {where}")


def paired(old: Iterable[T], new: Iterable[T], key: Callable[[T], Hashable]) -> Iterator[Pair[T]]:
    """Lay two lists beside each other: the first of a name beside the first of that name, and so on."""
    before, after = _numbered(old, key), _numbered(new, key)
    for place in (*before, *(place for place in after if place not in before)):
        yield before.get(place), after.get(place)


def members(
    old: Collection[T], new: Collection[T], taken: Callable[[T], Difference], given: Callable[[T], Difference]
) -> Iterator[Difference]:
    """Say what is in one list and not in the other."""
    yield from (taken(member) for member in dict.fromkeys(old) if member not in new)
    yield from (given(member) for member in dict.fromkeys(new) if member not in old)


def reordered(old: Iterable[object], new: Iterable[object], what: str) -> Iterator[Difference]:
    """Say that two lists of the same members are written differently."""
    before, after = list(old), list(new)
    if before != after and set(before) == set(after):
        yield neutral(f"writes the {what} in another order, or some of them twice")


def in_another_order(old: list[str], new: list[str], what: str) -> Iterator[Difference]:
    """Say that the same things stand in another order, which means nothing."""
    if old != new and sorted(old) == sorted(new):
        yield neutral(f"writes the {what} in another order")


def number(text: str, up: Effect, unit: str = "") -> Words:
    """Make the words for a number: `text` says what is lowered or raised, `up` what raising it does."""
    down = Effect.STRENGTHENS if up is Effect.WEAKENS else Effect.WEAKENS

    def words(old: int, new: int, where: str) -> Iterator[Difference]:
        verb, effect = ("raises", up) if new > old else ("lowers", down)
        yield Difference(f"{verb} {text.format(where=where)} from {old}{unit} to {new}{unit}", effect)

    return words


def expiry(what: str) -> Words:
    """Make the words for the instant at which a document expires."""

    def words(old: datetime, new: datetime, _where: str) -> Iterator[Difference]:
        verb, say = ("lets", weaker) if new > old else ("no longer lets", stronger)
        yield say(f"{verb} the {what} count until {instant(max(old, new))}, but until {instant(min(old, new))}")

    return words


def version(old: int, new: int, _where: str) -> Iterator[Difference]:
    """Say how versions follow each other."""
    if new == old + 1:
        yield neutral(f"is version {new}, the one after {old}")
    else:
        yield weaker(f"is version {new}, which is not the one after {old}")


def environment(old: Name, new: Name, _where: str) -> Iterator[Difference]:
    """Say that the document is for another environment."""
    yield weaker(f"is for the environment {new}, no longer for {old}")


def short(key: PublicKey) -> str:
    """Name a key by the beginning of its id."""
    return f"{key.key_id.hex[:16]}…"


def instant(at: datetime) -> str:
    """Write an instant as a document does."""
    return write_instant(at)


def free(text: str) -> str:
    """Write text of the document so that it cannot be taken for words of ours."""
    return text if _PLAIN.fullmatch(text) else ascii(text)


def _numbered(values: Iterable[T], key: Callable[[T], Hashable]) -> dict[tuple[Hashable, int], T]:
    seen: Counter[Hashable] = Counter()
    found: dict[tuple[Hashable, int], T] = {}
    for value in values:
        name = key(value)
        found[name, seen[name]] = value
        seen[name] += 1
    return found
