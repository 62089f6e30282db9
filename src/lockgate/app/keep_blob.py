"""How does a file come into the store, although its plaintext never touches a disk? Encrypted while it is received.

    pieces ──▶ segment ──▶ encrypt ──▶ store, under the digest that it is said to have
                  └──────▶ hash   ──▶ at the end: not that digest? then nothing is kept

The data key is fresh, and is wrapped before the first byte is stored. Hashing and encrypting go on at the same time.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Self

from lockgate.app.installation import Installation
from lockgate.app.open_blob import data_key
from lockgate.app.ports import Piece
from lockgate.core.wrap import Kek
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.segments import KEY, RANDOM, encrypt, make_header


def keep_blob(installation: Installation, pieces: Iterable[bytes], digest: Digest, now: datetime) -> int:
    """Keep a file encrypted and return its size; raise `VerificationError`, and keep nothing, if it is not `digest`.

    A file that is there, and that can be opened, is only compared.
    """
    held = installation.blobs.wraps(digest)
    with _Measure(digest) as measure:
        if held and is_kept(installation, digest):
            for piece in pieces:
                measure.take(memoryview(piece))
            return measure.check()
        key = secrets.token_bytes(KEY)
        wrap = installation.vault.wrap(Kek.of_ingest(now), digest, key)
        installation.blobs.put(_encrypted(pieces, key, digest, measure), digest, wrap, instead=held)
        return measure.size


def is_kept(installation: Installation, digest: Digest) -> bool:
    """Tell whether a file is there and can be opened, so that it need not be sent again."""
    if not installation.blobs.wraps(digest):
        return False
    try:
        data_key(installation, digest)
    except (DeniedError, VerificationError):
        return False
    return True


def _encrypted(pieces: Iterable[bytes], key: bytes, digest: Digest, measure: "_Measure") -> Iterator[Piece]:
    yield from encrypt(pieces, key, digest, make_header(secrets.token_bytes(RANDOM)), watch=measure.take)
    measure.check()


class _Measure:
    """Hashes parts in a thread of its own, at most one at a time, so that the next one is encrypted meanwhile."""

    def __init__(self, digest: Digest) -> None:
        self.size = 0
        self._digest, self._whole = digest, hashlib.sha256()
        self._pool, self._running = ThreadPoolExecutor(1), Future[None]()
        self._running.set_result(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_why: object) -> None:
        self._pool.shutdown()

    def take(self, part: memoryview) -> None:
        """Hash a part, which must stay as it is until the call after the next one."""
        self._running.result()
        self.size += len(part)
        self._running = self._pool.submit(self._whole.update, part)

    def check(self) -> int:
        """Return the size of all parts; raise unless together they are the digest."""
        self._running.result()
        if (found := self._whole.hexdigest()) != self._digest.hex:
            raise VerificationError(f"the bytes are sha256:{found}, not {self._digest}")
        return self.size
