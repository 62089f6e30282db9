"""What should be done about a request? What is nearest to it in meaning, of what this release may do.

    what is asked ──▶ its meaning ──▶ each tool's description      near enough: call the nearest one
                          │ bent by the adapter
                          └──────────▶ each section of the index   near enough: quote the nearest one

Deterministic: the same request, with the same parts and the same memory, always makes the same plan. Only tools of the
release's own contract are known here. An argument with a pattern is looked for in the request, and then in what was
said before, latest first; another one is the request itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lockgate.cli.demo.desk.documents import Section
from lockgate.cli.demo.desk.minilm import Array, unit


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the release's contract pins it."""

    name: str
    description: str
    arguments: Mapping[str, str | None]  # by name; the pattern that it must have, if any
    meaning: Array


@dataclass(frozen=True, slots=True)
class Index:
    """Sections of documents, and what each of them means, one in a row."""

    sections: Sequence[Section]
    meanings: Array


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, what it means, the same bent by the adapter, and what was said before, oldest first."""

    request: str
    meaning: Array
    bent: Array
    said: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which nearness on a tool is called, and a section is quoted."""

    tool: float
    section: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call this tool."""

    tool: str
    arguments: Mapping[str, str]
    score: float


@dataclass(frozen=True, slots=True)
class Quote:
    """Answer with this section."""

    section: Section
    score: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing is near enough."""

    score: float


Plan: TypeAlias = Call | Quote | GiveUp


def plan(asked: Asked, tools: Iterable[Tool], index: Index, at_least: Thresholds) -> Plan:
    """Say what to do about a request."""
    call = _nearest_call(asked, tools)
    if call is not None and call.score >= at_least.tool:
        return call
    scores = index.meanings @ asked.bent
    best = int(scores.argmax())
    score = float(scores[best])
    return Quote(index.sections[best], score) if score >= at_least.section else GiveUp(score)


def bend(meaning: Array, down: Array, up: Array) -> Array:
    """Apply an adapter of low rank to a meaning."""
    return unit(meaning + (meaning @ down) @ up)


def _nearest_call(asked: Asked, tools: Iterable[Tool]) -> Call | None:
    possible = []
    for tool in tools:
        arguments = _arguments(tool, asked)
        if arguments is not None:
            possible.append(Call(tool.name, arguments, float(tool.meaning @ asked.meaning)))
    return max(possible, key=lambda call: (call.score, call.tool), default=None)


def _arguments(tool: Tool, asked: Asked) -> dict[str, str] | None:
    """Fill in what a tool must be told, or say that it cannot be called."""
    found = {}
    for name, pattern in tool.arguments.items():
        value = asked.request if pattern is None else _find(pattern, (asked.request, *reversed(asked.said)))
        if value is None:
            return None
        found[name] = value
    return found


def _find(pattern: str, texts: Iterable[str]) -> str | None:
    inner = rf"\b(?:{pattern.removeprefix('^').removesuffix('$')})\b"
    return next((found[0] for text in texts if (found := re.search(inner, text))), None)
