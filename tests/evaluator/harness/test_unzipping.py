"""Is a member of an archive unpacked to the size that it states, and never further?"""

import sys
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.evaluator.harness.unzipping import ZSTD, unzipped
from tests.evaluator.harness.reports import VECTORS

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

WORDS = b"what was asked, and what was answered; " * 99
MOST = 1 << 20
BOMB = bytes(64 << 20)


def raw_deflate(content):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKED = {0: lambda content: content, zipfile.ZIP_DEFLATED: raw_deflate, ZSTD: zstd.compress}


def archive(packed, content, method, *, size=None, flags=0, name="a.json"):
    """Write an archive of one member by hand, so that it may state anything."""
    stated = len(content) if size is None else size
    about = [flags.to_bytes(2, "little"), method.to_bytes(2, "little"), bytes(4)]
    about += [number.to_bytes(4, "little") for number in (zlib.crc32(content), len(packed), stated)]
    about += [len(name).to_bytes(2, "little"), bytes(2)]
    local = b"PK\x03\x04" + b"\x14\0" + b"".join(about) + name.encode() + packed
    listed = b"PK\x01\x02" + b"\x14\0\x14\0" + b"".join(about) + bytes(14) + name.encode()
    sizes = len(listed).to_bytes(4, "little") + len(local).to_bytes(4, "little")
    return local + listed + b"PK\x05\x06" + bytes(4) + b"\x01\0\x01\0" + sizes + bytes(2)


@pytest.mark.parametrize("method", PACKED)
def test_a_member_is_unpacked_by_each_method(method):
    assert unzipped(archive(PACKED[method](WORDS), WORDS, method), MOST) == {"a.json": WORDS}
    assert unzipped(archive(PACKED[method](b""), b"", method), MOST) == {"a.json": b""}


def test_frames_that_follow_each_other_are_one_member():
    frames = zstd.compress(WORDS) + zstd.compress(b"") + zstd.compress(b"the rest")

    assert unzipped(archive(frames, WORDS + b"the rest", ZSTD), MOST) == {"a.json": WORDS + b"the rest"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, ZSTD])
def test_what_states_less_than_it_holds_is_refused_before_it_takes_memory(method):
    bomb = archive(PACKED[method](BOMB), BOMB, method, size=1000)
    tracemalloc.start()
    try:
        with pytest.raises(VerificationError, match="not what the archive states"):
            unzipped(bomb, MOST)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def test_what_states_how_much_it_is_is_refused_unread():
    with pytest.raises(VerificationError, match="unpacks to more than"):
        unzipped(archive(b"", b"", ZSTD, size=MOST + 1), MOST)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (archive(zstd.compress(WORDS), WORDS + b"!", ZSTD), "not what the archive states"),
        (archive(zstd.compress(WORDS), WORDS[1:] + b"!", ZSTD), "not what the archive states"),
        (archive(zstd.compress(WORDS)[:-9], WORDS, ZSTD), "not what the archive states"),
        (archive(zstd.compress(WORDS) + b"more", WORDS, ZSTD), "not packed with zstd"),
        (archive(WORDS, WORDS, ZSTD), "not packed with zstd"),
        (archive(WORDS, WORDS, zipfile.ZIP_DEFLATED), "not a whole archive"),
        (archive(WORDS, WORDS[:-1], 0), "not what the archive states"),
        (archive(WORDS, WORDS, 12), "packed by method 12"),
        (archive(WORDS, WORDS, 0, flags=1), "encrypted"),
        (b"PK\x03\x04", "not a whole archive"),
        (archive(WORDS, WORDS, 0).replace(b"PK\x03\x04", b"PK\x03\x05"), "not where it should be"),
    ],
)
def test_what_is_not_as_it_states_is_refused(written, reason):
    with pytest.raises(VerificationError, match=reason):
        unzipped(written, MOST)


def test_without_a_way_to_unpack_zstd_the_ways_out_are_said(monkeypatch):
    monkeypatch.setitem(sys.modules, zstd.__name__, None)

    with pytest.raises(
        VerificationError, match=r"pip install 'lockgate\[inspect\]', or .* `inspect log convert --to json`"
    ):
        unzipped(archive(zstd.compress(WORDS), WORDS, ZSTD), MOST)


REAL = (VECTORS / "two.eval").read_bytes()


@given(at=st.integers(0, len(REAL) - 1), byte=st.integers(0, 255))
def test_a_byte_that_is_another_is_refused_or_changes_nothing_but_names(at, byte):
    spoilt = REAL[:at] + bytes([byte]) + REAL[at + 1 :]
    try:
        found = unzipped(spoilt, MOST)
    except VerificationError:
        return
    assert sorted(found.values()) == sorted(unzipped(REAL, MOST).values())
