"""How do the files that hosts follow lie in a folder? As any static web server, or a stick, can give them on.

    FOLDER/timestamp.json    the only file that changes, and the last one that is written
           N.root.json  N.targets.json  N.snapshot.json  N.revocations.json
           targets/SHA256.trust.json  …policy.json  …deny.json
           signed/SHA256.trust.json   …policy.json      the signed envelopes of the same documents

A crash leaves the old timestamp, and files that nothing points to yet.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lockgate.core.metadata import TIMESTAMP, check_place
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import tuf
from lockgate.loader.whole_file import sync_all


class TufFolder:
    """Port `Updates`, kept in a folder. Several processes may publish into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, files: Mapping[str, bytes], timestamp: bytes) -> bool:
        """Write what is missing, then the timestamp."""
        with self._alone():
            held = self.read(TIMESTAMP)
            if held is not None and _version(timestamp) <= _version(held):
                return False
            self._add({place: content for place, content in files.items() if self._lacks(place, content)}, timestamp)
            return True

    def read(self, name: str) -> bytes | None:
        """Return a file."""
        try:
            return (self.folder / check_place(name)).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise UnavailableError(f"cannot read {self.folder / name}: {e.strerror}") from e

    def _lacks(self, place: str, content: bytes) -> bool:
        held = self.read(place)
        if held not in (None, content):
            raise VerificationError(f"{self.folder / place} is there with other content: it must never change")
        return held is None

    def _add(self, files: Mapping[str, bytes], timestamp: bytes) -> None:
        """Write files that are not there yet: all durable before any has its name, all names before the timestamp's."""
        last = self.folder / TIMESTAMP
        paths = [self.folder / place for place in files]
        try:
            for path, content in zip([*paths, last], [*files.values(), timestamp], strict=True):
                _draft(path).write_bytes(content)
            sync_all([_draft(path) for path in (*paths, last)])
            for path in paths:
                _draft(path).replace(path)
            sync_all({path.parent for path in paths})
            _draft(last).replace(last)
            sync_all([self.folder])
        except OSError as e:
            raise UnavailableError(f"cannot write into {self.folder}: {e.filename}: {e.strerror}") from e

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            for folder in (self.folder, self.folder / "targets", self.folder / "signed"):
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise UnavailableError(f"cannot write into {self.folder}: {e.strerror}") from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _version(timestamp: bytes) -> int:
    return tuf.version(tuf.parse(timestamp).signed)
