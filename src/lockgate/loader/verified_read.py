"""Are the bytes that were read the bytes that were signed?

    read into a reused buffer ──> hash ──> end of the chunk: compare ──> only now does it count
                          └─────> write (a copy of what was hashed, never a second look at the source)

A chunk has a digest of its own, so a wrong byte is found at the end of its chunk, not of its file. Ingest has checked
chunk digests and whole-file digest against each other, so chunks are enough here; a bundle without them is read whole.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.oms import FileDigest

ReadInto = Callable[[memoryview], int | None]
Write = Callable[[memoryview], None]

BUFFER = 1 << 20

_STEP = 1 << 19


def copy_verified(
    read_into: ReadInto, file: FileDigest, write: Write, *, component: str, buffer: memoryview | None = None
) -> None:
    """Read a file once, through one reused buffer, and write what was hashed; raise unless all of it was signed.

    What is written counts only when this returns.
    """
    piece = memoryview(bytearray(BUFFER)) if buffer is None else buffer
    offset = 0
    for span in _spans(file, component):
        offset += span.fill(read_into, lambda _done: piece, write, offset)
    _require_end(read_into, f"{component}/{file.name}", offset)


def read_verified(read_into: ReadInto, file: FileDigest, buffer: memoryview, *, component: str) -> Iterator[memoryview]:
    """Read a file into the caller's buffer, again and again; give each chunk only when it has been checked.

    The buffer must hold `needed_buffer(file)` bytes; `reusable_buffer` gives a good one. A chunk is good until the next
    one is asked for.
    """
    offset = 0
    spans = _spans(file, component)
    for span in spans:
        if span.length is not None and span.length > len(buffer):
            raise ValueError(f"buffer has {len(buffer)} bytes, a chunk {span.length}")
        count = span.fill(read_into, lambda done: buffer[done : done + _STEP], _forget, offset)
        if span is spans[-1]:
            _require_end(read_into, f"{component}/{file.name}", offset + count)
        yield buffer[:count]
        offset += count


def needed_buffer(file: FileDigest) -> int:
    """Say how much must be in memory before any of it is known to be right: a chunk, else the whole file."""
    sizes = [size for size in (file.size, file.chunk_size) if size is not None]
    if not sizes:
        raise UnavailableError(f"nobody signed how long {file.name} is; copy it instead")
    return min(sizes)


def reusable_buffer(size: int) -> memoryview:
    """Take memory to read into, in huge pages where the kernel has them: copying into those costs half as much."""
    memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


@dataclass(frozen=True, slots=True)
class _Span:
    """A part of a file that has a digest of its own; `length` None means up to the end."""

    where: str
    length: int | None
    wanted: bytes

    def fill(self, read_into: ReadInto, target: Callable[[int], memoryview], take: Write, offset: int) -> int:
        """Read this part piece by piece; return its length when the digest is right."""
        running, done = hashlib.sha256(), 0
        while self.length is None or done < self.length:
            piece = target(done) if self.length is None else target(done)[: self.length - done]
            if not piece:
                raise UnavailableError(f"{self.where} is longer than the buffer of {done} bytes")
            count = read_into(piece) or 0
            if not count:
                break
            running.update(piece[:count])
            take(piece[:count])
            done += count
        if self.length is not None and done < self.length:
            raise VerificationError(f"{self.where} ends at {offset + done}, before {offset + self.length}")
        if running.digest() != self.wanted:
            raise VerificationError(f"{self.where} is not what was signed: bytes {offset} to {offset + done}")
        return done


def _spans(file: FileDigest, component: str) -> list[_Span]:
    where = f"{component}/{file.name}"
    if not file.chunks:
        return [_Span(where, file.size, file.sha256.raw)]
    size, step = file.size, file.chunk_size
    if size is None or not step or len(file.chunks) != -(-size // step):
        raise VerificationError(f"{where}: {len(file.chunks)} chunks of {step} bytes do not make {size}")
    return [_Span(where, min(step, size - at * step), wanted) for at, wanted in enumerate(file.chunks)]


def _require_end(read_into: ReadInto, where: str, offset: int) -> None:
    if read_into(memoryview(bytearray(1))):
        raise VerificationError(f"{where} goes on after {offset}, where the signed file ends")


def _forget(_piece: memoryview) -> None:
    """Take nothing: the buffer already has it."""
