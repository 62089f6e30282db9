"""Is this content of a kind that is allowed, and well formed? The rules of every format, behind one question.

name, bytes ──▶ which format? ──▶ its rules ──▶ flaws, and what it claims of files beside it
                      └─ none that is known ──▶ refused, unless a model claims it as its numbers
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lockgate.errors import VerificationError
from lockgate.scanner.gguf import gguf_flaws
from lockgate.scanner.hdf5 import hdf5_flaws
from lockgate.scanner.json_text import read_json
from lockgate.scanner.npy import npy_flaws
from lockgate.scanner.onnx import onnx_flaws
from lockgate.scanner.pickle_profile import pickle_file_flaws
from lockgate.scanner.plain_text import read_text, text_flaws
from lockgate.scanner.polyglot import polyglot_flaws
from lockgate.scanner.recognition import name_flaws, recognise, suffix_of
from lockgate.scanner.repository import repository_flaws
from lockgate.scanner.safetensors import safetensors_flaws
from lockgate.scanner.saved_model import saved_model_flaws
from lockgate.scanner.scanned import Claim, Flaw
from lockgate.scanner.sentencepiece import sentencepiece_flaws
from lockgate.scanner.zip_structure import entries
from lockgate.scanner.zipped import archive_flaws, keras_flaws, torch_flaws

UNKNOWN = "unknown"
NUMBERS = "numbers"  # raw, which a model beside them claims
_WIDEST_GAP = 1 << 16  # runtimes begin a tensor at a page

Rule = Callable[[str, memoryview], Iterator[Flaw | Claim]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a file is, what is wrong with it, and which bytes of others it takes."""

    format: str
    flaws: tuple[Flaw, ...]
    claims: tuple[Claim, ...] = ()


def judge(name: str, view: memoryview) -> Judgement:
    """Say which format the content has, and what is wrong with it."""
    found = recognise(view)
    said = list(dict.fromkeys(_said(name, view, found)))
    flaws = tuple(each for each in said if isinstance(each, Flaw))
    return Judgement(found, flaws, tuple(each for each in said if isinstance(each, Claim)))


def judge_numbers(name: str, view: memoryview, claims: Iterable[Claim]) -> Judgement:
    """Judge content of no known format that models claim: all of it must be theirs, and no other reader called for."""
    return Judgement(NUMBERS, (*name_flaws(name, NUMBERS), *_unclaimed(view, claims), *polyglot_flaws(view)))


def judge_variables(view: memoryview) -> Judgement:
    """Judge content of no known format that lies among the variables of a SavedModel."""
    excused = Flaw("saved-model", "holds variables of a SavedModel", "saved-model")
    return Judgement("saved-model", (excused, *polyglot_flaws(view)))


def _unclaimed(view: memoryview, claims: Iterable[Claim]) -> Iterator[Flaw]:
    at = 0
    for claim in [*sorted(claims, key=lambda each: each.begin), Claim("", len(view), len(view))]:
        gap = view[at : claim.begin]
        if len(gap) > _WIDEST_GAP or any(gap):
            yield Flaw("onnx-external", f"bytes {at} to {claim.begin} are of no tensor")
        at = max(at, claim.end)
    if at > len(view):
        yield Flaw("onnx-external", f"ends at {len(view)}, its tensors at {at}")


def _said(name: str, view: memoryview, found: str) -> Iterator[Flaw | Claim]:
    yield from name_flaws(name, found)
    rule = _RULES.get(found)
    if rule is None:
        yield Flaw(found, _REFUSED.get(found, f"{found} is not among what is accepted"))
        return
    try:
        yield from rule(name, view)
    except VerificationError as e:
        yield Flaw(found, str(e))
    if found not in _PACKED:
        yield from polyglot_flaws(view)


_REFUSED = {
    UNKNOWN: "its content is of no format that is known",
    "compressed": "is compressed: what is in it cannot be looked at; unpack it",
    "tar": "is a tar archive: what is in it cannot be looked at; unpack it",
}
_PACKED = {"zip", "torch", "keras", "archive", "pickle", "joblib", "native-code", "bytecode"}


def _json(name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    text = read_text(view)
    assert text is not None
    is_prose = suffix_of(name) in _PROSE
    if is_prose:
        yield from text_flaws(text, suffix_of(name))
    try:
        yield from repository_flaws(read_json(bytes(view)), text)
    except VerificationError as e:
        if not is_prose:
            yield Flaw("json", str(e))


_PROSE = {".txt", ".md", ".jinja", ".j2", ".toml", ".yaml", ".yml", ".lock", ".cfg", ".ini", ".jsonl", ".rst"}


def _text(name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    text = read_text(view)
    assert text is not None
    yield from text_flaws(text, suffix_of(name))


def _zip(_name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    entries(view)
    yield Flaw("zip", "is a zip that readers do not agree about")


def _torch(_name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    yield from torch_flaws(view) if bytes(view[:2]) == b"PK" else pickle_file_flaws(view)


def _keras(_name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    yield from keras_flaws(view) if bytes(view[:2]) == b"PK" else hdf5_flaws(view)


def _archive(_name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    def inner(name: str, content: memoryview) -> tuple[str, tuple[Flaw, ...]]:
        judged = judge(name, content)
        return judged.format, judged.flaws

    yield from archive_flaws(view, inner)


def _class(what: str, excuse: str) -> Rule:
    def rule(_name: str, _view: memoryview) -> Iterator[Flaw | Claim]:
        yield Flaw(excuse, f"is {what}", excuse)

    return rule


def _nothing(_name: str, _view: memoryview) -> Iterator[Flaw | Claim]:
    yield from ()


def _alone(flaws: Callable[[memoryview], Iterator[Flaw]]) -> Rule:
    return lambda _name, view: iter(flaws(view))


_RULES: Mapping[str, Rule] = {
    "archive": _archive,
    "bytecode": _class("bytecode of Python", "python"),
    "empty": _nothing,
    "gguf": _alone(gguf_flaws),
    "joblib": _alone(pickle_file_flaws),
    "json": _json,
    "keras": _keras,
    "native-code": _class("machine code", "native-code"),
    "npy": _alone(npy_flaws),
    "onnx": onnx_flaws,
    "pickle": _alone(pickle_file_flaws),
    "safetensors": _alone(safetensors_flaws),
    "saved-model": _alone(saved_model_flaws),
    "sentencepiece": _alone(sentencepiece_flaws),
    "text": _text,
    "torch": _torch,
    "zip": _zip,
}
