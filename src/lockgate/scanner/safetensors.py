"""Does a safetensors file hold tensors and nothing else?

    8 bytes: length of the header │ header: JSON, blanks at its end │ numbers, tensor after tensor, to the last byte

(https://github.com/huggingface/safetensors) The header says where every byte of the body belongs. A second reading of
the same bytes, a gap or a tail is where something else hides.
"""

import re
from collections.abc import Iterator, Mapping
from math import prod

from lockgate.errors import VerificationError
from lockgate.scanner.json_text import read_json
from lockgate.scanner.plain_text import secrets_in
from lockgate.scanner.scanned import Flaw

MAX_HEADER = 100_000_000  # what the reference implementation takes

_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_MAX_METADATA = 1 << 20
_BLANK = re.compile(rb"[\r\n\t]")


def is_safetensors(view: memoryview) -> bool:
    """Tell whether this begins like one: a length that fits, then an object."""
    length = int.from_bytes(view[:8], "little")
    return 2 <= length <= min(MAX_HEADER, len(view) - 8) and view[8] == 0x7B


def safetensors_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what is wrong; raise `VerificationError` where the structure ends."""
    length = int.from_bytes(view[:8], "little")
    header = bytes(view[8 : 8 + length])
    if _BLANK.search(header) or header.rstrip(b" ")[-1:] != b"}":
        raise VerificationError("the header is not one line that begins with { and ends with } and blanks")
    tensors = read_json(header.rstrip(b" "))
    assert isinstance(tensors, dict)
    if "__metadata__" in tensors:
        yield from _metadata_flaws(tensors.pop("__metadata__"))
    spans = sorted(_span(name, about) for name, about in tensors.items())
    at = 0
    for begin, end, name in spans:
        if begin != at:
            raise VerificationError(f"tensor {name[:80]!a} begins at {begin}, not at {at}: a gap or an overlap")
        at = end
    if at != len(view) - 8 - length:
        raise VerificationError(f"tensors end at {at}, the body at {len(view) - 8 - length}")


def _metadata_flaws(metadata: object) -> Iterator[Flaw]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise VerificationError("__metadata__ is not an object of texts")
    if sum(len(key) + len(value) for key, value in metadata.items()) > _MAX_METADATA:
        yield Flaw("safetensors", f"__metadata__ is larger than {_MAX_METADATA} characters")
    for key, value in metadata.items():
        yield from secrets_in(f"{key} = {value}")


def _span(name: str, about: object) -> tuple[int, int, str]:
    if not isinstance(about, dict) or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise VerificationError(f"tensor {name[:80]!a} has not exactly dtype, shape and data_offsets")
    shape, offsets, bits = about["shape"], about["data_offsets"], _BITS.get(str(about["dtype"]))
    if bits is None:
        raise VerificationError(f"tensor {name[:80]!a} has the unknown dtype {str(about['dtype'])[:20]!a}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise VerificationError(f"tensor {name[:80]!a}: shape and offsets are not numbers that fit")
    wanted = prod(shape) * bits
    if wanted % 8 or offsets[1] - offsets[0] != wanted // 8:
        raise VerificationError(f"tensor {name[:80]!a} has {offsets[1] - offsets[0]} bytes, its shape {wanted / 8:g}")
    return offsets[0], offsets[1], name


def _are_counts(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(type(n) is int and 0 <= n < 2**63 for n in value)
