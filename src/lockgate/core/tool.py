"""Which calls of tools may pass? Those that the contract of the release lists, as they were described when it was made.

    contract.tools   "look-up-order"                    by this name
                     "look-up-order@sha256:…"           by this name, and only as it was described then
    message ─▶ strictly read ─▶ a tool of the contract? described as then? ─▶ written anew ─▶ the server of the tools

What is judged is what is sent on: a message is read as JSON in which nothing is ambiguous, and written again from what
was read. A reader that takes the first of two members of one name, or does not tell `Params` from `params`, finds
neither (Model Context Protocol 2025-11-25 and 2026-07-28, streamable HTTP; spec/binding.md).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NoReturn, TypeAlias

from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest

# JSON as others write it, floats included; `canonical.Json` is what we write ourselves.
Loose: TypeAlias = "dict[str, Loose] | list[Loose] | str | int | float | bool | None"

MAX_MESSAGE = 1 << 20
MAX_ANSWER = 8 << 20
MAX_DEPTH = 32
CALL, LISTING = "tools/call", "tools/list"

# What is about no tool, and opens or closes a conversation. Resources, prompts, sampling and all others are none of it.
HARMLESS = frozenset({"initialize", "server/discover", "ping", "notifications/initialized", "notifications/cancelled"})

_MEMBERS = frozenset({"jsonrpc", "id", "method", "params"})
_OF_CALL = frozenset({"name", "arguments", "_meta"})
_TOOL = re.compile(r"[A-Za-z0-9_./-]{1,128}")


@dataclass(frozen=True, slots=True)
class Message:
    """One request or notification of a client, read strictly. What is called is not checked by this alone."""

    id: str | int | None
    method: str
    tool: str | None
    document: bytes  # as it is sent on


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of tools as a client may see it; `changed` are those that are described in another way than was pinned."""

    document: bytes
    known: frozenset[str]
    changed: frozenset[str]


class Toolbox:
    """The tools of one contract, and what was last seen of those that are pinned."""

    def __init__(self, tools: Sequence[str]) -> None:
        """Read the tools of a contract; raise `VerificationError` for one that is no name, or is there twice."""
        self._pins: dict[str, Digest | None] = {}
        self._seen: frozenset[str] = frozenset()
        self._changed: frozenset[str] = frozenset()
        for each in tools:
            name, at, pin = each.partition("@")
            if not _TOOL.fullmatch(name) or name in self._pins:
                raise VerificationError(f"{each[:80]!a} is no tool, or is listed twice")
            self._pins[name] = Digest.parse(pin) if at else None

    def check(self, message: Message) -> None:
        """Raise `DeniedError` unless a message may pass.

        Enforces: emergency_shutdown
        """
        if message.method in HARMLESS or message.method == LISTING:
            return
        if message.method != CALL:
            raise DeniedError(f"{message.method[:80]!a} is not let through: a release calls tools, and nothing else")
        tool = message.tool or ""
        if tool not in self._pins:
            raise DeniedError(f"the contract of the release lists no tool {tool[:80]!a}")
        if tool in self._changed:
            raise DeniedError(f"the tool {tool} is described in another way than when the release was made")
        if self._pins[tool] is not None and tool not in self._seen:
            raise DeniedError(f"the tool {tool} was not listed yet, so nobody knows whether it is described as before")

    def take(self, tools: Sequence[Loose]) -> tuple[list[Loose], frozenset[str]]:
        """Take what a server lists; return what a client may see of it, and the names of what has changed."""
        shown: dict[str, Loose] = {}
        changed = set[str]()
        for tool in tools:
            name = tool.get("name") if isinstance(tool, dict) else None
            if not isinstance(tool, dict) or not isinstance(name, str) or name not in self._pins:
                continue
            pin = self._pins[name]
            if name in shown or (pin is not None and pin_of(tool) != pin):
                changed.add(name)  # also what is described twice
            else:
                shown[name] = tool
        names = shown.keys() - changed
        self._changed = (self._changed - names) | changed
        self._seen = (self._seen | names) - self._changed
        return [shown[name] for name in shown if name in names], frozenset(changed)


def read_message(body: bytes) -> Message:
    """Read what a client sends; raise `VerificationError` for anything but one request or notification."""
    found = read_strictly(body)
    method = found.get("method") if isinstance(found, dict) else None
    if not isinstance(found, dict) or found.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise VerificationError("not one JSON-RPC 2.0 request")
    if odd := sorted(found.keys() - _MEMBERS):
        raise VerificationError(f"a request has no member {odd[0][:64]!a}")
    called, params = found.get("id"), found.get("params", {})
    if not isinstance(params, dict) or not (called is None or isinstance(called, str) or type(called) is int):
        raise VerificationError("params is no object, or id neither text nor a whole number")
    tool = _called(params) if method == CALL else None
    return Message(called, method, tool, _written(found))


def _called(params: dict[str, Loose]) -> str:
    tool = params.get("name")
    if odd := sorted(params.keys() - _OF_CALL):
        raise VerificationError(f"a call of a tool has no member {odd[0][:64]!a}")
    if not isinstance(tool, str):
        raise VerificationError("a call names no tool")
    return tool


def check_mirrored(message: Message, said: Mapping[str, str]) -> None:
    """Raise `VerificationError` if headers say another method or tool than the message: some servers go by them."""
    for header, value in (("mcp-method", message.method), ("mcp-name", message.tool)):
        found = said.get(header)
        if found is not None and found != value:
            raise VerificationError(f"{header} is {found[:80]!a}, the message says {str(value)[:80]!a}")


def filtered(answer: bytes, tools: Toolbox) -> Listed:
    """Take an answer to a listing, and leave in it what the contract lists; raise `VerificationError` if it is none.

    An error is an answer too, and stays as it is.
    """
    found = read_strictly(answer, MAX_ANSWER)
    if not isinstance(found, dict) or "method" in found or ("error" in found) == ("result" in found):
        raise VerificationError("not one answer of JSON-RPC 2.0")
    if "error" in found:
        return Listed(_written(found), frozenset(), frozenset())
    result = found["result"]
    listed = result.get("tools") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(listed, list):
        raise VerificationError("a list of tools lists none")
    shown, changed = tools.take(listed)
    names = frozenset(str(tool["name"]) for tool in shown if isinstance(tool, dict))
    return Listed(_written({**found, "result": {**result, "tools": shown}}), names, changed)


def is_answer(document: bytes) -> bool:
    """Tell an answer from what else a server says on the way to it."""
    found = read_strictly(document, MAX_ANSWER)
    return not (isinstance(found, dict) and "method" in found)


def answering(document: bytes, message: Message) -> bytes | None:
    """Write anew what a server says on the way to an answer; None for what is not for the client.

    That is its own questions, which nobody could answer. Raises `VerificationError` for an answer to something else.
    """
    found = read_strictly(document, MAX_ANSWER)
    if not isinstance(found, dict):
        raise VerificationError("not one message of JSON-RPC 2.0")
    answers = "result" in found or "error" in found
    if "method" in found:
        if answers:
            raise VerificationError("a message both asks and answers")
        return None if "id" in found else _written(found)
    said = found.get("id")
    unread = said is None and "error" in found and "result" not in found
    if not answers or not (unread or (type(said) is type(message.id) and said == message.id)):
        raise VerificationError("an answer to something that was not asked")
    return _written(found)


def pin_of(tool: Mapping[str, Loose]) -> Digest:
    """Digest all that a server says of a tool: name, description, schemas, annotations."""
    return Digest.of(canonical.encode(_without_floats(tool)))


def pinned(tool: Mapping[str, Loose]) -> str:
    """Write a tool as a contract lists it, pinned."""
    return f"{tool['name']}@{pin_of(tool)}"


def events_of(content: bytes) -> Iterator[bytes]:
    """Read the data of each server-sent event (WHATWG HTML §9.2)."""
    for event in content.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if b"".join(data).strip():
            yield b"\n".join(data)


def read_strictly(body: bytes, longest: int = MAX_MESSAGE) -> Loose:
    """Read JSON in which nothing is ambiguous; raise `VerificationError` for anything else."""
    if len(body) > longest:
        raise VerificationError(f"a message has at most {longest} bytes")
    try:
        found: Loose = _DECODER.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise VerificationError(f"not JSON in UTF-8: {type(e).__name__}") from e
    _check_depth(found, MAX_DEPTH)
    return found


def _written(found: object) -> bytes:
    return json.dumps(found, separators=(",", ":"), allow_nan=False).encode()


def _members(pairs: list[tuple[str, Loose]]) -> dict[str, Loose]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise VerificationError("a member is given twice")
    return found


def _number(digits: str) -> float:
    if not isfinite(found := float(digits)):
        raise VerificationError(f"{digits[:16]!a} is no number that can be sent on")
    return found


def _refuse(token: str) -> NoReturn:
    raise VerificationError(f"{token[:16]!a} is no number of JSON")


def _check_depth(found: Loose, left: int) -> None:
    if left < 0:
        raise VerificationError(f"JSON is nested deeper than {MAX_DEPTH}")
    if isinstance(found, dict):
        for each in found.values():
            _check_depth(each, left - 1)
    elif isinstance(found, list):
        for each in found:
            _check_depth(each, left - 1)


def _without_floats(found: object) -> Json:
    """Write what canonical JSON has not in words of its own: it only has to be the same each time."""
    if isinstance(found, float) or (type(found) is int and abs(found) > canonical.MAX_INTEGER):
        return {"$number": repr(found)}
    if isinstance(found, Mapping):
        return {name.encode("unicode_escape").decode(): _without_floats(each) for name, each in found.items()}
    if isinstance(found, list):
        return [_without_floats(each) for each in found]
    if isinstance(found, str):
        return found.encode("unicode_escape").decode()
    assert found is None or isinstance(found, int), "JSON is made of nothing else"
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_number, parse_constant=_refuse)
