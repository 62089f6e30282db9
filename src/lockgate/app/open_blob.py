"""How is a file of the store read? With its data key, which somebody in the vault must still be able to unwrap.

A release that is registered has a wrap of its own for every file. If it has lost one (a file was lost and uploaded
again) it gets a new one, from any that still opens. A release whose key was destroyed gets none, ever.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO

from lockgate.app.installation import Installation
from lockgate.app.ports import Blobs
from lockgate.core.wrap import Kek, Wrap
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.segments import Opened

_THREADS = 2


def data_key(installation: Installation, digest: Digest) -> bytes:
    """Return the data key of a file by any wrap that still opens; raise if none does."""
    held = installation.blobs.wraps(digest)
    if not held:
        raise UnavailableError(f"blob {digest} is not here")
    failed: list[UnavailableError | VerificationError | DeniedError] = []
    for kek in sorted(held):
        try:
            return installation.vault.unwrap(Wrap(kek, held[kek]), digest)
        except (UnavailableError, VerificationError, DeniedError) as e:
            failed.append(e)
    raise next((e for kind in (UnavailableError, VerificationError) for e in failed if isinstance(e, kind)), failed[0])


def release_keys(installation: Installation, release: Digest, blobs: Iterable[Digest]) -> Mapping[Digest, bytes]:
    """Return the data keys of a release's files, each wrapped for it, durably, before this returns."""
    return {blob: _release_key(installation, Kek.of_release(release), blob) for blob in blobs}


def rollback_key(installation: Installation, release: Digest, blob: Digest) -> bytes:
    """Return the data key of a file as a rollback would find it, and change nothing.

    Raises `VerificationError` if the vault answers and has no key for the release any more.
    """
    kek, held = Kek.of_release(release), installation.blobs.wraps(blob)
    if kek not in held:
        return data_key(installation, blob)
    try:
        return installation.vault.unwrap(Wrap(kek, held[kek]), blob)
    except UnavailableError as e:
        others = [other for other in held if other != kek]
        if any(_opens(installation, Wrap(other, held[other]), blob) for other in others):
            raise VerificationError(f"the vault answers, and not with this key: {e}") from e
        raise


@contextmanager
def plaintext(blobs: Blobs, digest: Digest, key: bytes) -> Iterator[Iterator[memoryview]]:
    """Give the pieces of a file, decrypted by several threads; each is good until the next one is asked for."""
    with blobs.open(digest) as stream, ThreadPoolExecutor(_THREADS) as pool:
        lock, length = Lock(), stream.seek(0, os.SEEK_END)

        def read_at(offset: int, into: memoryview) -> None:
            with lock:
                _read_at(stream, offset, into, digest)

        yield Opened(read_at, length, key, digest).pieces(pool.map)


def _opens(installation: Installation, wrap: Wrap, blob: Digest) -> bool:
    try:
        installation.vault.unwrap(wrap, blob)
    except (UnavailableError, VerificationError, DeniedError):
        return False
    return True


def _release_key(installation: Installation, kek: Kek, blob: Digest) -> bytes:
    held = installation.blobs.wraps(blob)
    if kek in held:
        return installation.vault.unwrap(Wrap(kek, held[kek]), blob)
    key = data_key(installation, blob)
    installation.blobs.add(blob, installation.vault.wrap(kek, blob, key))
    return key


def _read_at(stream: BinaryIO, offset: int, into: memoryview, digest: Digest) -> None:
    try:
        stream.seek(offset)
        while into:
            count = stream.readinto(into)  # type: ignore[attr-defined]
            if not count:
                raise VerificationError(f"blob {digest} became shorter while it was read")
            into = into[count:]
    except OSError as e:
        raise UnavailableError(f"blob {digest} cannot be read: {e.strerror}") from e
