"""How does an act change the log and all that follows from it, in one commit, or not at all?

    load, load …     each on a connection of its own; remembers the version that it saw
    append           BEGIN, lock head, ask for the key and for the versions now          one round trip
                     write entries, objects, documents, key, tiles, head; COMMIT          one round trip

The lock on `head` puts all appends in one order and is held for one commit. Under it nothing can change, so if every
object that was loaded still has its version, the act happened as if it had run alone (optimistic, hence serialisable).
Only one state can be wrong after a lost connection: the append was done and nobody heard. Its key tells.
"""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from psycopg.rows import TupleRow

from lockgate.app.ports import Receipt
from lockgate.core.journal import STATES, Event, State, Subject, evolve, subject_of, write_fact
from lockgate.drivers.postgres.connections import Connection, Connections
from lockgate.drivers.postgres.stored_hashes import read_hashes
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.cloudevent import CloudEvent, encode_entry
from lockgate.formats.digest import Digest
from lockgate.tlog.merkle import CompactRange, leaf_hashes
from lockgate.tlog.tiles import Tile, new_tiles

_LOAD = "SELECT version, state FROM object WHERE kind = %s AND key = %s"
_DOCUMENT = "SELECT body FROM document WHERE digest = %s"
_LOCK = "SELECT size, peaks, last_time FROM head FOR UPDATE"
_DONE = "SELECT first, stop FROM append_key WHERE digest = %s"
_NOW = """
    SELECT kind, key, version, CASE WHEN wanted THEN state END
    FROM unnest(%s::text[], %s::text[], %s::bool[]) AS asked (kind, key, wanted) JOIN object USING (kind, key)
"""
_WRITE = """
    WITH kept AS (
        INSERT INTO document (digest, body) SELECT * FROM unnest(%b::bytea[], %b::bytea[]) ON CONFLICT DO NOTHING
    ), logged AS (
        INSERT INTO entry (idx, leaf_hash, body)
        SELECT %s::bigint + place - 1, leaf_hash, body
        FROM unnest(%b::bytea[], %b::bytea[]) WITH ORDINALITY AS t (leaf_hash, body, place)
    ), keyed AS (
        INSERT INTO append_key (digest, first, stop) VALUES (%b, %s::bigint, %s::bigint)
    ), evolved AS (
        INSERT INTO object (kind, key, first, version, state)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %b::bytea[])
        ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, state = excluded.state
    )
    UPDATE head SET size = %s::bigint, peaks = %b, last_time = %s
"""
_TILES = "INSERT INTO tile (level, n, root, hashes) VALUES (%s, %s, %b, %b)"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be appended: by whom, for which signed document, at what time, into which log."""

    events: Sequence[Event]
    actor: str
    key: Digest
    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class _Head:
    tree: CompactRange
    last_time: datetime | None


@dataclass(frozen=True, slots=True)
class _Object:
    state: State
    first: int
    version: int


@dataclass(slots=True)
class _Draft:
    """What an append will write."""

    entries: list[bytes] = field(default_factory=list)
    objects: dict[Subject, _Object] = field(default_factory=dict)


class Act:
    """One act on the log (port `Transaction`)."""

    def __init__(self, connections: Connections, source: str) -> None:
        self._connections = connections
        self._source = source
        self._read: dict[Subject, tuple[int | None, State | None]] = {}
        self._kept: dict[Digest, bytes] = {}
        self._appended = False

    def load(self, subject: Subject) -> State | None:
        """Return what is true of `subject`, and remember which version that was."""
        if subject not in self._read:
            rows = self._connections.ask(_LOAD, (subject.kind, subject.key))
            self._read[subject] = (rows[0][0], read_state(subject.kind, rows[0][1])) if rows else (None, None)
        return self._read[subject][1]

    def document(self, digest: Digest) -> bytes:
        """Return a document, also one that is about to be kept."""
        kept = self._kept.get(digest)
        return kept if kept is not None else read_document(self._connections, digest)

    def keep(self, document: bytes) -> Digest:
        """Keep a document when the append commits."""
        digest = Digest.of(document)
        self._kept[digest] = document
        return digest

    def append(self, events: Sequence[Event], *, actor: str, key: Digest, at: datetime) -> Receipt:
        """Append, or return the receipt of the append that had this key."""
        assert events, "an append has events"
        assert not self._appended, "one act appends once"
        order = Order(events, actor, key, at, self._source)
        with self._connections.connection() as connection:
            receipt = self._append(connection, order)
        self._appended = True
        return receipt

    def _append(self, connection: Connection, order: Order) -> Receipt:
        about = {subject_of(event, -1) for event in order.events}  # -1: what only comes to be has no state yet
        unseen = {subject for subject in about if subject.kind in STATES} - self._read.keys()
        head, done, now = _lock(connection, order.key, [*self._read, *unseen], len(self._read))
        if done is not None:
            connection.rollback()
            return done
        self._check_unchanged({subject: version for subject, (version, _) in now.items()})
        states = {subject: state for subject, (_, state) in self._read.items()}
        states |= {subject: state for subject, (_, state) in now.items() if subject in unseen}
        draft, last_time = _draft(order, head, states)
        _write(connection, order.key, head.tree, draft, (self._kept, last_time))
        return Receipt(head.tree.size, head.tree.size + len(draft.entries))

    def _check_unchanged(self, now: dict[Subject, int]) -> None:
        for subject, (version, _) in self._read.items():
            if now.get(subject) != version:
                raise ConflictError(f"{subject} changed since it was read: at {version}, now at {now.get(subject)}")


def read_state(kind: str, stored: bytes) -> State:
    """Read the stored state of an object."""
    known = STATES.get(kind)
    if known is None:
        raise VerificationError(f"the database holds an object of the unknown kind {kind[:64]!a}")
    return plain.decode(known, stored, limit=max(len(stored), 1))


def read_document(connections: Connections, digest: Digest) -> bytes:
    """Return a kept document, if it still is what was kept."""
    rows = connections.ask(_DOCUMENT, (digest.raw,))
    if not rows:
        raise UnavailableError(f"document {digest} is not here")
    body: bytes = rows[0][0]
    if Digest.of(body) != digest:
        raise VerificationError(f"document {digest} was altered")
    return body


def _lock(
    connection: Connection, key: Digest, subjects: Sequence[Subject], seen: int
) -> tuple[_Head, Receipt | None, dict[Subject, tuple[int, State | None]]]:
    """Lock the head; then, and so not before, read what is there. States come along for subjects after `seen`."""
    kinds, keys = [each.kind for each in subjects], [each.key for each in subjects]
    with connection.pipeline():
        connection.execute("BEGIN")
        locked = connection.execute(_LOCK, binary=True, prepare=True)
        done = connection.execute(_DONE, (key.raw,), prepare=True)
        asked = (kinds, keys, [place >= seen for place in range(len(subjects))])
        now = connection.execute(_NOW, asked, binary=True, prepare=True)
    size, peaks, last_time = _only(locked.fetchall())
    head = _Head(CompactRange.decode(size.to_bytes(8, "big") + peaks), last_time)
    receipts = [Receipt(first, stop) for first, stop in done.fetchall()]
    versions = {
        Subject(kind, key): (version, None if state is None else read_state(kind, state))
        for kind, key, version, state in now.fetchall()
    }
    return head, receipts[0] if receipts else None, versions


def _only(rows: Sequence[TupleRow]) -> TupleRow:
    if len(rows) != 1:
        raise UnavailableError(f"the log has {len(rows)} heads, not 1")
    return rows[0]


def _draft(order: Order, head: _Head, states: dict[Subject, State | None]) -> tuple[_Draft, datetime]:
    at = order.at.astimezone(UTC)
    at = at if head.last_time is None else max(at, head.last_time)
    draft = _Draft()
    for index, event in enumerate(order.events, head.tree.size):
        subject = subject_of(event, index)
        draft.entries.append(_entry(order, event, subject, at))
        state = evolve(states.get(subject), event, index, at)
        if state is not None:
            before = draft.objects.get(subject)
            states[subject] = state
            draft.objects[subject] = _Object(state, before.first if before else index, index)
    return draft, at


def _entry(order: Order, event: Event, subject: Subject, at: datetime) -> bytes:
    salt = secrets.token_hex(16)
    return encode_entry(
        write_fact(
            event, CloudEvent(str(uuid.uuid4()), order.source, "", str(subject), at, order.actor, order.key, salt, {})
        )
    )


def _write(
    connection: Connection, key: Digest, tree: CompactRange, draft: _Draft, rest: tuple[dict[Digest, bytes], datetime]
) -> None:
    documents, last_time = rest
    leaves = leaf_hashes(draft.entries)
    grown = tree.extend(leaves)

    def tile(level: int, n: int, width: int) -> bytes:
        return read_hashes(lambda query, params: connection.execute(query, params).fetchall(), level, n, width)

    tiles = new_tiles(tree.size, leaves, tile)
    objects = draft.objects
    with connection.pipeline():
        for each in tiles:
            connection.execute(_TILES, _row(each), prepare=True)
        connection.execute(
            _WRITE,
            (
                [digest.raw for digest in documents],
                [*documents.values()],
                tree.size,
                leaves,
                draft.entries,
                key.raw,
                tree.size,
                grown.size,
                [subject.kind for subject in objects],
                [subject.key for subject in objects],
                [each.first for each in objects.values()],
                [each.version for each in objects.values()],
                [plain.encode(each.state) for each in objects.values()],
                grown.size,
                b"".join(grown.peaks),
                last_time,
            ),
            prepare=True,
        )
        connection.execute("COMMIT")


def _row(tile: Tile) -> tuple[int, int, bytes, bytes]:
    return tile.level, tile.n, tile.root, tile.hashes
