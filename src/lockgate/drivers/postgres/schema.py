"""Which tables are there, who made them, and does what follows from the log still follow from it?

Migrations are numbered files, run once by the owner of the database and recorded with their digest. A database that
was migrated by another program, or by a file that reads differently today, is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg.rows import TupleRow

from lockgate.core.journal import State, Subject, evolve, read_fact, subject_of
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.tlog.merkle import CompactRange, leaf_hash

_ONE_AT_A_TIME = 0x6C6F636B67617465  # the advisory lock of migrations: "lockgate"
_RECORD = "CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, name text NOT NULL, digest bytea NOT NULL)"
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered file of SQL."""

    number: int
    name: str
    sql: bytes

    @property
    def digest(self) -> bytes:
        """What the database remembers it by."""
        return Digest.of(self.sql).raw


def migrations() -> tuple[Migration, ...]:
    """List the migrations of this program, in order."""
    folder = files("lockgate.drivers") / "migrations"
    found = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".sql"))
    listed = tuple(Migration(int(name[:4]), name[5:].removesuffix(".sql"), sql) for name, sql in found)
    assert [each.number for each in listed] == [*range(1, len(listed) + 1)], "migrations are numbered from 1"
    return listed


def migrate(owner_conninfo: str, known: tuple[Migration, ...] | None = None) -> int:
    """Bring the database to the schema of this program, all or nothing; return how many migrations that took.

    What follows from the log is derived from it again, so that this program finds it in the form that it reads.
    """
    known = migrations() if known is None else known
    try:
        with psycopg.connect(owner_conninfo) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_AT_A_TIME,))
            connection.execute(_RECORD)
            done = _recorded(connection, known)
            for each in known[done:]:
                connection.execute(each.sql)
                row = (each.number, each.name, each.digest)
                connection.execute("INSERT INTO migration (number, name, digest) VALUES (%s, %s, %s)", row)
            if 0 < done < len(known):
                _rebuild(connection)
            return len(known) - done
    except psycopg.Error as e:
        raise UnavailableError(f"the database could not be migrated: {e}") from e


def check_migrated(connection: psycopg.Connection[TupleRow]) -> None:
    """Raise unless the database has exactly the schema of this program."""
    known = migrations()
    if (done := _recorded(connection, known)) < len(known):
        raise UnavailableError(f"the database has {done} of {len(known)} migrations: migrate it first")


def _recorded(connection: psycopg.Connection[TupleRow], known: tuple[Migration, ...]) -> int:
    rows = connection.execute("SELECT number, name, digest FROM migration ORDER BY number").fetchall()
    for place, (number, name, digest) in enumerate(rows):
        if place >= len(known) or number != known[place].number:
            raise VerificationError(f"the database has a migration {number} ({name}) that this program does not know")
        if bytes(digest) != known[place].digest:
            raise VerificationError(f"migration {number} ({name}) is not the one that made this database")
    return len(rows)


def rebuild_projections(owner_conninfo: str) -> int:
    """Empty what follows from the log, and derive it again from the first entry; return how many objects there are.

    Nothing is appended meanwhile. Raises `VerificationError`, and changes nothing, if the entries are not those whose
    root the head tells.
    """
    try:
        with psycopg.connect(owner_conninfo) as connection:
            return _rebuild(connection)
    except psycopg.Error as e:
        raise UnavailableError(f"the projections could not be rebuilt: {e}") from e


def _rebuild(connection: psycopg.Connection[TupleRow]) -> int:
    connection.execute("SET TIME ZONE 'UTC'")
    size, peaks = connection.execute("SELECT size, peaks FROM head FOR UPDATE").fetchall()[0]
    tree, objects = _fold(_entries(connection))
    if (tree.size, b"".join(tree.peaks)) != (size, peaks):
        raise VerificationError(f"the entries of the log are not the {size} that its head tells")
    connection.execute("TRUNCATE object")
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY object (kind, key, first, version, state) FROM STDIN") as copy,
    ):
        for subject, (state, first, version) in objects.items():
            copy.write_row((subject.kind, subject.key, first, version, plain.encode(state)))
    return len(objects)


def _entries(connection: psycopg.Connection[TupleRow]) -> Iterator[bytes]:
    with connection.cursor(name="entries", binary=True) as cursor:
        cursor.itersize = _BATCH
        cursor.execute("SELECT body FROM entry ORDER BY idx")
        for (body,) in cursor:
            yield body


def _fold(entries: Iterator[bytes]) -> tuple[CompactRange, dict[Subject, tuple[State, int, int]]]:
    tree = CompactRange()
    objects: dict[Subject, tuple[State, int, int]] = {}
    for index, entry in enumerate(entries):
        tree = tree.append(leaf_hash(entry))
        envelope, event = read_fact(entry)
        subject = subject_of(event, index)
        before = objects.get(subject)
        state = evolve(before[0] if before else None, event, index, envelope.time)
        if state is not None:
            objects[subject] = (state, before[1] if before else index, index)
    return tree, objects
