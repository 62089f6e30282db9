"""How is a file replaced, so that nobody ever sees half of it?"""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from lockgate.errors import UnavailableError

_WAITING = 8  # threads that wait for the disk: what comes together becomes durable together


def sync_all(paths: Collection[Path]) -> None:
    """Make files and folders durable; raise `OSError`. They are waited for at once: a journal is written for all."""
    with ThreadPoolExecutor(_WAITING) as threads:
        list(threads.map(sync, paths))


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable; raise `OSError`."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file so that, whenever the power fails, it is the old one or the new one."""
    fresh = path.parent / f".{path.name[:200]}.{os.getpid()}"
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync(path.parent)
    except OSError as e:
        raise UnavailableError(f"cannot write {path}: {e.strerror}") from e
    finally:
        with suppress(OSError):  # it became the file, or was never made
            fresh.unlink()
