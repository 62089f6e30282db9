"""What was said before in this conversation? A row a turn, in a schema that belongs to one release on one host.

The desk gets in with what its binding gave it. It keeps one connection, and holds no other secret. Two releases have
two schemas, so neither remembers what the other was told.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

_PATIENCE_SECONDS = 5


class ForgottenError(Exception):
    """Memory cannot be reached."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody asked, and what the desk said."""

    request: str
    answer: str


class Memory(Protocol):
    """Where the desk keeps what was said."""

    def recall(self, session: str, most: int) -> list[Turn]:
        """Return the latest turns of a conversation, oldest first; raise `ForgottenError` if it cannot."""

    def remember(self, session: str, turn: Turn) -> None:
        """Keep a turn; raise `ForgottenError` if it cannot."""


class PostgresMemory:
    """Memory in a schema of PostgreSQL. Any threads; one connection, opened again when it was lost."""

    def __init__(self, access: Callable[[], Mapping[str, str]]) -> None:
        """Take what reads how to connect, and the `schema` that is ours: after a cut the password is another one."""
        self._access = access
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._name = sql.Identifier("turn")

    def recall(self, session: str, most: int) -> list[Turn]:
        """Return the latest turns, oldest first."""
        with self._table() as (connection, table):
            query = sql.SQL("SELECT request, answer FROM {} WHERE session = %s ORDER BY number DESC LIMIT %s")
            rows = connection.execute(query.format(table), (session, most)).fetchall()
        return [Turn(request, answer) for request, answer in reversed(rows)]

    def remember(self, session: str, turn: Turn) -> None:
        """Keep a turn."""
        with self._table() as (connection, table):
            query = sql.SQL("INSERT INTO {} (session, request, answer) VALUES (%s, %s, %s)")
            connection.execute(query.format(table), (session, turn.request, turn.answer))

    @contextmanager
    def _table(self) -> Iterator[tuple[psycopg.Connection, sql.Identifier]]:
        with self._lock:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection, self._name = self._open()
                yield self._connection, self._name
            except psycopg.Error as e:
                if self._connection is not None:
                    self._connection.close()
                raise ForgottenError("memory cannot be reached") from e

    def _open(self) -> tuple[psycopg.Connection, sql.Identifier]:
        access = dict(self._access())
        table = sql.Identifier(access.pop("schema"), "turn")
        conninfo = make_conninfo("", **access, connect_timeout=_PATIENCE_SECONDS)
        connection = psycopg.connect(conninfo, autocommit=True)
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
                " session text NOT NULL, request text NOT NULL, answer text NOT NULL)"
            ).format(table)
        )
        connection.execute(sql.SQL("CREATE INDEX IF NOT EXISTS turn_of_session ON {} (session, number)").format(table))
        return connection, table
