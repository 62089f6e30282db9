"""Is this one JSON value, that every parser reads the same?

A member that is given twice means another thing to each reader; so does a number that fits into no float, or what is
nested so deep that a reader gives up.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import NoReturn, TypeAlias

from lockgate.errors import VerificationError

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"

MAX_BYTES = 1 << 28
MAX_DEPTH = 64
_MAX_DIGITS = 64


def read_json(data: bytes) -> Value:
    """Read one value; raise `VerificationError` for anything else."""
    if len(data) > MAX_BYTES:
        raise VerificationError(f"JSON has {len(data)} bytes, more than the {MAX_BYTES} that are looked at")
    try:
        value: Value = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise VerificationError(f"JSON is not UTF-8 at byte {e.start}") from e
    except json.JSONDecodeError as e:
        raise VerificationError(f"not JSON: {e.msg} at character {e.pos}") from e
    except RecursionError as e:
        raise VerificationError(f"JSON is nested deeper than {MAX_DEPTH}") from e
    _check_depth(value, MAX_DEPTH)
    return value


def members(value: Value) -> Iterator[tuple[str, Value, dict[str, Value]]]:
    """Yield every member of every object inside: its name, its value, and the object that has it."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            for name, member in found.items():
                yield name, member, found
            waiting += [member for member in found.values() if isinstance(member, dict | list)]
        elif isinstance(found, list):
            waiting += [member for member in found if isinstance(member, dict | list)]


def _check_depth(value: Value, most: int) -> None:
    level: list[Value] = [value]
    for _ in range(most + 1):
        inner = [each for each in level if isinstance(each, dict | list)]
        level = [
            member
            for each in inner
            for member in (each.values() if isinstance(each, dict) else each)
            if isinstance(member, dict | list)
        ]
        if not level:
            return
    raise VerificationError(f"JSON is nested deeper than {most}")


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise VerificationError(f"JSON member {twice[:64]!a} is given twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise VerificationError(f"JSON number has {len(digits)} digits")
    return int(digits)


def _float(text: str) -> float:
    value = float(text) if len(text) <= 2 * _MAX_DIGITS else math.inf
    if math.isinf(value):
        raise VerificationError(f"JSON number {text[:20]!a} fits into no float")
    return value


def _refuse(token: str) -> NoReturn:
    raise VerificationError(f"JSON has no {token[:20]}")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
