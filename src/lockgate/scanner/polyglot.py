"""Do these bytes mean something else to another reader?

A zip is found from its end, HDF5 at 512 and its doubles, a tar by a sum, and a pickle needs no mark at all: any of them
fits around or into a file of another format.
"""

import re
import zlib
from collections.abc import Iterator

from lockgate.scanner.pickle_machine import would_call
from lockgate.scanner.scanned import Flaw

HDF5 = b"\x89HDF\r\n\x1a\n"

_END_OF_ZIP = re.compile(rb"PK\x05\x06")
_LONGEST_END = 65_535 + 22
_OCTAL = re.compile(rb"[ \x00]*([0-7]{1,8})[ \x00]*")


def polyglot_flaws(view: memoryview) -> Iterator[Flaw]:
    """Yield what else the content of a file of an accepted format would be taken for."""
    if holds_zip(view):
        yield Flaw("polyglot", "a zip archive ends in it")
    if (at := hdf5_at(view)) is not None:
        yield Flaw("polyglot", f"HDF5 begins in it, at {at}")
    if is_tar(view):
        yield Flaw("polyglot", "it is a tar archive too")
    if is_zlib(view):
        yield Flaw("polyglot", "it is compressed by zlib too")
    if course := would_call(view):
        what = next((str(called) for called in course.called if called), "something")
        yield Flaw("polyglot", f"it is a pickle too, which calls {what[:100]!a}")


def holds_zip(view: memoryview) -> bool:
    """Tell whether a reader of zips would find one: an end record with a directory before it."""
    start = max(0, len(view) - _LONGEST_END)
    tail = view[start:]
    for found in _END_OF_ZIP.finditer(tail):
        at = start + found.start()
        if at + 22 > len(view):
            continue
        size = int.from_bytes(view[at + 12 : at + 16], "little")
        entries = int.from_bytes(view[at + 10 : at + 12], "little")
        large = bytes(view[max(0, at - 20) : at][:4]) == b"PK\x06\x07"
        if large or (entries and size <= at and bytes(view[at - size : at - size + 4]) == b"PK\x01\x02"):
            return True
    return False


def is_zlib(view: memoryview) -> bool:
    """Tell whether a reader that looks for zlib (joblib goes by one letter, x) could unpack the beginning."""
    if len(view) < 8 or view[0] != 0x78 or int.from_bytes(view[:2], "big") % 31:
        return False
    machine = zlib.decompressobj()
    try:
        return bool(machine.decompress(view[: 1 << 16], 1 << 16)) or machine.eof
    except zlib.error:
        return False


def hdf5_at(view: memoryview) -> int | None:
    """Return where HDF5 begins: at 0, 512 or a double of it (HDF5 format specification §II.A); None: nowhere."""
    at = 0
    while at + 8 <= len(view):
        if bytes(view[at : at + 8]) == HDF5:
            return at
        at = 512 if at == 0 else 2 * at
    return None


def is_tar(view: memoryview) -> bool:
    """Tell whether the first block is the header of a tar archive: its sum is right (POSIX ustar)."""
    if len(view) < 512:
        return False
    written = _OCTAL.fullmatch(view[148:156])
    if written is None:
        return False
    plain = sum(view[:148]) + 8 * 0x20 + sum(view[156:512])
    negative = sum(each - 256 for each in (*view[:148], *view[156:512]) if each > 127)
    shorter = sum(each for each in (*view[:148], *view[156:512]) if each <= 127) + 8 * 0x20
    return int(written.group(1), 8) in (plain, shorter + negative)
