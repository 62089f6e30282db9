"""How are key-encryption keys kept in files, when there is nothing better? Apart from the database and the store.

    FOLDER/              0700
    ├── LABEL            0600, 32 random bytes, written once
    ├── LABEL.gone       that the key was destroyed: nobody makes it again
    └── lock             held while a key is made or destroyed

A key is read each time it is needed, so one that was destroyed is of no use from that moment on, to any process.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lockgate.core.wrap import NONCE, Kek, Wrap, destroyed, unwrap_key, wrap_key
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.loader.whole_file import sync

_SECRET = 32
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalVault:
    """Port `Vault`, kept in the directory `folder`. Several processes may share it."""

    assurance = (
        "software: keys are files of this machine, which root and its backups can read; "
        "one that is destroyed is overwritten and removed, which drives and snapshots may outlive"
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _naming(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync(folder.parent)

    def wrap(self, kek: Kek, blob: Digest, key: bytes) -> Wrap:
        """Wrap a data key under a key that is there, or that is made now."""
        secret = self._find(kek) or self._make(kek)
        return wrap_key(secret, secrets.token_bytes(NONCE), kek, blob, key)

    def unwrap(self, wrap: Wrap, blob: Digest) -> bytes:
        """Unwrap a data key."""
        secret = self._find(wrap.kek)
        if secret is None:
            raise UnavailableError(f"the vault at {self._folder} has no key {wrap.kek}")
        return unwrap_key(secret, wrap, blob)

    def destroy(self, kek: Kek) -> None:
        """Write down that the key is gone, then overwrite and remove it."""
        place = self._folder / kek.label
        with self._locked():
            _write(self._gone(kek), b"", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
            sync(self._folder)
            if place.exists():
                _write(place, secrets.token_bytes(_SECRET), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                place.unlink()
                sync(self._folder)

    def _find(self, kek: Kek) -> bytes | None:
        with _naming(self._folder):
            if os.path.lexists(self._gone(kek)):
                raise destroyed(kek)
            try:
                descriptor = os.open(self._folder / kek.label, _READ)
            except FileNotFoundError:
                return None
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a Path cannot be opened without following links
                secret = file.read(_SECRET + 1)
        if len(secret) != _SECRET:
            raise UnavailableError(f"the key {kek} in the vault has {len(secret)} bytes, not {_SECRET}")
        return secret

    def _make(self, kek: Kek) -> bytes:
        with self._locked():
            found = self._find(kek)
            if found is not None:
                return found
            secret, draft = secrets.token_bytes(_SECRET), self._folder / f".{secrets.token_hex(8)}"
            try:
                _write(draft, secret, _CREATE)
                draft.rename(self._folder / kek.label)
            finally:
                draft.unlink(missing_ok=True)
            sync(self._folder)
            return secret

    def _gone(self, kek: Kek) -> Path:
        return self._folder / f"{kek.label}.gone"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _naming(self._folder):
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)


def _write(path: Path, content: bytes, flags: int) -> None:
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise UnavailableError(f"the vault at {folder} cannot be used: {e.strerror}") from e
