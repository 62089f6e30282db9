"""Does every reader of this zip see the same files?

    local header, data │ local header, data │ … │ central directory │ end record, to the last byte

Readers differ in which of two headers they believe, and from which end they begin (APPNOTE.TXT §4.3). Here both must
say the same, nothing may lie before, between or behind, and what is unpacked must have the size and sum promised.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from lockgate.errors import VerificationError

MOST_ENTRIES = 100_000
MOST_BYTES = 1 << 32  # of one member, unpacked
WORST_RATIO = 200

_END, _CENTRAL, _LOCAL, _DESCRIPTOR = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08"
_UTF8, _DESCRIBED = 0x0800, 0x0008
_STORED, _DEFLATED = 0, 8
_LINK = 0xA000


@dataclass(frozen=True, slots=True)
class Entry:
    """One member, as both of its headers describe it."""

    name: str
    method: int
    crc: int
    packed: memoryview
    size: int

    def unpacked(self) -> memoryview:
        """Return the content; raise `VerificationError` if it is not what was promised."""
        if self.method == _STORED:
            content = self.packed
        else:
            machine = zlib.decompressobj(-15)
            try:
                content = memoryview(machine.decompress(self.packed, self.size + 1))
            except zlib.error as e:
                raise VerificationError(f"{self.name!a} cannot be unpacked: {e}") from e
            if not machine.eof or machine.unused_data:
                raise VerificationError(
                    f"{self.name!a} is unpacked to more or less than the {self.size} bytes promised"
                )
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise VerificationError(f"{self.name!a} has not the size and the CRC that were promised")
        return content


def entries(view: memoryview) -> list[Entry]:
    """Read a zip; raise `VerificationError` for anything that two readers could read differently."""
    end = len(view) - 22
    if end < 0 or view[end : end + 4] != _END:
        raise VerificationError("no end record at the very end: a comment, a suffix, or no zip")
    if any(view[end + 4 : end + 8]) or view[end + 8 : end + 10] != view[end + 10 : end + 12] or any(view[end + 20 :]):
        raise VerificationError("the end record speaks of several disks, or of a comment")
    count, size, at = _number(view, end + 10, 2), _number(view, end + 12, 4), _number(view, end + 16, 4)
    if at + size != end or count > MOST_ENTRIES or 0xFFFFFFFF in (size, at):
        raise VerificationError("the central directory does not end where the end record begins, or is zip64")
    found, spans = list[Entry](), list[tuple[int, int]]()
    for _ in range(count):
        entry, span, at = _central(view, at, end)
        found.append(entry)
        spans.append(span)
    if at != end:
        raise VerificationError("the central directory has more or fewer entries than it says")
    _check_spans([*spans, (end - size, end)])
    _check_names([entry.name for entry in found])
    return found


def _check_spans(spans: list[tuple[int, int]]) -> None:
    begin = 0
    for first, last in sorted(spans):
        if first != begin:
            raise VerificationError(f"bytes {min(begin, first)} to {max(begin, first)} are of no member, or of two")
        begin = last


def _number(view: memoryview, at: int, size: int) -> int:
    return int.from_bytes(view[at : at + size], "little")


def _central(view: memoryview, at: int, end: int) -> tuple[Entry, tuple[int, int], int]:
    if at + 46 > end or view[at : at + 4] != _CENTRAL:
        raise VerificationError("an entry of the central directory is none")
    flags, method = _number(view, at + 8, 2), _number(view, at + 10, 2)
    crc, packed, size = _number(view, at + 16, 4), _number(view, at + 20, 4), _number(view, at + 24, 4)
    lengths = [_number(view, at + offset, 2) for offset in (28, 30, 32)]
    after = at + 46 + sum(lengths)
    name = _name(view[at + 46 : at + 46 + lengths[0]])
    if after > end or lengths[2] or _number(view, at + 34, 2):
        raise VerificationError(f"{name!a} has a comment, or lies on another disk")
    if flags & ~(_UTF8 | _DESCRIBED) or method not in (_STORED, _DEFLATED):
        raise VerificationError(f"{name!a} has the flags {flags:#06x} and the method {method}")
    if (_number(view, at + 38, 4) >> 16) & 0xF000 == _LINK:
        raise VerificationError(f"{name!a} is a symbolic link")
    if size > MOST_BYTES or (size > 1 << 20 and size > WORST_RATIO * max(packed, 1)):
        raise VerificationError(f"{name!a} is unpacked from {packed} to {size} bytes: a bomb")
    begin = _number(view, at + 42, 4)
    wanted = {"name": name, "flags": flags, "method": method, "crc": crc, "packed": packed, "size": size}
    data, last = _local(view, begin, end, wanted)
    return Entry(name, method, crc, view[data : data + packed], size), (begin, last), after


def _local(view: memoryview, at: int, end: int, wanted: Mapping[str, object]) -> tuple[int, int]:
    """Compare a local header with the central one; return where its data begin, and where the member ends."""
    if at + 30 > end or view[at : at + 4] != _LOCAL:
        raise VerificationError(f"{wanted['name']!a} has no local header at {at}")
    length, more = _number(view, at + 26, 2), _number(view, at + 28, 2)
    found: dict[str, object] = {
        "name": _name(view[at + 30 : at + 30 + length]),
        "flags": _number(view, at + 6, 2),
        "method": _number(view, at + 8, 2),
    }
    sums = {"crc": _number(view, at + 14, 4), "packed": _number(view, at + 18, 4), "size": _number(view, at + 22, 4)}
    if sums["packed"] == sums["size"] == 0xFFFFFFFF:
        sums |= _large(view[at + 30 + length : at + 30 + length + more])
    described = bool(_number(view, at + 6, 2) & _DESCRIBED)
    if not (described and not any(sums.values())):
        found |= sums
    if any(wanted[name] != value for name, value in found.items()):
        raise VerificationError(f"{wanted['name']!a}: its local header says something else than the central directory")
    data, packed = at + 30 + length + more, wanted["packed"]
    assert isinstance(packed, int)
    last = data + packed
    return data, last + (_descriptor(view, last, wanted) if described else 0)


def _large(extra: memoryview) -> dict[str, int]:
    """Read the sizes out of a zip64 field (APPNOTE.TXT §4.5.3)."""
    if len(extra) < 20 or _number(extra, 0, 2) != 1:
        raise VerificationError("a local header has no sizes")
    return {"size": _number(extra, 4, 8), "packed": _number(extra, 12, 8)}


def _descriptor(view: memoryview, at: int, wanted: Mapping[str, object]) -> int:
    signed = 4 if view[at : at + 4] == _DESCRIPTOR else 0
    for width in (4, 8):
        sums = [_number(view, at + signed + 4 + width * number, width) for number in (0, 1)]
        if [_number(view, at + signed, 4), *sums] == [wanted["crc"], wanted["packed"], wanted["size"]]:
            return signed + 4 + 2 * width
    raise VerificationError(f"{wanted['name']!a}: what follows its data says something else than the central directory")


def _name(raw: memoryview) -> str:
    try:
        name = str(raw, "utf-8")
    except UnicodeDecodeError as e:
        raise VerificationError("a member has a name that is not UTF-8") from e
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or "\\" in name or ":" in name or {"", ".", ".."} & set(parts):
        raise VerificationError(f"a member is called {name[:80]!a}")
    return name


def _check_names(names: list[str]) -> None:
    folded = [name.casefold().rstrip("/") for name in names]
    if len(set(folded)) != len(folded):
        raise VerificationError("two members have one name")
