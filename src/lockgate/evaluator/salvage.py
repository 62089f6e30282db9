"""What did a job leave? Its regular files, read when nothing of it is alive any more.

Nothing races with this reading: the job is dead, and its disk is seen by nobody else. No link is followed, nothing that
is no regular file is opened, and no more is read than the job was allowed to write.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

_MOST_FILES, _DEEPEST = 1000, 8
_LONGEST_NAME = 1024


class TooMuchError(Exception):
    """It left more than it may."""


def read_files(folder: int, most: int) -> dict[str, bytes]:
    """Read every regular file below an open folder; raise `TooMuchError` past `most` bytes, or too many files."""
    found: dict[str, bytes] = {}
    for name, parent, leaf in _walk(folder, "", 0):
        if (content := _read(parent, leaf, most)) is None:
            continue
        most -= len(content)
        found[name] = content
        if len(found) > _MOST_FILES:
            raise TooMuchError
    return found


def _walk(folder: int, above: str, depth: int) -> Iterator[tuple[str, int, str]]:
    with os.scandir(folder) as entries:
        listed = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for leaf, is_folder in listed:
        name = f"{above}{leaf}"
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            continue
        if not is_folder:
            yield name, folder, leaf
        elif depth < _DEEPEST:
            with suppress(PermissionError):
                below = os.open(leaf, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                try:
                    yield from _walk(below, f"{name}/", depth + 1)
                finally:
                    os.close(below)


def _read(folder: int, leaf: str, most: int) -> bytes | None:
    """Read one file; None if it is no regular file, or hides from its owner."""
    if not stat.S_ISREG(os.stat(leaf, dir_fd=folder, follow_symlinks=False).st_mode):
        return None
    try:
        opened = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except PermissionError:
        return None
    with os.fdopen(opened, "rb") as file:
        if os.fstat(opened).st_size > most:
            raise TooMuchError
        return file.read(most)
