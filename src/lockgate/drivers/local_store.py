"""How does a directory hold encrypted files by their digest, so that each is whole or absent, whatever crashes?

    ROOT/                    0700
    ├── ab/cd/abcd…          0444, the ciphertext, by the SHA-256 of the plaintext; renamed here when it was on the disk
    ├── ab/cd/abcd….wraps/   its data key, wrapped: one file for each key that opens it, called by the key's label
    ├── growing/             what is being written; its writer holds a lock on it, so what is not locked is left over
    └── lock                 held for the moment in which something becomes visible

A file becomes visible after its first wrap is on the disk, and a file without any wrap is not there: so no crash leaves
one that nobody can open. Whoever reads it verifies it: a disk is not to be trusted.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lockgate.app.ports import Piece
from lockgate.core.wrap import Kek, Wrap
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.loader.whole_file import sync

_LARGEST_WRAP = 4096


class LocalStore:
    """Port `Blobs`, kept in the directory `root`. Several processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._growing = root / "growing"
        with _naming(root):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._growing.mkdir(mode=0o700, exist_ok=True)
            sync(root.parent)
            self._sweep()

    def put(self, pieces: Iterable[Piece], digest: Digest, wrap: Wrap, *, instead: Mapping[Kek, bytes]) -> None:
        """Store a file: on the disk under another name first, under its own when its wrap is on the disk as well."""
        with self._grow() as (descriptor, path):
            for piece in pieces:
                _write(descriptor, piece)
            with _naming(path):
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
            with self._locked(), _naming(path):
                if self.wraps(digest) == instead:
                    self._show(path, digest, wrap)

    def wraps(self, digest: Digest) -> Mapping[Kek, bytes]:
        """Return the wraps of a file; none for a file that is not there."""
        if not self._has(digest):
            return {}
        folder = self._wraps(digest)
        try:
            places = [place for place in folder.iterdir() if not place.name.startswith(".")]
            return {Kek(place.name): _read_small(place) for place in places}
        except FileNotFoundError:
            return {}
        except OSError as e:
            raise UnavailableError(f"the wraps of blob {digest} cannot be read: {e.strerror}") from e

    def add(self, digest: Digest, wrap: Wrap) -> None:
        """Add a wrap to a file that is there."""
        with self._locked(), _naming(self._wraps(digest)):
            if not self.wraps(digest):
                raise UnavailableError(f"blob {digest} is not here")
            self._write_wrap(digest, wrap)

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

    def _has(self, digest: Digest) -> bool:
        try:
            return stat.S_ISREG(self._place(digest).lstat().st_mode)
        except FileNotFoundError as e:
            if not self._growing.is_dir():
                raise UnavailableError(f"the blob store at {self._root} is not there") from e
            return False
        except OSError as e:
            raise UnavailableError(f"blob {digest} cannot be looked for: {e.strerror}") from e

    def _show(self, path: Path, digest: Digest, wrap: Wrap) -> None:
        """Make a file visible: away with one that nobody can open, then the wrap, then the name."""
        place = self._place(digest)
        for folder in (place.parent.parent, place.parent, self._wraps(digest)):
            folder.mkdir(mode=0o700, exist_ok=True)
        place.unlink(missing_ok=True)
        sync(place.parent)
        for old in self._wraps(digest).iterdir():
            old.unlink()
        self._write_wrap(digest, wrap)
        path.rename(place)
        for folder in (place.parent, place.parent.parent, self._root):
            sync(folder)

    def _write_wrap(self, digest: Digest, wrap: Wrap) -> None:
        folder = self._wraps(digest)
        draft = folder / f".{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o400)
        try:
            _write(descriptor, wrap.wrapped)
            os.fsync(descriptor)
            draft.rename(folder / wrap.kek.label)
        finally:
            os.close(descriptor)
            with suppress(FileNotFoundError):
                draft.unlink()
        sync(folder)

    def _wraps(self, digest: Digest) -> Path:
        place = self._place(digest)
        return place.with_name(f"{place.name}.wraps")

    def _place(self, digest: Digest) -> Path:
        return self._root / digest.hex[:2] / digest.hex[2:4] / digest.hex

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _naming(self._root):
            lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

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


def _read_small(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LARGEST_WRAP)
    finally:
        os.close(descriptor)


def _write(descriptor: int, piece: Piece) -> None:
    left = memoryview(piece)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError as e:
        raise UnavailableError(f"the blob could not be written: {e.strerror}") from e


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise UnavailableError(f"the blob store at {path} cannot be written: {e.strerror}") from e
