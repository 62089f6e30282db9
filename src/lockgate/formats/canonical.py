"""How is a value written so that everyone writes the same bytes?

Canonical JSON: RFC 8785 (JCS) over an I-JSON subset without floats, where integers stay below 2^53 and member names
are ASCII. On this subset the sorted, compact output of the standard library is JCS, so no other encoder is needed.
What is parsed here came from somebody else: anything but one plain JSON value in UTF-8 raises `VerificationError`.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

from lockgate.errors import VerificationError

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_INTEGER = 2**53 - 1  # RFC 7493 §2.2: what every JSON implementation holds exactly
MAX_DEPTH = 32
MAX_BYTES = 1 << 20

# `default` meets only what `_check` saw to be a mapping.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=dict)


def encode(value: Json) -> bytes:
    """Write `value` as canonical JSON (RFC 8785)."""
    _check(value)
    return _ENCODER.encode(value).encode()


def parse(data: bytes, *, limit: int = MAX_BYTES) -> Json:
    """Read one JSON value of at most `limit` bytes; raise `VerificationError` for anything else."""
    if len(data) > limit:
        raise VerificationError(f"JSON has {len(data)} bytes, more than the {limit} allowed")
    try:
        text = data.decode("utf-8")
        value: Json = _DECODER.decode(text)
    except UnicodeDecodeError as e:
        raise VerificationError("JSON is not UTF-8") from e
    except json.JSONDecodeError as e:
        raise VerificationError(f"not JSON: {e.msg} at character {e.pos}") from e
    except RecursionError as e:
        raise VerificationError(f"JSON is nested deeper than {MAX_DEPTH}") from e
    if not _is_harmless(data):
        _check(value)
    return value


def parse_object(data: bytes, *, limit: int = MAX_BYTES) -> dict[str, Json]:
    """Read one JSON object; raise `VerificationError` for anything else."""
    value = parse(data, limit=limit)
    if not isinstance(value, dict):
        raise VerificationError(f"JSON is {_kind(value)}, not an object")
    return value


def _is_harmless(data: bytes) -> bool:
    """Tell whether parsed JSON cannot be too deep, nor hold a name or text that is not ASCII: most of it cannot."""
    return data.isascii() and b"\\u" not in data and data.count(b"{") + data.count(b"[") <= MAX_DEPTH


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise VerificationError(f"JSON member {twice[:64]!a} is given twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > len(str(-MAX_INTEGER)) or abs(int(digits)) > MAX_INTEGER:
        raise VerificationError("JSON integer is 2^53 or larger")
    return int(digits)


def _refuse(token: str) -> NoReturn:
    raise VerificationError(f"JSON number {token[:32]!a} is not an integer")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse)


def _check(value: Json, depth: int = 0) -> None:
    if value is None or isinstance(value, str | int):
        _check_scalar(value)
    elif isinstance(value, (dict, Mapping)):  # in this order: the first is quick to see
        _check_depth(depth)
        for name, member in value.items():
            _check_name(name)
            if type(member) is not str or not member.isascii():  # most of what there is has nothing to look for
                _check(member, depth + 1)
    elif isinstance(value, list | tuple):
        _check_depth(depth)
        for member in value:
            if type(member) is not str or not member.isascii():
                _check(member, depth + 1)
    else:
        raise VerificationError(f"JSON cannot hold {_kind(value)}")


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise VerificationError(f"JSON is nested deeper than {MAX_DEPTH}")


def _check_name(name: object) -> None:
    if not (isinstance(name, str) and name.isascii()):
        raise VerificationError("JSON member name is not ASCII text")


def _check_scalar(value: str | int | None) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif value is not None and abs(value) > MAX_INTEGER:
        raise VerificationError("JSON integer is 2^53 or larger")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as e:
        raise VerificationError("JSON text holds a lone surrogate") from e


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", int: "an integer", bool: "a boolean", type(None): "null"}
    return names.get(type(value), type(value).__name__)
