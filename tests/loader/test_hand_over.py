"""Do signed bytes, and no others, reach the model server?"""

import fcntl
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.oms import FileDigest
from lockgate.loader.hand_over import SEALS, hand_over
from lockgate.loader.source import DirectorySource
from lockgate.loader.verified_read import copy_verified, needed_buffer, read_verified, reusable_buffer

STEP = 1000
CONTENT = bytes(range(256)) * 14


def signed(name: str, content: bytes, step: int | None = STEP) -> FileDigest:
    if step is None:
        return FileDigest(name, Digest.of(content), len(content))
    chunks = tuple(Digest.of(content[at : at + step]).raw for at in range(0, len(content), step))
    return FileDigest(name, Digest.of(content), len(content), step, chunks)


def copied(content: bytes, file: FileDigest, buffer: int = 300) -> bytes:
    taken = bytearray()
    copy_verified(
        io.BytesIO(content).readinto, file, taken.extend, component="weights", buffer=memoryview(bytearray(buffer))
    )
    return bytes(taken)


def read(content: bytes, file: FileDigest, buffer: int = STEP) -> bytes:
    pieces = read_verified(io.BytesIO(content).readinto, file, memoryview(bytearray(buffer)), component="weights")
    return b"".join(bytes(piece) for piece in pieces)


def lay_out(root: Path, files: dict[str, bytes]) -> DirectorySource:
    for where, content in files.items():
        (root / where).parent.mkdir(parents=True, exist_ok=True)
        (root / where).write_bytes(content)
    return DirectorySource(root)


def quiet(_anything: object) -> None:
    pass


def open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


kinds_of_seal = pytest.mark.parametrize(
    "file",
    [
        signed("a.bin", CONTENT),
        signed("a.bin", CONTENT, len(CONTENT)),
        signed("a.bin", CONTENT, 1 << 20),
        signed("a.bin", CONTENT, None),
        FileDigest("a.bin", Digest.of(CONTENT)),
    ],
    ids=["chunks", "one chunk", "short chunk", "whole", "size unknown"],
)


@kinds_of_seal
def test_what_was_signed_is_copied_and_read(file):
    assert copied(CONTENT, file) == CONTENT
    assert read(CONTENT, file, len(CONTENT) + 1) == CONTENT


@kinds_of_seal
@pytest.mark.parametrize(
    "spoiled",
    [b"", CONTENT[:-1], CONTENT + b"\0", b"\0" + CONTENT, CONTENT[:1999] + b"\0" + CONTENT[2000:], CONTENT[STEP:]],
    ids=["empty", "short", "long", "shifted", "one byte", "first chunk gone"],
)
def test_nothing_but_what_was_signed_is_copied_or_read(file, spoiled):
    for take in (copied, lambda content, file: read(content, file, len(CONTENT) + 2)):
        with pytest.raises(VerificationError, match=r"weights/a\.bin"):
            take(spoiled, file)


def test_the_error_says_where_the_wrong_bytes_are():
    spoiled = CONTENT[:2500] + b"\0" + CONTENT[2501:]

    with pytest.raises(VerificationError, match=r"weights/a\.bin is not what was signed: bytes 2000 to 3000"):
        copied(spoiled, signed("a.bin", CONTENT))


def test_a_source_without_an_end_is_left_at_the_signed_one():
    given_out = 0

    def endless(buffer: memoryview) -> int:
        nonlocal given_out
        buffer[:] = bytes(len(buffer))
        given_out += len(buffer)
        return len(buffer)

    with pytest.raises(VerificationError, match="goes on after 5000"):
        copy_verified(endless, signed("a.bin", bytes(5000)), quiet, component="weights")
    assert given_out == 5001


@given(content=st.binary(max_size=300), step=st.integers(1, 70), buffer=st.integers(1, 90), at=st.integers(0, 299))
def test_any_other_content_is_refused(content, step, buffer, at):
    file = signed("a.bin", content, step)
    other = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] if at < len(content) else content + b"x"

    assert copied(content, file, buffer) == content == read(content, file, max(step, 1))
    for take in (lambda: copied(other, file, buffer), lambda: read(other, file, step)):
        with pytest.raises(VerificationError):
            take()


def test_a_chunk_is_given_only_after_it_was_checked():
    spoiled = CONTENT[:1500] + b"\0" + CONTENT[1501:]
    pieces = read_verified(
        io.BytesIO(spoiled).readinto, signed("a.bin", CONTENT), memoryview(bytearray(STEP)), component="weights"
    )

    assert bytes(next(pieces)) == CONTENT[:STEP]
    with pytest.raises(VerificationError, match="1000 to 2000"):
        next(pieces)


def test_the_last_chunk_is_not_given_when_the_file_goes_on():
    pieces = read_verified(
        io.BytesIO(b"abcd").readinto, signed("a.bin", b"abc"), memoryview(bytearray(STEP)), component="weights"
    )

    with pytest.raises(VerificationError, match="goes on after 3"):
        next(pieces)


def test_a_buffer_that_is_too_small_is_never_mistaken_for_a_bad_file():
    with pytest.raises(ValueError, match="buffer has 999 bytes, a chunk 1000"):
        read(CONTENT, signed("a.bin", CONTENT), 999)
    with pytest.raises(UnavailableError, match="longer than the buffer"):
        read(CONTENT, FileDigest("a.bin", Digest.of(CONTENT)), 999)


def test_a_buffer_serves_one_file_after_another():
    buffer = reusable_buffer(STEP)
    buffer[:] = b"\xff" * STEP

    for content in (CONTENT, b"", CONTENT[:777]):
        pieces = read_verified(io.BytesIO(content).readinto, signed("a.bin", content), buffer, component="weights")
        assert b"".join(bytes(piece) for piece in pieces) == content


def test_the_buffer_needed_is_a_chunk_or_the_whole_file():
    assert needed_buffer(signed("a.bin", CONTENT)) == STEP
    assert needed_buffer(signed("a.bin", b"abc")) == 3
    assert needed_buffer(signed("a.bin", CONTENT, None)) == len(CONTENT)
    with pytest.raises(UnavailableError, match="nobody signed"):
        needed_buffer(FileDigest("a.bin", Digest.of(b"")))


@pytest.mark.parametrize(
    ("size", "step", "count"), [(None, STEP, 2), (2000, None, 2), (2000, 0, 2), (2000, STEP, 1), (2000, STEP, 3)]
)
def test_chunks_that_do_not_cover_the_file_are_refused(size, step, count):
    file = FileDigest("a.bin", Digest.of(bytes(2000)), size, step, (Digest.of(bytes(STEP)).raw,) * count)

    with pytest.raises(VerificationError, match="do not make"):
        copied(bytes(2000), file)


FILES = {
    "weights/model.safetensors": CONTENT * 9,
    "weights/deep/er/shard.bin": CONTENT,
    "config/config.json": b"{}",
    "config/empty": b"",
}
SIGNED = {
    "weights": [signed("model.safetensors", CONTENT * 9), signed("deep/er/shard.bin", CONTENT, None)],
    "config": [signed("config.json", b"{}"), signed("empty", b"")],
}


def test_memfds_hold_the_signed_bytes_and_stay_as_they_are(tmp_path):
    counted: list[int] = []
    handed = hand_over(SIGNED, lay_out(tmp_path, FILES), None, counted.append)

    assert {where: Path(path).read_bytes() for where, path in handed.paths.items()} == FILES
    assert (handed.how, handed.directory, sum(counted)) == ("memfd", None, sum(map(len, FILES.values())))
    for path, descriptor in zip(handed.paths.values(), handed.fds, strict=True):
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS == SEALS
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        for size in {0, os.fstat(descriptor).st_size + 1} - {os.fstat(descriptor).st_size}:
            with pytest.raises(PermissionError):
                os.truncate(path, size)
    handed.close()


def test_files_that_nobody_signed_stay_behind(tmp_path):
    handed = hand_over(SIGNED, lay_out(tmp_path, {**FILES, "weights/evil.pkl": b"x"}), None, quiet)

    assert handed.paths.keys() == FILES.keys()
    handed.close()


def spoil_link(root: Path) -> None:
    (root / "config/config.json").unlink()
    (root / "config/config.json").symlink_to(root / "config/copy.json")


def spoil_folder_link(root: Path) -> None:
    (root / "weights/deep").rename(root / "weights/elsewhere")
    (root / "weights/deep").symlink_to("elsewhere")


def spoil_component_link(root: Path) -> None:
    (root / "config").rename(root / "elsewhere")
    (root / "config").symlink_to("elsewhere")


def spoil_fifo(root: Path) -> None:
    (root / "config/config.json").unlink()
    os.mkfifo(root / "config/config.json")


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (lambda root: (root / "config/config.json").unlink(), "config/config.json is listed, but not there"),
        (lambda root: (root / "config/config.json").write_bytes(b"{!"), "config/config.json is not what was signed"),
        (lambda root: (root / "config/empty").write_bytes(b"!"), "config/empty goes on"),
        (lambda root: os.truncate(root / "weights/model.safetensors", 99), "ends at 99, before 1000"),
        (spoil_link, "config/config.json is not a regular file"),
        (spoil_fifo, "config/config.json is not a regular file"),
        (spoil_folder_link, "weights/deep/er/shard.bin is listed, but not there"),
        (spoil_component_link, "config/.* is listed, but not there"),
    ],
)
def test_one_bad_file_means_no_file_and_nothing_left_open(tmp_path, spoil, because):
    source = lay_out(tmp_path, {**FILES, "config/copy.json": b"{}"})
    spoil(tmp_path)
    before = open_files()

    with pytest.raises(VerificationError, match=because):
        hand_over(SIGNED, source, None, quiet)
    assert open_files() == before


@pytest.mark.parametrize("name", ["../config/config.json", "/etc/passwd", "a/./b", "a//b", "", "a\0b", "..", "a\\b"])
def test_a_name_that_leaves_the_component_opens_nothing(tmp_path, name):
    file = signed(name, b"{}")
    source = lay_out(tmp_path, FILES)

    with pytest.raises(VerificationError):
        hand_over({"weights": [file]}, source, None, quiet)


@pytest.mark.parametrize("name", ["../config/config.json", "/etc/passwd", "a/./b", "", "a\0b", ".."])
def test_a_directory_source_checks_names_itself(tmp_path, name):
    with pytest.raises(VerificationError):
        lay_out(tmp_path, FILES).open("weights", signed(name, b"{}"))


def test_the_same_file_twice_is_refused(tmp_path):
    file = signed("config.json", b"{}")

    with pytest.raises(VerificationError, match="two files have one name"):
        hand_over({"config": [file, file]}, lay_out(tmp_path, FILES), None, quiet)


def test_more_than_memory_holds_is_refused_before_anything_is_read(tmp_path):
    file = FileDigest("huge", Digest.of(b""), 1 << 50)

    with pytest.raises(UnavailableError, match="need 1127428916 MiB of memory, but only"):
        hand_over({"weights": [file]}, DirectorySource(tmp_path), None, quiet)


def test_progress_that_raises_cancels(tmp_path):
    class CancelledError(LockgateError):
        pass

    def cancel(_count: int) -> None:
        raise CancelledError

    before = open_files()

    with pytest.raises(CancelledError):
        hand_over(SIGNED, lay_out(tmp_path, FILES), None, cancel)
    assert open_files() == before


def test_a_source_that_breaks_off_is_unavailable():
    class Broken(io.BytesIO):
        def readinto(self, _buffer):
            raise OSError(5, "Input/output error")

    class BrokenSource:
        def open(self, _component, _file):
            return Broken()

    with pytest.raises(UnavailableError, match=r"weights/a\.bin: Input/output error"):
        hand_over({"weights": [signed("a.bin", CONTENT)]}, BrokenSource(), None, quiet)
