"""Where does Envoy live? In a private folder that one gateway owns at a time.

    HOME/gateway/       0700, and Envoy's working directory
    ├── feed.sock       by which it learns what it routes
    ├── admin.sock      its counters
    └── envoy.log

Sockets are reached through the open folder, so its path may be longer than a socket's (unix(7): 107 bytes), and the
folder that was locked is the one that is used.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from lockgate.drivers.envoy.bootstrap import ADMIN_SOCKET, FEED_SOCKET
from lockgate.errors import UnavailableError


class Den:
    """The folder, open and locked."""

    def __init__(self, opened: int) -> None:
        self._opened = opened

    @classmethod
    def enter(cls, path: Path) -> Self:
        """Make it private, and ours; raise `UnavailableError` if somebody lives there."""
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as e:
            raise UnavailableError(f"no place for a gateway: {e}") from e
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(opened, 0o700)
        except OSError as e:
            os.close(opened)
            raise UnavailableError(f"another gateway lives in {path}, or it is not ours: {e}") from e
        den = cls(opened)
        den._sweep()
        return den

    @property
    def folder(self) -> Path:
        """The folder as this process reaches it, whatever its path leads to by now."""
        return Path(f"/proc/self/fd/{self._opened}")

    def leave(self) -> None:
        """Take the sockets along. Leaving twice is leaving once."""
        if self._opened >= 0:
            self._sweep()
            os.close(self._opened)
            self._opened = -1

    def _sweep(self) -> None:
        for name in (FEED_SOCKET, ADMIN_SOCKET):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._opened)
