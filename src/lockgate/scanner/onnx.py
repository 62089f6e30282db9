"""Does an ONNX model compute with what is in it, by operators that a runtime has itself?

    ModelProto ─▶ graph ─▶ nodes ─▶ attributes ─▶ graphs inside … ; initializers ─▶ numbers here, or in a file beside
               └▶ functions, each a graph of its own

Read by hand (onnx/onnx.proto, IR version 3 to 13): a field that the schema does not have is refused. What lies in other
files is *claimed*: it must be a scanned file below the model's own folder.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from lockgate.errors import VerificationError
from lockgate.scanner.plain_text import secrets_in
from lockgate.scanner.protobuf import I32, LEN, VARINT, Field, fields, numbers_in
from lockgate.scanner.scanned import Claim, Flaw

# A custom domain is code that somebody registered; these a runtime brings along.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
# Of com.microsoft, what runs Python, loads other files, or is compiled for one machine.
_CODE = {
    "PythonOp", "PythonOpGrad", "ATen", "TritonOp", "EPContext", "ExternalGraph", "OpaqueOp", "YieldOp", "Snpe",
    "AzureAudioToText", "AzureTextToText", "OpenAIAudioToText",
}  # fmt: skip
_OWNED = ("ai.onnx", "com.microsoft", "com.ms", "org.pytorch", "trt")  # by runtimes and their extensions
_DEEPEST = 16
_MOST_FIELDS = 20_000_000

_BITS: Mapping[int, int] = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
}  # fmt: skip
_STRING = 8
_EXTERNAL = 1

_Form = Mapping[int, int | frozenset[int]]
_NUMBERS = frozenset({VARINT, LEN})  # repeated numbers may be packed, or not
_FLOATS = frozenset({I32, LEN})
_MODEL: _Form = {1: VARINT, 2: LEN, 3: LEN, 4: LEN, 5: VARINT, 6: LEN, 7: LEN, 8: LEN, 14: LEN, 25: LEN}
_GRAPH: _Form = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), LEN)
_FUNCTION: _Form = dict.fromkeys((1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14), LEN)
_NODE: _Form = dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), LEN)
_ATTRIBUTE: _Form = {
    1: LEN, 2: I32, 3: VARINT, 4: LEN, 5: LEN, 6: LEN, 7: _FLOATS, 8: _NUMBERS, 9: LEN, 10: LEN, 11: LEN, 13: LEN,
    14: LEN, 15: LEN, 20: VARINT, 21: LEN, 22: LEN, 23: LEN,
}  # fmt: skip
_SPARSE: _Form = {1: LEN, 2: LEN, 3: _NUMBERS}
_TENSOR: _Form = {
    1: _NUMBERS, 2: VARINT, 4: _FLOATS, 5: _NUMBERS, 6: LEN, 7: _NUMBERS, 8: LEN, 9: LEN, 10: frozenset({1, LEN}),
    11: _NUMBERS, 12: LEN, 13: LEN, 14: VARINT, 16: LEN,
}  # fmt: skip
_PAIR: _Form = {1: LEN, 2: LEN}
_OPSET: _Form = {1: LEN, 2: VARINT}
_PLACES = {"location", "offset", "length", "checksum"}


def onnx_flaws(name: str, view: memoryview) -> Iterator[Flaw | Claim]:
    """Yield what is wrong with a model, and which files beside it it takes numbers from."""
    walk = _Walk(posixpath.dirname(name))
    top = list(walk.read(view, _MODEL, "model"))
    for number in (1, 7):
        if sum(field.number == number for field in top) != 1:
            raise VerificationError(f"a model has field {number} not exactly once")
    walk.defined = frozenset(walk.name_of(field.content) for field in top if field.number == 25)
    asks = {7: lambda message: walk.graph(message, 0), 8: walk.operators, 14: walk.metadata, 25: walk.function}
    for field in top:
        if field.number in asks:
            yield from asks[field.number](field.content)


_Ask = Callable[[memoryview], Iterator[Flaw | Claim]]


def _text(field: Field) -> str:
    try:
        return str(field.content, "utf-8")
    except UnicodeDecodeError as e:
        raise VerificationError(f"field {field.number} is no text") from e


@dataclass(slots=True)
class _Walk:
    """Where the model lies, which operators it defines itself, by domain and name, and how much was read."""

    folder: str
    defined: frozenset[tuple[str, str]] = frozenset()
    seen: int = 0

    def read(self, message: memoryview, form: _Form, what: str) -> Iterator[Field]:
        """Yield the fields of a message, all of which its form must have."""
        for field in fields(message):
            self.seen += 1
            wanted = form.get(field.number)
            if field.wire != wanted and not (isinstance(wanted, frozenset) and field.wire in wanted):
                raise VerificationError(f"a {what} has no field {field.number} in the form {field.wire}")
            if self.seen > _MOST_FIELDS:
                raise VerificationError(f"has more than {_MOST_FIELDS} fields")
            yield field

    def each(self, message: memoryview, form: _Form, what: str, asks: Mapping[int, _Ask]) -> Iterator[Flaw | Claim]:
        """Ask about the fields of a message that have something to be asked."""
        for field in self.read(message, form, what):
            if (ask := asks.get(field.number)) is not None:
                yield from ask(field.content)

    def graph(self, message: memoryview, depth: int) -> Iterator[Flaw | Claim]:
        if depth > _DEEPEST:
            raise VerificationError(f"graphs are nested deeper than {_DEEPEST}")
        asks: dict[int, _Ask] = {
            1: lambda node: self.node(node, depth), 5: self.tensor, 15: self.sparse, 16: self.metadata
        }  # fmt: skip
        yield from self.each(message, _GRAPH, "graph", asks)

    def name_of(self, function: memoryview) -> tuple[str, str]:
        texts = self.texts(function, _FUNCTION, "function", 1, 10)
        return texts.get(10, ""), texts.get(1, "")

    def function(self, message: memoryview) -> Iterator[Flaw | Claim]:
        domain, name = self.name_of(message)
        if domain not in DOMAINS and domain.startswith(_OWNED):
            yield Flaw("onnx-domain", f"defines {name[:60]!a} in the domain {domain[:60]!a}, which a runtime owns")
        asks: dict[int, _Ask] = {
            7: lambda node: self.node(node, 0), 9: self.operators, 11: lambda attribute: self.attribute(attribute, 0)
        }  # fmt: skip
        yield from self.each(message, _FUNCTION, "function", asks)

    def texts(self, message: memoryview, form: _Form, what: str, *numbers: int) -> dict[int, str]:
        """Read fields of text; a reader takes the last of those that are given twice."""
        return {field.number: _text(field) for field in self.read(message, form, what) if field.number in numbers}

    def node(self, message: memoryview, depth: int) -> Iterator[Flaw | Claim]:
        texts = self.texts(message, _NODE, "node", 4, 7)
        operator, domain = texts.get(4, ""), texts.get(7, "")
        if domain not in DOMAINS and (domain, operator) not in self.defined:
            yield Flaw("onnx-domain", f"operator {operator[:60]!a} is of the domain {domain[:60]!a}, which is code")
        elif operator in _CODE and domain not in {"", "ai.onnx", "ai.onnx.ml"}:
            yield Flaw("onnx-domain", f"operator {operator[:60]!a} runs code or loads files")
        yield from self.each(message, _NODE, "node", {5: lambda attribute: self.attribute(attribute, depth)})

    def attribute(self, message: memoryview, depth: int) -> Iterator[Flaw | Claim]:
        def inner(graph: memoryview) -> Iterator[Flaw | Claim]:
            return self.graph(graph, depth + 1)

        asks = {5: self.tensor, 10: self.tensor, 6: inner, 11: inner, 22: self.sparse, 23: self.sparse}
        yield from self.each(message, _ATTRIBUTE, "attribute", asks)

    def sparse(self, message: memoryview) -> Iterator[Flaw | Claim]:
        yield from self.each(message, _SPARSE, "sparse tensor", {1: self.tensor, 2: self.tensor})

    def operators(self, message: memoryview) -> Iterator[Flaw | Claim]:
        domain = self.texts(message, _OPSET, "opset", 1).get(1, "")
        if domain not in DOMAINS and domain not in {defined for defined, _ in self.defined}:
            yield Flaw("onnx-domain", f"wants operators of the domain {domain[:60]!a}, which are code")

    def metadata(self, message: memoryview) -> Iterator[Flaw | Claim]:
        key, value = self.pair(message)
        if key == "ort_config":
            yield Flaw("onnx", "tells the runtime how to run it (ort_config)")
        yield from secrets_in(f"{key} = {value}")

    def pair(self, message: memoryview) -> tuple[str, str]:
        read = self.texts(message, _PAIR, "pair", 1, 2)
        return read.get(1, ""), read.get(2, "")

    def tensor(self, message: memoryview) -> Iterator[Flaw | Claim]:
        held: dict[int, list[Field]] = {}
        for field in self.read(message, _TENSOR, "tensor"):
            held.setdefault(field.number, []).append(field)
        if any(len(found) > 1 for number, found in held.items() if number in (2, 9, 14)):
            raise VerificationError("a tensor says twice what it is")
        wanted = _bytes_of([size for field in held.get(1, ()) for size in numbers_in(field)], _last(held, 2).value)
        raw = len(_last(held, 9).content)
        if _last(held, 14).value == _EXTERNAL or 13 in held:
            if raw or held.keys() & _HELD or _last(held, 14).value != _EXTERNAL:
                raise VerificationError("a tensor has its numbers in two places")
            yield from self.external([self.pair(field.content) for field in held.get(13, ())], wanted)
        elif 9 in held and raw != wanted:
            raise VerificationError(f"a tensor has {raw} bytes, its shape {wanted}")

    def external(self, beside: list[tuple[str, str]], wanted: int) -> Iterator[Flaw | Claim]:
        places = dict(beside)
        if len(places) != len(beside) or not places.keys() <= _PLACES or "location" not in places:
            raise VerificationError(f"external data is described by {sorted(places)[:9]}")
        location = places["location"]
        if not _is_local(location):
            yield Flaw("onnx-external", f"takes numbers from {location[:80]!a}, outside of its folder")
            return
        begin, size = _count(places.get("offset", "0")), _count(places.get("length", str(wanted)))
        if size != wanted:
            raise VerificationError(f"external data of {size} bytes is no tensor of {wanted}")
        yield Claim(posixpath.normpath(posixpath.join(self.folder, location)), begin, begin + size)


_HELD = {4, 5, 6, 7, 10, 11}
_NOTHING = Field(0, 0, 0, memoryview(b""))


def _last(held: Mapping[int, list[Field]], number: int) -> Field:
    return held[number][-1] if number in held else _NOTHING


def _bytes_of(shape: list[int], kind: int) -> int:
    if kind == _STRING:
        return 0
    bits = _BITS.get(kind)
    if bits is None:
        raise VerificationError(f"a tensor has the unknown type {kind}")
    if any(not 0 <= size < 2**40 for size in shape) or len(shape) > 64:
        raise VerificationError("a tensor has an impossible shape")
    return (prod(shape) * bits + 7) // 8


def _is_local(location: str) -> bool:
    parts = location.split("/")
    is_name = location.isprintable() and not set("\\:*") & set(location) and "_ORT_MEM_ADDR_" not in location
    return is_name and not {"", "..", "."} & set(parts)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise VerificationError(f"external data begins or ends at {text[:20]!a}")
    return int(text)
