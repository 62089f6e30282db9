"""How are many bytes read and hashed at once?

A thread for each core takes the next piece of work, in order. `hashlib` and `preadv` let other threads run, and each
thread reads into one buffer that it uses again, so hashing costs little more than SHA-256 itself. When a piece fails
no further one is taken, but all that were taken are finished: the trouble that is raised is the first in order.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

from lockgate.errors import UnavailableError, VerificationError

Progress = Callable[[int], None]  # told how many bytes were read since last time; one thread at a time calls it
T = TypeVar("T")

_BLOCK = 256 << 10  # stays in a core's own cache between reading and hashing
_WIDE_BLOCK = 1 << 20  # for two threads that hash the same bytes
_REPORT = 4 << 20


class Reading:
    """A thread's own buffer, and its account of how far it is."""

    def __init__(self, progress: Progress | None, lock: threading.Lock, stopped: threading.Event) -> None:
        self._buffer = memoryview(bytearray(_WIDE_BLOCK))
        self._progress, self._lock, self._stopped = progress, lock, stopped
        self._unreported = 0

    def blocks(self, file: int, name: str, offset: int, size: int, *, wide: bool = False) -> Iterator[memoryview]:
        """Give `size` bytes of an open file from `offset` on; each block is valid until the next is asked for."""
        end, most = offset + size, _WIDE_BLOCK if wide else _BLOCK
        while offset < end:
            if self._stopped.is_set():
                raise UnavailableError("stopped before everything was read")
            got = os.preadv(file, [self._buffer[: min(most, end - offset)]], offset)
            if not got:
                raise VerificationError(f"changed while it was read: {name} ends at byte {offset}, not {end}")
            yield self._buffer[:got]
            offset += got
            self._unreported += got
            if self._unreported >= _REPORT or offset == end:
                self._report()

    def _report(self) -> None:
        if self._progress is not None:
            with self._lock:
                self._progress(self._unreported)
        self._unreported = 0


def at_once(work: Iterator[T], act: Callable[[T, Reading], None], progress: Progress | None) -> None:
    """Let threads act on every piece of `work`; raise the first trouble in the order of `work`."""
    turn, telling, stopped = threading.Lock(), threading.Lock(), threading.Event()
    numbers = count()
    troubles: dict[int, Exception] = {}

    def labour() -> None:
        reading = Reading(progress, telling, stopped)
        while True:
            with turn:
                piece = None if troubles else next(work, None)
                number = next(numbers)
            if piece is None:
                return
            try:
                act(piece, reading)
            except Exception as e:  # noqa: BLE001 - raised below, in the caller's thread
                with turn:
                    troubles[number] = e

    threads = max(2, os.cpu_count() or 2)
    with ThreadPoolExecutor(threads, "lockgate-read") as pool:
        try:
            for finished in [pool.submit(labour) for _ in range(threads)]:
                finished.result()
        except BaseException:
            stopped.set()  # somebody pressed Ctrl-C: do not hash gigabytes first
            raise
    if troubles:
        raise troubles[min(troubles)]
