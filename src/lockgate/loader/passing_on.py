"""How does what a model server says get out, and nothing come in by the same way?

    model server ── a pipe of its own ──▶ a thread of `run` ──▶ standard output and error of `run`

Whoever has a file open can open it again by /proc/self/fd and read it, whatever is read-only around it. So a log into
which two releases write would be a place where one reads what the other wrote; a pipe that only one writes is none.
"""

import os
import select
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

_PIECE = 1 << 16
_LAST_WORDS_SECONDS = 1.0


class PassingOn:
    """What comes out of some pipes, passed on until each of them ends."""

    def __init__(self, pipes: Iterable[tuple[IO[bytes] | None, int]]) -> None:
        """Begin to pass on each of `pipes` to a descriptor; what is no pipe goes there by itself."""
        self._threads = [
            threading.Thread(target=_pass_on, args=(pipe, to), name="said", daemon=True) for pipe, to in pipes if pipe
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait for the last words; not for long, because whoever reads them may hang."""
        for thread in self._threads:
            thread.join(_LAST_WORDS_SECONDS)


def _pass_on(pipe: IO[bytes], to: int) -> None:
    """End, and close the pipe, when nobody writes it any more, or nobody reads what is passed on."""
    with pipe, suppress(OSError):
        while piece := os.read(pipe.fileno(), _PIECE):
            _write(to, piece)


def _write(to: int, piece: bytes) -> None:
    while piece:
        try:
            piece = piece[os.write(to, piece) :]
        except BlockingIOError:
            select.select([], [to], [])
