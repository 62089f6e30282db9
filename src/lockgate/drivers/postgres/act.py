"""How does an act change the log and all that follows from it, in one commit, or not at all?

    load, load …     each tells the object, and the head of the log in the same instant
    append           peek: head, key, versions now (left out if all loads saw one head)    a round trip
                     write all of it if the head is still that one; commit                  a round trip

Every change moves the head. So a head that did not move says that nothing did: what was read is still true, and the
act happened as if it had run alone. If it has moved, the act looks once more, now with the lock on the head, which puts
all appends in one order. Nobody holds the lock while an act thinks.

Only one thing can be unknown after a lost connection: whether the append was done. Its key tells.
"""

import re
import secrets
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from psycopg.errors import UniqueViolation
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
from lockgate.tlog.tiles import new_tiles

_STATES_KEPT = 1024
_NAMED = re.compile(rb"sha256:([0-9a-f]{64})")
_LOAD = """
    SELECT size, peaks, last_time, version, state
    FROM head LEFT JOIN object ON kind = %s AND key = %s
"""
_PEEK = """
    SELECT size, peaks, last_time, append_key.first, append_key.stop, now.kind, now.key, now.version, now.state
    FROM head
        LEFT JOIN append_key ON digest = %b
        LEFT JOIN (
            SELECT kind, key, version, CASE WHEN wanted THEN state END AS state
            FROM unnest(%s::text[], %s::text[], %s::bool[]) AS asked (kind, key, wanted) JOIN object USING (kind, key)
        ) AS now ON true
"""
_DOCUMENTS = "SELECT digest, body FROM document WHERE digest = ANY(%b::bytea[])"
_LOCK = "SELECT FROM head FOR UPDATE"
_WRITE = """
    WITH moved AS (
        UPDATE head SET size = %s::bigint, peaks = %b, last_time = %s WHERE size = %s::bigint RETURNING one
    ), kept AS (
        INSERT INTO document (digest, body)
        SELECT t.* FROM moved, unnest(%b::bytea[], %b::bytea[]) AS t ON CONFLICT DO NOTHING
    ), logged AS (
        INSERT INTO entry (idx, leaf_hash, body)
        SELECT %s::bigint + place - 1, leaf_hash, body
        FROM moved, unnest(%b::bytea[], %b::bytea[]) WITH ORDINALITY AS t (leaf_hash, body, place)
    ), keyed AS (
        INSERT INTO append_key (digest, first, stop) SELECT %b, %s::bigint, %s::bigint FROM moved
    ), evolved AS (
        INSERT INTO object (kind, key, first, version, state)
        SELECT t.* FROM moved, unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %b::bytea[]) AS t
        ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, state = excluded.state
    )
"""
_TILED = """, tiled AS (
        INSERT INTO tile (level, n, root, hashes)
        SELECT t.* FROM moved, unnest(%s::int[], %s::bigint[], %b::bytea[], %b::bytea[]) AS t
    )
"""
_MOVED = "SELECT FROM moved"


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

    at: datetime
    entries: list[bytes] = field(default_factory=list)
    objects: dict[Subject, _Object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _View:
    """What is true in one instant: the head, the receipt of our key, and the states that events are about."""

    head: _Head
    done: Receipt | None
    states: dict[Subject, State | None]


class Act:
    """One act on the log (port `Transaction`)."""

    def __init__(self, connections: Connections, source: str) -> None:
        self._connections = connections
        self._source = source
        self._read: dict[Subject, tuple[int | None, State | None]] = {}
        self._heads: dict[int, _Head] = {}
        self._kept: dict[Digest, bytes] = {}
        self._named: list[frozenset[bytes]] = []  # the digests in each loaded object
        self._stored: dict[Digest, bytes] = {}
        self._appended = False

    def load(self, subject: Subject) -> State | None:
        """Return what is true of `subject`, and remember which version that was."""
        if subject not in self._read:
            rows = self._connections.ask(_LOAD, (subject.kind, subject.key))
            head = _head(only(rows))
            version, state = rows[0][3:]
            self._heads[head.tree.size] = head
            self._read[subject] = (version, None if version is None else read_state(subject.kind, state))
            self._named.append(frozenset(_NAMED.findall(state or b"")))
        return self._read[subject][1]

    def document(self, digest: Digest) -> bytes:
        """Return a document, also one that is about to be kept."""
        kept = self._kept.get(digest)
        if kept is not None:
            return kept
        if digest not in self._stored:
            self._stored |= read_documents(self._connections, self._beside(digest))
        return check_document(digest, self._stored.get(digest))

    def _beside(self, digest: Digest) -> set[Digest]:
        """Guess what is asked for next: the documents that the same loaded object names, in the same round trip."""
        digits = digest.hex.encode()
        return {digest}.union(Digest(each.decode()) for named in self._named if digits in named for each in named)

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
            receipt = self._try(connection, order) or self._insist(connection, order)
        self._appended = True
        return receipt

    def _try(self, connection: Connection, order: Order) -> Receipt | None:
        """Append without waiting for anybody; None if the head moved meanwhile."""
        with suppress(UniqueViolation):  # of the key, which nobody has looked up if there was no peek
            return self._append(connection, order, self._view(order) or self._peek(connection, order))
        return None

    def _insist(self, connection: Connection, order: Order) -> Receipt:
        """Append under the lock on the head."""
        with connection.pipeline():
            connection.execute("BEGIN")
            connection.execute(_LOCK, prepare=True)
        receipt = self._append(connection, order, self._peek(connection, order))
        assert receipt is not None, "nobody moves a head that is locked"
        connection.execute("COMMIT")
        return receipt

    def _append(self, connection: Connection, order: Order, view: _View) -> Receipt | None:
        if view.done is not None:
            return view.done
        draft = _draft(order, view)
        if not _write(connection, order.key, view.head.tree, draft, self._kept):
            return None
        return Receipt(view.head.tree.size, view.head.tree.size + len(draft.entries))

    def _view(self, order: Order) -> _View | None:
        """Say what is true out of what was loaded, if that was all in one instant."""
        if len(self._heads) != 1 or self._unseen(order):
            return None
        (head,) = self._heads.values()
        return _View(head, None, {subject: state for subject, (_, state) in self._read.items()})

    def _peek(self, connection: Connection, order: Order) -> _View:
        """Ask what is true now; raise `ConflictError` if anything that was loaded has changed."""
        unseen = self._unseen(order)
        subjects = [*self._read, *unseen]
        kinds, keys = [each.kind for each in subjects], [each.key for each in subjects]
        asked = (order.key.raw, kinds, keys, [each in unseen for each in subjects])
        rows = connection.execute(_PEEK, asked, binary=True, prepare=True).fetchall()
        head = _head(only(rows[:1]))
        first, stop = rows[0][3:5]
        found = {Subject(kind, key): (version, state) for *_, kind, key, version, state in rows if kind is not None}
        if first is not None:
            return _View(head, Receipt(first, stop), {})
        self._check_unchanged({subject: version for subject, (version, _) in found.items()})
        states = {subject: state for subject, (_, state) in self._read.items()}
        states |= {subject: read_state(subject.kind, found[subject][1]) for subject in unseen & found.keys()}
        return _View(head, None, states)

    def _unseen(self, order: Order) -> set[Subject]:
        about = {subject_of(event, -1) for event in order.events}  # -1: what only comes to be has no state yet
        return {subject for subject in about if subject.kind in STATES} - self._read.keys()

    def _check_unchanged(self, now: dict[Subject, int]) -> None:
        for subject, (version, _) in self._read.items():
            if now.get(subject) != version:
                raise ConflictError(f"{subject} changed since it was read: at {version}, now at {now.get(subject)}")


@lru_cache(maxsize=_STATES_KEPT)
def read_state(kind: str, stored: bytes) -> State:
    """Read the stored state of an object; the same bytes are read once, because a state never changes."""
    known = STATES.get(kind)
    if known is None:
        raise VerificationError(f"the database holds an object of the unknown kind {kind[:64]!a}")
    return plain.decode(known, stored, limit=max(len(stored), 1))


def read_documents(connections: Connections, digests: Collection[Digest]) -> dict[Digest, bytes]:
    """Return those of some documents that are stored, as they are stored: see `check_document`."""
    rows = connections.ask(_DOCUMENTS, ([digest.raw for digest in digests],))
    return {Digest(digest.hex()): body for digest, body in rows}


def check_document(digest: Digest, stored: bytes | None) -> bytes:
    """Return a document that was read, if it still is what was kept."""
    if stored is None:
        raise UnavailableError(f"document {digest} is not here")
    if Digest.of(stored) != digest:
        raise VerificationError(f"document {digest} was altered")
    return stored


def only(rows: Sequence[TupleRow]) -> TupleRow:
    """Return the one row of the head."""
    if len(rows) != 1:
        raise UnavailableError(f"the log has {len(rows)} heads, not 1")
    return rows[0]


def _head(row: TupleRow) -> _Head:
    size, peaks, last_time = row[:3]
    return _Head(CompactRange.decode(size.to_bytes(8, "big") + peaks), last_time)


def _draft(order: Order, view: _View) -> _Draft:
    at = order.at.astimezone(UTC)
    at = at if view.head.last_time is None else max(at, view.head.last_time)
    draft, states = _Draft(at), dict(view.states)
    for index, event in enumerate(order.events, view.head.tree.size):
        subject = subject_of(event, index)
        draft.entries.append(_entry(order, event, subject, at))
        state = evolve(states.get(subject), event, index, at)
        if state is not None:
            before = draft.objects.get(subject)
            states[subject] = state
            draft.objects[subject] = _Object(state, before.first if before else index, index)
    return draft


def _entry(order: Order, event: Event, subject: Subject, at: datetime) -> bytes:
    salt = secrets.token_hex(16)
    return encode_entry(
        write_fact(
            event, CloudEvent(str(uuid.uuid4()), order.source, "", str(subject), at, order.actor, order.key, salt, {})
        )
    )


def _write(
    connection: Connection, key: Digest, tree: CompactRange, draft: _Draft, documents: dict[Digest, bytes]
) -> bool:
    """Write all of it, if the head is still at `tree`; tell whether it was."""
    leaves = leaf_hashes(draft.entries)
    grown, objects = tree.extend(leaves), draft.objects

    def tile(level: int, n: int, width: int) -> bytes:
        return read_hashes(lambda query, params: connection.execute(query, params).fetchall(), level, n, width)

    tiles = new_tiles(tree.size, leaves, tile)
    row = (
        *(grown.size, b"".join(grown.peaks), draft.at, tree.size),
        *([digest.raw for digest in documents], [*documents.values()]),
        *(tree.size, leaves, draft.entries),
        *(key.raw, tree.size, grown.size),
        *([subject.kind for subject in objects], [subject.key for subject in objects]),
        *([each.first for each in objects.values()], [each.version for each in objects.values()]),
        [plain.encode(each.state) for each in objects.values()],
    )
    if not tiles:
        return connection.execute(_WRITE + _MOVED, row, prepare=True).rowcount == 1
    columns = zip(*((each.level, each.n, each.root, each.hashes) for each in tiles), strict=True)
    return connection.execute(_WRITE + _TILED + _MOVED, (*row, *map(list, columns)), prepare=True).rowcount == 1
