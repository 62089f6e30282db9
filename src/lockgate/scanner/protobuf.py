"""Which fields does a message of protocol buffers have, read by hand? And which of three models is it?

Only what the wire format says (protobuf.dev/programming-guides/encoding): no schema, no code of others, no copy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lockgate.errors import VerificationError

VARINT, I64, LEN, I32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, how it is written, and what it holds: a number, or bytes."""

    number: int
    wire: int
    value: int
    content: memoryview


_NOTHING = memoryview(b"")


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message in their order; raise `VerificationError` where they end."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise VerificationError(f"protobuf: no field has the number {number}")
        if wire == VARINT:
            value, at = _varint(message, at)
            yield Field(number, wire, value, _NOTHING)
            continue
        if wire == LEN:
            size, at = _varint(message, at)
        elif wire in (I64, I32):
            size = 8 if wire == I64 else 4
        else:
            raise VerificationError(f"protobuf: field {number} is written in the form {wire}")
        if size > end - at:
            raise VerificationError(f"protobuf: field {number} ends {size - (end - at)} bytes beyond its message")
        yield Field(number, wire, 0, message[at : at + size])
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise VerificationError("protobuf: a number has no end")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise VerificationError("protobuf: a number is longer than ten bytes")


def numbers_in(field: Field) -> list[int]:
    """Read repeated numbers, packed or not."""
    if field.wire == VARINT:
        return [field.value]
    found, at = [], 0
    while at < len(field.content):
        value, at = _varint(field.content, at)
        found.append(value)
    return found


_ONNX: Mapping[int, int] = {
    1: VARINT, 2: LEN, 3: LEN, 4: LEN, 5: VARINT, 6: LEN, 7: LEN, 8: LEN, 14: LEN, 20: LEN, 25: LEN, 26: LEN
}  # fmt: skip
_SENTENCEPIECE: Mapping[int, int] = {1: LEN, 2: LEN, 3: LEN, 4: LEN, 5: LEN}
_SAVED_MODEL: Mapping[int, int] = {1: VARINT, 2: LEN}


def is_onnx(view: memoryview) -> bool:
    """Tell whether this has the fields of an ONNX model: a version, a graph, sets of operators."""
    seen = _numbers(view, _ONNX)
    return seen is not None and {1, 7} <= seen


def is_sentencepiece(view: memoryview) -> bool:
    """Tell whether this has the fields of a SentencePiece model: pieces, and how it was trained."""
    seen = _numbers(view, _SENTENCEPIECE)
    return seen is not None and {1, 2} <= seen


def is_saved_model(view: memoryview) -> bool:
    """Tell whether this has the fields of a SavedModel: the version 1, and graphs."""
    return _numbers(view, _SAVED_MODEL) == {1, 2} and bytes(view[:2]) == b"\x08\x01"


def _numbers(view: memoryview, known: Mapping[int, int]) -> set[int] | None:
    seen = set()
    try:
        for field in fields(view):
            if known.get(field.number) != field.wire:
                return None
            seen.add(field.number)
    except VerificationError:
        return None
    return seen
