"""What is in a zip archive that somebody else packed? Each member, unpacked to the size that it states and no further.

    directory of the archive ──▶ stated sizes, within a limit ──▶ unpacked to that size ──▶ its CRC-32, or refused

`zipfile` of Python trusts a stated size only after it has unpacked all there is; so members are unpacked here. Three
methods: stored, deflated, and zstd (method 93), with which Inspect packs its logs.
"""

import importlib
import io
import sys
import zipfile
import zlib
from collections.abc import Mapping
from types import ModuleType

from lockgate.errors import VerificationError

ZSTD = 93  # APPNOTE 4.4.5
_LOCAL = b"PK\x03\x04"  # APPNOTE 4.3.7: 26 bytes on are the lengths of name and extra field, and then those
_LOCAL_SIZE, _NAME_AT, _EXTRA_AT = 30, 26, 28
_ENCRYPTED = 0x1
_MOST_FRAMES = 1024
_BROKEN = (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, RuntimeError, TypeError, zlib.error)


def unzipped(archive: bytes, most: int) -> Mapping[str, bytes]:
    """Unpack every member; raise `VerificationError` for what is no whole archive, or states more than `most` bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as listed:
            entries = listed.infolist()
        if len({entry.filename for entry in entries}) < len(entries) or sum(e.file_size for e in entries) > most:
            raise VerificationError(f"the archive names a member twice, or unpacks to more than {most} bytes")
        return {entry.filename: _member(archive, entry) for entry in entries}
    except _BROKEN as e:
        raise VerificationError(f"not a whole archive: {str(e)[:100]!a}") from e


def _member(archive: bytes, entry: zipfile.ZipInfo) -> bytes:
    start, name = entry.header_offset, entry.filename[:80]
    local = archive[start : start + _LOCAL_SIZE]
    if len(local) < _LOCAL_SIZE or not local.startswith(_LOCAL) or entry.flag_bits & _ENCRYPTED:
        raise VerificationError(f"member {name!a} is not where it should be, or encrypted")
    start += _LOCAL_SIZE + int.from_bytes(local[_NAME_AT:_EXTRA_AT], "little")
    start += int.from_bytes(local[_EXTRA_AT:], "little")
    packed = archive[start : start + entry.compress_size]
    content = _unpacked(packed, entry)
    if (len(packed), len(content)) != (entry.compress_size, entry.file_size) or zlib.crc32(content) != entry.CRC:
        raise VerificationError(f"member {name!a} is not what the archive states of it")
    return content


def _unpacked(packed: bytes, entry: zipfile.ZipInfo) -> bytes:
    """Unpack a member to one byte more than it states, at most."""
    most = entry.file_size + 1
    if entry.compress_type == zipfile.ZIP_STORED:
        return packed[:most]
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
    if entry.compress_type == ZSTD:
        return _frames(packed, most)
    raise VerificationError(f"member {entry.filename[:80]!a} is packed by method {entry.compress_type}")


def _frames(packed: bytes, most: int) -> bytes:
    """Unpack frames of zstd that follow each other (RFC 8878 §3): Inspect writes several for a large member."""
    zstd = _zstd()
    content = b""
    for _ in range(_MOST_FRAMES):
        one = zstd.ZstdDecompressor()
        try:
            content += one.decompress(packed, max_length=most - len(content))
        except zstd.ZstdError as e:
            raise VerificationError(f"not packed with zstd: {str(e)[:100]!a}") from e
        if not one.eof or not one.unused_data or len(content) >= most:
            break
        packed = one.unused_data
    return content


def _zstd() -> ModuleType:
    try:
        return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError as e:
        ways = "pip install 'lockgate[inspect]', or have it unpacked by `inspect log convert --to json`"
        raise VerificationError(f"it is packed with zstd, which Python itself cannot unpack: {ways}") from e
