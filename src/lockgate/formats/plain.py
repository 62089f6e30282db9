"""How does a dataclass become JSON, and back? By its type hints, strictly.

One definition per fact: the dataclass is the stored form and the API form. Unknown, missing and mistyped members are
refused. A scalar is any class with `parse(text)` and `__str__`. A union of dataclasses is told apart by the member
`type`, which is the class's own permanent `type`, never its Python name. Members that a class lists in `later` came
after documents were signed without them: they are written only if they say something, so each digest stays.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, TypeVar

from lockgate.errors import VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.instant import parse_instant, write_instant

T = TypeVar("T")
_Reader = Callable[[Json, str], Any]
_Writer = Callable[[Any], Any]

_SCALARS_KEPT = 4096  # of each kind: the same digests, names and instants come again and again


def to_plain(value: Any) -> Json:
    """Turn a value made of dataclasses and scalars into JSON."""
    kind: Any = type(value)
    written: Json = _writer(kind)(value)
    return written


@cache
def _writer(kind: Any) -> _Writer:
    """Say how values of one type are written: decided once, because everything that is logged or sent comes by."""
    if kind in (str, int, bool, type(None)):
        return lambda value: value
    if issubclass(kind, datetime):
        return write_instant
    if issubclass(kind, StrEnum):
        return lambda value: value.value
    if issubclass(kind, tuple | list):
        return lambda value: [to_plain(item) for item in value]
    if issubclass(kind, Mapping):
        return lambda value: {str(key): to_plain(item) for key, item in value.items()}
    if hasattr(kind, "parse"):
        return str
    if issubclass(kind, str | int):
        return lambda value: value
    return _record_writer(kind)


def _record_writer(kind: Any) -> _Writer:
    tag = getattr(kind, "type", None)
    tagged = {"type": tag} if isinstance(tag, str) else {}
    later = frozenset(getattr(kind, "later", ()))
    names = tuple(field.name for field in dataclasses.fields(kind))
    always = tuple(name for name in names if name not in later)

    def write(value: Any) -> Json:
        there = (name for name in names if name not in later or getattr(value, name) is not None)
        return tagged | {name: to_plain(getattr(value, name)) for name in (there if later else always)}

    return write


def from_plain(kind: type[T], value: Json, where: str = "") -> T:
    """Turn JSON into a `kind`; raise `VerificationError` naming the member that is wrong."""
    read: _Reader = _reader(typing.cast("Any", kind))
    return typing.cast("T", read(value, where or kind.__name__.lower()))


def encode(value: Any) -> bytes:
    """Write a value as canonical JSON."""
    return canonical.encode(to_plain(value))


def decode(kind: type[T], data: bytes, *, limit: int = canonical.MAX_BYTES) -> T:
    """Read a `kind` from JSON bytes; raise `VerificationError` for anything else."""
    return from_plain(kind, canonical.parse(data, limit=limit))


@cache
def _reader(kind: Any) -> _Reader:
    origin = typing.get_origin(kind)
    return _class(kind) if origin is None else _form(origin, typing.get_args(kind))


def _form(origin: Any, arguments: tuple[Any, ...]) -> _Reader:
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is tuple:
        return _tuple(*arguments)
    if origin in (dict, Mapping):
        return _mapping(*arguments)
    if origin is typing.Literal:
        return _literal(arguments)
    raise TypeError(f"no form in JSON is known for {origin}")


def _class(kind: Any) -> _Reader:
    if kind in (str, int, bool):
        return _exactly(kind)
    if kind is datetime:
        return _scalar(parse_instant)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _literal(tuple(kind))
    if hasattr(kind, "parse"):
        return _scalar(kind.parse)
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if kind in (object, Any):
        return _anything
    raise TypeError(f"no form in JSON is known for {kind}")


def _anything(value: Json, _where: str) -> Json:
    return value


def _exactly(kind: type) -> _Reader:
    def read(value: Json, where: str) -> Json:
        if type(value) is not kind:
            raise VerificationError(f"{where}: found {type(value).__name__}, wanted {kind.__name__}")
        return value

    return read


def _scalar(parse: Callable[[str], Any]) -> _Reader:
    parse = lru_cache(maxsize=_SCALARS_KEPT)(parse)

    def read(value: Json, where: str) -> Any:
        if not isinstance(value, str):
            raise VerificationError(f"{where}: found {type(value).__name__}, wanted text")
        try:
            return parse(value)
        except VerificationError as e:
            raise VerificationError(f"{where}: {e}") from e

    return read


def _literal(allowed: tuple[Any, ...]) -> _Reader:
    def read(value: Json, where: str) -> Any:
        for choice in allowed:
            if value == choice and type(value) in (type(choice), str):
                return choice
        wanted = ", ".join(map(str, allowed))
        raise VerificationError(f"{where}: found {str(value)[:64]!a}, wanted one of {wanted}")

    return read


def _tuple(kind: Any, more: Any) -> _Reader:
    assert more is Ellipsis, "a tuple holds any number of one kind"
    item = _reader(kind)

    def read(value: Json, where: str) -> Any:
        if not isinstance(value, list | tuple):
            raise VerificationError(f"{where}: found {type(value).__name__}, wanted a list")
        return tuple(item(member, f"{where}[{number}]") for number, member in enumerate(value))

    return read


def _mapping(name_kind: Any, kind: Any) -> _Reader:
    read_name, item = _reader(name_kind), _reader(kind)

    def read(value: Json, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise VerificationError(f"{where}: found {type(value).__name__}, wanted an object")
        return {read_name(name, where): item(member, f"{where}.{name[:64]}") for name, member in value.items()}

    return read


def _union(kinds: tuple[Any, ...]) -> _Reader:
    optional = type(None) in kinds
    kinds = tuple(kind for kind in kinds if kind is not type(None))
    only = _reader(kinds[0]) if len(kinds) == 1 else None
    by_type = {} if only else {kind.type: _reader(kind) for kind in kinds}

    def read(value: Json, where: str) -> Any:
        if value is None and optional:
            return None
        if only:
            return only(value, where)
        tag = value.get("type") if isinstance(value, Mapping) else None
        if not isinstance(tag, str) or tag not in by_type:
            raise VerificationError(f"{where}: found type {str(tag)[:64]!a}, wanted one of {', '.join(by_type)}")
        return by_type[tag](value, where)

    return read


def _record(kind: Any) -> _Reader:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}
    optional = {field.name for field in dataclasses.fields(kind) if field.default is None}
    tag = getattr(kind, "type", None)

    def read(value: Json, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise VerificationError(f"{where}: found {type(value).__name__}, wanted an object")
        members = dict(value)
        if isinstance(tag, str) and members.pop("type", None) != tag:
            raise VerificationError(f"{where}: wanted type {tag}")
        if unknown := sorted(members.keys() - readers.keys()):
            raise VerificationError(f"{where}: unknown member {unknown[0][:64]!a}")
        if missing := sorted(readers.keys() - members.keys() - optional):
            raise VerificationError(f"{where}: member {missing[0]!r} is missing")
        return kind(**{name: readers[name](member, f"{where}.{name}") for name, member in members.items()})

    return read
