"""Which documents does a good one turn into when one thing in it is wrong?

{"role": "user", "n": 1}  ──▶  another type of each member · one member less · one more · a role that nobody has ·
                               control characters in each text · nested deeper than any stack · no JSON · no UTF-8
"""

import json
from collections.abc import Callable, Iterator

from lockgate.formats.canonical import Json

_CONTROLS = "\x00\x1b[2J\x07"
_OTHERS: tuple[Json, ...] = ("text", 7, True, None, [], {})
_MOST_CASES = 400


def misfits(good: Json, most: int) -> Iterator[tuple[str, bytes]]:
    """Spoil a good document in every way that there is, one at a time; each fits into `most` bytes."""
    whole = json.dumps(good).encode()
    yield "another document", b"[]" if isinstance(good, dict) else b"{}"
    yield "no JSON", b'{"'
    yield "JSON that breaks off", whole[:-1]
    yield "something after the JSON", whole + b"]"
    yield "no UTF-8", whole[:1] + b'"\xff\xfe":1,' + whole[1:] if whole[:1] == b"{" else b'"\xff"'
    for bracket, name in ((b"[", "lists"), (b'{"a":', "objects")):
        yield f"{name} nested deeper than any stack", bracket * min(100_000, (most - 1) // len(bracket))
    for number, (name, document) in enumerate(_spoiled(good)):
        body = json.dumps(document).encode()
        if number < _MOST_CASES and len(body) <= most:
            yield name, body


def _spoiled(good: Json) -> Iterator[tuple[str, Json]]:
    for where, found, put in _places(good, "", lambda value: value):
        for other in _OTHERS if where else ():
            if type(other) is not type(found):
                yield f"{where} is {json.dumps(other)}", put(other)
        if isinstance(found, str):
            yield f"control characters in {where}", put(found + _CONTROLS)
            if where.endswith("/role"):
                yield f"{where} is a role that nobody has", put("lockgate-nobody")
        elif isinstance(found, dict):
            yield f"a member too many in {where or 'it'}", put({**found, "lockgate_unknown": 1})
            yield from _without_each(found, where, put)


def _without_each(found: dict[str, Json], where: str, put: "Put") -> Iterator[tuple[str, Json]]:
    for name in found:
        yield f"{where}/{name} is missing", put({each: found[each] for each in found if each != name})


Put = Callable[[Json], Json]


def _places(found: Json, where: str, put: Put) -> Iterator[tuple[str, Json, Put]]:
    """Walk over a document; yield each place, what is there, and how the document is when something else is."""
    yield where, found, put
    if isinstance(found, dict):
        for name in found:

            def in_object(value: Json, name: str = name, held: dict[str, Json] = found) -> Json:
                return put({**held, name: value})

            yield from _places(found[name], f"{where}/{name}", in_object)
    elif isinstance(found, list):
        for at in range(len(found)):

            def in_list(value: Json, at: int = at, held: list[Json] = found) -> Json:
                return put([*held[:at], value, *held[at + 1 :]])

            yield from _places(found[at], f"{where}/{at}", in_list)
