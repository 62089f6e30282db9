"""How does a dataclass look as JSON Schema (2020-12)? As `formats.plain` reads it: one definition for both."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from lockgate.formats.canonical import MAX_INTEGER
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Endpoint, Name, Tag, Version

Schema: typing.TypeAlias = dict[str, object]

NAME = "[a-z0-9][a-z0-9-]{0,62}"
VERSION = r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})"
DIGEST = "sha256:[0-9a-f]{64}"

_PATTERNS: Mapping[type, str] = {
    Name: f"^{NAME}$",
    Version: f"^{VERSION}$",
    Tag: f"^{NAME}@{VERSION}$",
    Endpoint: f"^{NAME}/{NAME}$",
    Digest: f"^{DIGEST}$",
    PublicKey: "^[A-Za-z0-9+/]+={0,2}$",
    datetime: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$",
}


def schema_of(kind: object, found: dict[str, object]) -> Schema:
    """Describe `kind`; what it is made of is put into `found`, under names for `#/components/schemas`."""
    origin = typing.get_origin(kind)
    if origin is not None:
        return _form(origin, typing.get_args(kind), found)
    if kind in (str, int, bool):
        return dict(_SIMPLE[kind])
    if not isinstance(kind, type) or kind is object:
        return {}
    if kind in _PATTERNS:
        return {"type": "string", "pattern": _PATTERNS[kind]}
    if issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    return _record(kind, found)


_SIMPLE: Mapping[object, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
}


def _form(origin: object, arguments: tuple[object, ...], found: dict[str, object]) -> Schema:
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(kind, found) if kind is not type(None) else {"type": "null"} for kind in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0], found)}
    assert origin in (dict, Mapping), f"no schema is known for {origin}"
    return {"type": "object", "additionalProperties": schema_of(arguments[1], found)}


def _record(kind: type, found: dict[str, object]) -> Schema:
    assert dataclasses.is_dataclass(kind), f"no schema is known for {kind}"
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
    if name not in found:
        found[name] = {}  # so that a kind made of itself comes to an end
        hints = typing.get_type_hints(kind)
        members: Schema = {field.name: schema_of(hints[field.name], found) for field in dataclasses.fields(kind)}
        required = [field.name for field in dataclasses.fields(kind) if field.default is not None]
        tag = getattr(kind, "type", None)
        if isinstance(tag, str):
            members, required = {"type": {"const": tag}, **members}, ["type", *required]
        found[name] = {"type": "object", "properties": members, "required": required, "additionalProperties": False}
    return {"$ref": f"#/components/schemas/{name}"}
