"""How does a directory hold files by their digest, so that each is whole or absent, whatever crashes?

    ROOT/                    0700
    ├── ab/cd/abcd…          0444, by SHA-256 in hex; renamed here when it was whole, verified and on the disk
    └── growing/             what is being written; its writer holds a lock on it, so what is not locked is left over

A blob that is there was verified when it was written. Whoever reads it verifies it again: a disk is not to be trusted.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest


class LocalStore:
    """Port `Blobs`, kept in the directory `root`. Several processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._growing = root / "growing"
        with _naming(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._growing.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(root.parent)
            self._sweep()

    def put(self, pieces: Iterable[bytes], digest: Digest) -> int:
        """Store a file: on the disk under another name first, under its own when it is whole."""
        if self.has(digest):
            return _consume(pieces, digest)
        with self._grow() as (descriptor, path):
            size = _consume(pieces, digest, descriptor)
            with _naming(path):
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
                place = self._place(digest)
                place.parent.parent.mkdir(mode=0o700, exist_ok=True)
                place.parent.mkdir(mode=0o700, exist_ok=True)
                path.rename(place)
                for folder in (place.parent, place.parent.parent, self._root):
                    _sync_folder(folder)
        return size

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob; a link in its place is refused."""
        place = self._place(digest)
        try:
            descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as e:
            if e.errno == errno.ELOOP:
                raise VerificationError(f"blob {digest} is a link, not a file") from e
            raise UnavailableError(f"blob {digest} is not here: {e.strerror}") from e
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise VerificationError(f"blob {digest} is not a file")
        return os.fdopen(descriptor, "rb")

    def has(self, digest: Digest) -> bool:
        """Tell whether the blob is there."""
        try:
            return stat.S_ISREG(self._place(digest).lstat().st_mode)
        except FileNotFoundError:
            return False
        except OSError as e:
            raise UnavailableError(f"blob {digest} cannot be looked for: {e.strerror}") from e

    def _place(self, digest: Digest) -> Path:
        return self._root / digest.hex[:2] / digest.hex[2:4] / digest.hex

    @contextmanager
    def _grow(self) -> Iterator[tuple[int, Path]]:
        path = self._growing / secrets.token_hex(16)
        with _naming(path):
            descriptor = _open_locked(path)
        try:
            yield descriptor, path
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what writers that are no more have left."""
        for path in self._growing.iterdir():
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # somebody swept it between the two calls


def _consume(pieces: Iterable[bytes], digest: Digest, descriptor: int | None = None) -> int:
    """Hash all pieces, and write them if there is where to; raise unless together they are `digest`."""
    whole, size = hashlib.sha256(), 0
    for piece in pieces:
        whole.update(piece)
        size += len(piece)
        if descriptor is not None:
            _write(descriptor, piece)
    if (found := whole.hexdigest()) != digest.hex:
        raise VerificationError(f"the bytes are sha256:{found}, not {digest}")
    return size


def _write(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as e:
        raise UnavailableError(f"the blob could not be written: {e.strerror}") from e


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise UnavailableError(f"the blob store at {path} cannot be written: {e.strerror}") from e
