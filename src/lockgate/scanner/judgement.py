"""Is this content of a kind that is allowed, and well formed? The rules of every format, behind one question.

name, bytes ──▶ which format? ──▶ its rules ──▶ flaws
                      └─ none that is known ──▶ refused
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lockgate.errors import VerificationError
from lockgate.scanner.json_text import read_json
from lockgate.scanner.plain_text import read_text, text_flaws
from lockgate.scanner.polyglot import polyglot_flaws
from lockgate.scanner.recognition import name_flaws, recognise, suffix_of
from lockgate.scanner.repository import repository_flaws
from lockgate.scanner.safetensors import safetensors_flaws
from lockgate.scanner.scanned import Flaw


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a file is, and what is wrong with it."""

    format: str
    flaws: tuple[Flaw, ...]


def judge(name: str, view: memoryview) -> Judgement:
    """Say which format the content has, and what is wrong with it."""
    found = recognise(view)
    flaws = tuple(dict.fromkeys(_flaws(name, view, found)))
    return Judgement(found, flaws)


def _flaws(name: str, view: memoryview, found: str) -> Iterator[Flaw]:
    yield from name_flaws(name, found)
    rules = _RULES.get(found)
    if rules is None:
        yield _refused(found)
        return
    try:
        yield from rules(name, view)
    except VerificationError as e:
        yield Flaw(found, str(e))
    yield from polyglot_flaws(view)


def _refused(found: str) -> Flaw:
    what = {"unknown": "its content is of no format that is known"}.get(found, f"{found} is not among what is accepted")
    return Flaw(found, what)


def _json(name: str, view: memoryview) -> Iterator[Flaw]:
    text = read_text(view)
    assert text is not None
    try:
        value = read_json(bytes(view))
    except VerificationError as e:
        if suffix_of(name) in _PROSE:
            yield from text_flaws(text, suffix_of(name))
        else:
            yield Flaw("json", str(e))
        return
    yield from repository_flaws(value, text)


_PROSE = {".txt", ".md", ".jinja", ".j2", ".toml", ".yaml", ".yml", ".lock", ".cfg", ".ini", ".jsonl", ".rst"}


def _text(name: str, view: memoryview) -> Iterator[Flaw]:
    text = read_text(view)
    assert text is not None
    yield from text_flaws(text, suffix_of(name))


def _nothing(_name: str, _view: memoryview) -> Iterator[Flaw]:
    yield from ()


_RULES: Mapping[str, Callable[[str, memoryview], Iterator[Flaw]]] = {
    "empty": _nothing,
    "json": _json,
    "safetensors": lambda _name, view: safetensors_flaws(view),
    "text": _text,
}
