"""How does an installation live in PostgreSQL? The log, what follows from it, documents and checkpoints.

The server is `lockgate_app`, a role that may let the log grow and nothing else; the owner migrates and rebuilds. What
is read comes from the primary, so it is never behind an acknowledged append.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import lru_cache

from lockgate.app.ports import Measured, Memo, Receipt, Transaction, View
from lockgate.core.journal import State, Subject
from lockgate.core.presence import Presence, Voice
from lockgate.core.report import Counted, Report
from lockgate.drivers.postgres.act import Act, check_document, read_documents, read_state
from lockgate.drivers.postgres.connections import Connections
from lockgate.drivers.postgres.fences import Fences
from lockgate.drivers.postgres.gauges import Gauges
from lockgate.drivers.postgres.schema import migrate, rebuild_projections
from lockgate.drivers.postgres.stored_hashes import read_hashes
from lockgate.drivers.postgres.views import Views
from lockgate.drivers.postgres.voices import Voices
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.tlog.merkle import CompactRange, Hash

__all__ = ["Postgres", "migrate", "rebuild_projections"]

_BATCH = 1024
_TILES_KEPT = 256

_RECEIPT = "SELECT first, stop FROM append_key WHERE digest = %s"
_FIND = "SELECT state FROM object WHERE kind = %s AND key = %s"
_LISTING = """
    SELECT state FROM object
    WHERE kind = %(kind)s AND starts_with(key, %(prefix)s)
        AND first > coalesce((SELECT first FROM object WHERE kind = %(kind)s AND key = %(after)s), -1)
    ORDER BY first LIMIT %(limit)s::bigint
"""
_HEAD = "SELECT size, peaks FROM head"
_ENTRIES = "SELECT idx, body FROM entry WHERE idx >= %s::bigint AND idx < %s::bigint ORDER BY idx"
_NEWEST = "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1"
_PUBLISH = "INSERT INTO checkpoint (size, root, note) VALUES (%s::bigint, %s, %s) ON CONFLICT (size) DO NOTHING"
_ROOT_OF = "SELECT root FROM checkpoint WHERE size = %s::bigint"


class Postgres:
    """Ports `Ledger`, `Catalog`, `History`, `Reads`, `Checkpoints`, `Reports`, `Presences` and `Controllers`.

    `source` is the origin of the log, written into each entry. At most `connections` are used at a time; whoever gets
    none within `patience` seconds gets `UnavailableError`.
    """

    def __init__(self, conninfo: str, source: str, *, connections: int = 8, patience: float = 3) -> None:
        self._source = source
        self._connections = Connections(conninfo, most=connections, patience=patience)
        self._views = Views(self._connections)
        self._fences, self._gauges = Fences(self._connections), Gauges(self._connections)
        self._voices = Voices(self._connections)
        # A tile's first hashes never change, not even those of a tile that is not full yet.
        self._tile = lru_cache(maxsize=_TILES_KEPT)(self._read_tile)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def renewals(self) -> int:
        """Return how many connections were made so far."""
        return self._connections.made

    def view(self, subjects: Collection[Subject]) -> View:
        """Return states of one instant."""
        return self._views.view(subjects)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin an act. It holds no connection until it appends."""
        return nullcontext(Act(self._connections, self._source))

    def receipt(self, key: Digest) -> Receipt | None:
        """Return the receipt of the append with this `key`."""
        rows = self._connections.ask(_RECEIPT, (key.raw,))
        return Receipt(*rows[0]) if rows else None

    def find(self, subject: Subject) -> State | None:
        """Return what is true of `subject`."""
        rows = self._connections.ask(_FIND, (subject.kind, subject.key))
        return read_state(subject.kind, rows[0][0]) if rows else None

    def listing(self, kind: str, *, prefix: str = "", after: str = "", limit: int = 100) -> Sequence[State]:
        """Return states of one kind, in order of their first entry."""
        asked = {"kind": kind, "prefix": prefix, "after": after, "limit": limit}
        return [read_state(kind, state) for (state,) in self._connections.ask(_LISTING, asked)]

    def document(self, digest: Digest) -> bytes:
        """Return a kept document."""
        return check_document(digest, read_documents(self._connections, [digest]).get(digest))

    def size(self) -> int:
        """Return how many entries the log has."""
        return self._head().size

    def root(self) -> tuple[int, Hash]:
        """Return the size and the root hash of the log."""
        head = self._head()
        return head.size, head.root()

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield entries, some at a time; raise `VerificationError` where one is missing."""
        while start < stop:
            rows = self._connections.ask(_ENTRIES, (start, min(start + _BATCH, stop)))
            for expected, (index, body) in enumerate(rows, start):
                if index != expected:
                    raise VerificationError(f"log entry {expected} is missing; there is a later one")
                yield body
            start += len(rows)
            if not rows:
                if start < min(stop, self.size()):
                    raise VerificationError(f"log entry {start} is missing")
                return

    def tile(self, level: int, n: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile."""
        return self._tile(level, n, width)

    def newest(self) -> str | None:
        """Return the note of the largest checkpoint."""
        rows = self._connections.ask(_NEWEST)
        return rows[0][0] if rows else None

    def publish(self, note: str, size: int, root: Hash) -> None:
        """Keep a checkpoint."""
        with self._connections.connection() as connection:
            connection.execute(_PUBLISH, (size, root, note))
        if (kept := self.root_of(size)) != root:
            was = kept.hex() if kept else "nothing"
            raise VerificationError(f"a checkpoint of size {size} has root {was}, not {root.hex()}")

    def root_of(self, size: int) -> Hash | None:
        """Return the root that was published for `size`."""
        rows = self._connections.ask(_ROOT_OF, (size,))
        return Hash(rows[0][0]) if rows else None

    def take(self, report: Report, counted: Sequence[Counted]) -> int:
        """Keep what a node counted."""
        return self._gauges.take(report, counted)

    def measured(self, endpoint: Endpoint) -> Sequence[Measured]:
        """List what nodes counted at an endpoint."""
        return self._gauges.measured(endpoint)

    def attend(self, presence: Presence, at: datetime) -> bool:
        """Keep what a host says that runs there."""
        return self._voices.attend(presence, at)

    def voices(self, endpoint: Endpoint) -> Sequence[Voice]:
        """List who spoke of an endpoint."""
        return self._voices.voices(endpoint)

    def claim(self, subject: str, holder: str, seconds: float) -> int | None:
        """Take a subject for a controller."""
        return self._fences.claim(subject, holder, seconds)

    def recall(self, subject: str) -> Memo | None:
        """Return what a controller remembered."""
        return self._fences.recall(subject)

    def remember(self, subject: str, fence: int, document: bytes) -> None:
        """Remember something for a controller."""
        self._fences.remember(subject, fence, document)

    def _head(self) -> CompactRange:
        rows = self._connections.ask(_HEAD)
        if len(rows) != 1:
            raise UnavailableError(f"the log has {len(rows)} heads, not 1")
        size, peaks = rows[0]
        return CompactRange.decode(size.to_bytes(8, "big") + peaks)

    def _read_tile(self, level: int, n: int, width: int) -> bytes:
        return read_hashes(self._connections.ask, level, n, width)
