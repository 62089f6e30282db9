"""Does a GGUF file hold keys, values and tensors that fill it exactly, and a chat template that only lays out?

    magic, version, counts │ keys and values │ name, shape, type, offset of each tensor │ padding │ numbers

(ggml/docs/gguf.md, versions 2 and 3, little endian.) Each count is believed only as far as the file has bytes for it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from lockgate.errors import VerificationError
from lockgate.scanner.chat_template import template_flaws
from lockgate.scanner.plain_text import secrets_in
from lockgate.scanner.scanned import Flaw

_SIZES: Mapping[int, int] = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_U32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
_MOST_KEYS, _MOST_TENSORS, _MOST_ITEMS = 65_536, 1_000_000, 50_000_000
_LONGEST_TEXT = 1 << 24
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,256}")
# (numbers in a block, bytes of a block) of each type (ggml.h)
_BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82),
    23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


def gguf_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong; raise `VerificationError` where the structure ends."""
    reader = _Reader(view, 4)
    version, tensors, keys = reader.number(4), reader.number(8), reader.number(8)
    if version not in (2, 3):
        raise VerificationError(f"has the version {version}, not 2 or 3")
    if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
        raise VerificationError(f"has {tensors} tensors and {keys} keys: too many")
    alignment, names = 32, set[str]()
    for _ in range(keys):
        key = reader.text()
        if not _KEY.fullmatch(key) or key in names:
            raise VerificationError(f"key {key[:60]!a} is given twice, or is no key")
        names.add(key)
        kind = reader.number(4)
        if key == "general.alignment":
            alignment = _alignment(reader, kind)
        else:
            yield from reader.value(key, kind)
    _check_tensors([reader.tensor() for _ in range(tensors)], reader, alignment)


def _alignment(reader: "_Reader", kind: int) -> int:
    value = reader.number(4) if kind == _U32 else 0
    if value < 8 or value & (value - 1) or value > 1 << 20:
        raise VerificationError(f"general.alignment is {value}")
    return value


def _check_tensors(tensors: list["_Tensor"], reader: "_Reader", alignment: int) -> None:
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise VerificationError("a tensor is given twice")
    begin = _up(reader.at, alignment)
    reader.check_zeros(begin if tensors else len(reader.view))
    at = 0
    for tensor in sorted(tensors, key=lambda each: each.offset):
        if tensor.offset != _up(at, alignment):
            raise VerificationError(f"tensor {tensor.name[:80]!a} begins at {tensor.offset}, not {_up(at, alignment)}")
        if begin + tensor.offset + tensor.size > len(reader.view):
            raise VerificationError(f"tensor {tensor.name[:80]!a} ends beyond the file")
        reader.at = begin + at
        reader.check_zeros(begin + tensor.offset)
        at = tensor.offset + tensor.size
    reader.at = begin + at if tensors else reader.at
    if len(reader.view) not in (reader.at, begin + _up(at, alignment)):
        raise VerificationError(f"tensors end at {reader.at}, the file at {len(reader.view)}")
    reader.check_zeros(len(reader.view))


def _up(at: int, alignment: int) -> int:
    return -(-at // alignment) * alignment


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    offset: int
    size: int


@dataclass(slots=True)
class _Reader:
    """Takes one thing after the other; raises where the file ends before."""

    view: memoryview
    at: int

    def take(self, size: int) -> memoryview:
        if size > len(self.view) - self.at:
            raise VerificationError(f"ends at {len(self.view)}, before {self.at + size}")
        self.at += size
        return self.view[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self) -> str:
        size = self.number(8)
        if size > _LONGEST_TEXT:
            raise VerificationError(f"a text has {size} bytes")
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError as e:
            raise VerificationError(f"a text at {self.at - size} is not UTF-8") from e

    def check_zeros(self, end: int) -> None:
        if end - self.at >= 1 << 21 or any(self.take(max(0, end - self.at))):
            raise VerificationError(f"what fills up to {end} is not zeros")

    def value(self, key: str, kind: int) -> Iterator[Flaw]:
        if kind == _STRING:
            yield from _text_flaws(key, self.text())
        elif kind == _ARRAY:
            yield from self.array(key)
        else:
            self.scalar(kind)

    def scalar(self, kind: int) -> None:
        size = _SIZES.get(kind)
        if size is None:
            raise VerificationError(f"a value has the unknown type {kind}")
        found = self.take(size)
        if kind == _BOOL and found[0] > 1:
            raise VerificationError(f"a truth value is {found[0]}")

    def array(self, key: str) -> Iterator[Flaw]:
        kind, count = self.number(4), self.number(8)
        if kind == _STRING:
            if count > _MOST_ITEMS:
                raise VerificationError(f"a list has {count} texts")
            for _ in range(count):
                self.skip_text(key)
            return
        if (size := _SIZES.get(kind)) is None:
            raise VerificationError(f"a list holds the type {kind}")
        self.take(size * count)
        yield from ()

    def skip_text(self, key: str) -> None:
        """Pass by a text of a list: tokens may be any bytes, everything else is text."""
        size = self.number(8)
        found = self.take(size)
        if key.startswith("tokenizer.ggml."):
            return
        try:
            str(found, "utf-8")
        except UnicodeDecodeError as e:
            raise VerificationError(f"a text at {self.at - size} is not UTF-8") from e

    def tensor(self) -> _Tensor:
        name, dimensions = self.text(), self.number(4)
        if not name or len(name) > 256 or not name.isprintable() or dimensions > 4:
            raise VerificationError(f"tensor {name[:80]!a} has {dimensions} dimensions")
        shape = [self.number(8) for _ in range(dimensions)]
        kind, offset = self.number(4), self.number(8)
        block, size = _BLOCKS.get(kind, (0, 0))
        if not block or any(not 0 < each < 2**40 for each in shape) or (shape and shape[0] % block):
            raise VerificationError(f"tensor {name[:80]!a} has the type {kind} and the shape {shape}")
        return _Tensor(name, offset, prod(shape) // block * size)


def _text_flaws(key: str, text: str) -> Iterator[Flaw]:
    if key.startswith("tokenizer.chat_template"):
        yield from template_flaws(text)
    yield from secrets_in(text)
