"""Where do files come from, before anybody knows whether they are the right ones?"""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.oms import FileDigest


class Reader(Protocol):
    """An open file, read from its beginning to its end."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer, or a part of it; say how much. 0 is the end."""

    def close(self) -> None:
        """Give up what was opened."""


class Source(Protocol):
    """Where files come from. It is not trusted: whatever it gives is checked.

    `open` may be called from two threads at once, and any number of times. It raises `VerificationError` when there is
    no such regular file, `UnavailableError` when that cannot be found out.
    """

    def open(self, component: str, file: FileDigest) -> Reader:
        """Open one file of a component."""


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """The files `root/COMPONENT/NAME`. Each step is opened relative to the one before, and no step is a link."""

    root: Path

    def open(self, component: str, file: FileDigest) -> io.FileIO:
        """Open a regular file beneath `root`, whatever is renamed meanwhile."""
        where = f"{component}/{file.name}"
        try:
            return io.FileIO(open_beneath(self.root, where))
        except (FileNotFoundError, NotADirectoryError) as e:
            raise VerificationError(f"{where} is listed, but not there") from e
        except OSError as e:
            raise UnavailableError(f"cannot open {where}: {e.strerror}") from e


def open_beneath(root: Path, where: str) -> int:
    """Open a regular file step by step (openat(2)); a link on the way is an error, a FIFO never blocks."""
    if any(part in ("", ".", "..") or "\0" in part for part in where.split("/")):
        raise VerificationError(f"not a path inside the component: {where[:200]!a}")
    *folders, name = where.split("/")
    above = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            os.close(above)
            above = below
        return _open_regular(name, above, where)
    finally:
        os.close(above)


def _open_regular(name: str, folder: int, where: str) -> int:
    entry = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        kind = os.fstat(entry).st_mode
        if not stat.S_ISREG(kind):
            raise VerificationError(f"{where} is not a regular file")
        return os.open(f"/proc/self/fd/{entry}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(entry)
