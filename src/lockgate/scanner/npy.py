r"""Does an npy file hold numbers or texts of a fixed size, and no Python objects?

    \x93NUMPY, version, length │ a Python literal: descr, fortran_order, shape │ numbers, to the last byte

(numpy.lib.format) The literal is read by hand, because NumPy evaluates it, and an object type means a pickle follows.
"""

import re
from collections.abc import Iterator
from math import prod
from typing import TypeAlias

from lockgate.errors import VerificationError
from lockgate.scanner.scanned import Flaw

Literal: TypeAlias = "dict[str, Literal] | tuple[Literal, ...] | list[Literal] | str | int | bool"

_LONGEST = 10_000  # what NumPy takes from strangers
_DEEPEST = 8
_SCALAR = re.compile(
    r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|[SU]\d{1,9}|[mM]8(?:\[\d{0,4}[a-zA-Zμ]{1,2}\])?)"
)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^'\\\n]*'|\"[^\"\\\n]*\")|(?P<number>\d{1,18})L?|(?P<word>True|False)|(?P<mark>[][(){},:]))"
)


def npy_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong; raise `VerificationError` where the structure ends."""
    if len(view) < 12:
        raise VerificationError(f"ends at {len(view)}, within its first words")
    major, minor = view[6], view[7]
    if (major, minor) not in {(1, 0), (2, 0), (3, 0)}:
        raise VerificationError(f"has the version {major}.{minor}")
    width = 2 if major == 1 else 4
    length = int.from_bytes(view[8 : 8 + width], "little")
    begin = 8 + width + length
    if not 1 < length <= _LONGEST or begin > len(view):
        raise VerificationError(f"has a header of {length} bytes")
    try:
        header = str(view[8 + width : begin], "utf-8" if major == 3 else "latin-1")
    except UnicodeDecodeError as e:
        raise VerificationError("has a header that is not UTF-8") from e
    if not header.endswith("\n"):
        raise VerificationError("has a header that ends with no newline")
    yield from _array_flaws(read_literal(header.rstrip(" \n")), len(view) - begin)


def _array_flaws(described: Literal, found: int) -> Iterator[Flaw]:
    if not isinstance(described, dict) or described.keys() != {"descr", "fortran_order", "shape"}:
        raise VerificationError("has a header that says not exactly descr, fortran_order and shape")
    shape = described["shape"]
    if not isinstance(described["fortran_order"], bool) or not isinstance(shape, tuple) or len(shape) > 64:
        raise VerificationError("has an order or a shape that is none")
    sizes = [size for size in shape if type(size) is int]
    if len(sizes) != len(shape):
        raise VerificationError("has a shape that is not made of numbers")
    size = _size(described["descr"], 0)
    if size is None:
        yield Flaw("npy-object", "holds Python objects: a pickle follows")
    elif prod(sizes) * size != found:
        raise VerificationError(f"has {found} bytes, its shape {prod(sizes) * size}")


def _size(kind: Literal, depth: int) -> int | None:
    """Return how many bytes one element has; None: it is an object."""
    if depth > _DEEPEST:
        raise VerificationError("has types nested too deep")
    if isinstance(kind, str):
        return _scalar_size(kind)
    if not isinstance(kind, list):
        raise VerificationError("has a type that is none")
    total = 0
    for field in kind:
        if not isinstance(field, tuple) or len(field) not in (2, 3) or not isinstance(field[0], str):
            raise VerificationError("has a field that is none")
        size = _size(field[1], depth + 1)
        if size is None:
            return None
        total += size * (_times(field[2]) if len(field) == 3 else 1)
    return total


def _times(shape: Literal) -> int:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(type(size) is int for size in sizes):
        raise VerificationError("has a field whose shape is none")
    return prod(size for size in sizes if isinstance(size, int))


def _scalar_size(kind: str) -> int | None:
    bare = kind.lstrip("<>|=")
    if bare.startswith("O") or bare == "object":
        return None
    if not _SCALAR.fullmatch(kind):
        raise VerificationError(f"has the unknown type {kind[:20]!a}")
    if bare[0] in "mM":
        return 8
    return int(bare[1:]) * (4 if bare[0] == "U" else 1)


def read_literal(text: str) -> Literal:
    """Read a Python literal of dictionaries, tuples, lists, texts, whole numbers and truth values."""
    tokens = _tokens(text)
    value, rest = _value(tokens, 0, 0)
    if rest != len(tokens):
        raise VerificationError("has more than one literal")
    return value


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise VerificationError(f"has no literal at {text[at : at + 20]!a}")
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        at = found.end()
    return tokens


def _value(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Literal, int]:
    if at >= len(tokens) or depth > _DEEPEST:
        raise VerificationError("has a literal without an end")
    kind, text = tokens[at]
    if kind == "text":
        return text[1:-1], at + 1
    if kind == "number":
        return int(text), at + 1
    if kind == "word":
        return text == "True", at + 1
    return _several(tokens, at, depth)


def _several(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[Literal, int]:
    closing = {"(": ")", "[": "]", "{": "}"}.get(tokens[at][1])
    if closing is None:
        raise VerificationError(f"has a literal that begins with {tokens[at][1]}")
    values: list[Literal] = []
    named: dict[str, Literal] = {}
    at, is_one = at + 1, True
    while tokens[at : at + 1] != [("mark", closing)]:
        value, at = _value(tokens, at, depth + 1)
        if closing == "}":
            at = _member(tokens, at, depth, (value, named))
        values.append(value)
        if tokens[at : at + 1] == [("mark", ",")]:
            at, is_one = at + 1, False
        elif tokens[at : at + 1] != [("mark", closing)]:
            raise VerificationError("has a literal without an end")
    if closing == "}":
        return named, at + 1
    if closing == "]":
        return values, at + 1
    return (values[0] if is_one and values else tuple(values)), at + 1


def _member(tokens: list[tuple[str, str]], at: int, depth: int, into: tuple[Literal, dict[str, Literal]]) -> int:
    name, named = into
    if not isinstance(name, str) or name in named or tokens[at : at + 1] != [("mark", ":")]:
        raise VerificationError("has a name that is none, or is given twice")
    named[name], at = _value(tokens, at + 1, depth + 1)
    return at
