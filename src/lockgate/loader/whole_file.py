"""How is a file replaced, so that nobody ever sees half of it?"""

import os
from contextlib import suppress
from pathlib import Path

from lockgate.errors import UnavailableError


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file so that, whenever the power fails, it is the old one or the new one."""
    fresh = path.parent / f".{path.name[:200]}.{os.getpid()}"
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as e:
        raise UnavailableError(f"cannot write {path}: {e.strerror}") from e
    finally:
        with suppress(OSError):  # it became the file, or was never made
            fresh.unlink()
