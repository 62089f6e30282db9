"""Is this database one that keeps what it acknowledges, and what do its errors ask of our callers?

Every connection is checked before its first use: a primary, durable commits, the schema that this program knows. So a
server that was demoted or set to lose commits is out as soon as it comes back under another connection.
"""

import select
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import errors
from psycopg.abc import Params
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from lockgate.drivers.postgres.schema import check_migrated
from lockgate.errors import ConflictError, UnavailableError, VerificationError

Connection = psycopg.Connection[TupleRow]

LOCK_TIMEOUT = "5s"
_DURABLE = ("on", "remote_apply")
_PATIENCE = {"connect_timeout": "5", "tcp_user_timeout": "10000", "application_name": "lockgate"}
_STANDING = """
    SELECT pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('fsync')
"""
_SETTINGS = """
    SELECT set_config('synchronous_commit', %s, false), set_config('lock_timeout', %s, false),
           set_config('statement_timeout', '60s', false), set_config('timezone', 'UTC', false),
           set_config('idle_in_transaction_session_timeout', '15s', false),
           set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('search_path', 'public, pg_temp', false)
"""


class Connections:
    """A pool of checked connections. Nobody holds one while they think; `made` counts those that were ever made."""

    def __init__(self, conninfo: str, *, most: int, patience: float) -> None:
        self.made = 0
        self._counting = threading.Lock()
        conninfo = patient(conninfo)
        with speaking(), psycopg.connect(conninfo, autocommit=True) as first:
            _make_ready(first)
        self._pool = ConnectionPool(
            conninfo,
            kwargs={"autocommit": True, "prepare_threshold": 2},
            min_size=1,
            max_size=most,
            timeout=patience,
            reconnect_timeout=patience,
            configure=self._count,
            check=_check_alive,
            open=True,
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection; whatever was begun and not committed on it is undone."""
        with speaking(), self._pool.connection() as connection:
            yield connection

    def ask(self, query: LiteralString, params: Params = ()) -> Sequence[TupleRow]:
        """Return the rows of one query."""
        with self.connection() as connection:
            return connection.execute(query, params, binary=True).fetchall()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def _count(self, connection: Connection) -> None:
        """Make a connection ready, and count it before anybody can use it."""
        _make_ready(connection)
        with self._counting:
            self.made += 1


def patient(conninfo: str) -> str:
    """Add how long to wait for a server that does not answer, unless `conninfo` says so."""
    with speaking():
        return make_conninfo("", **{**_PATIENCE, **conninfo_to_dict(conninfo)})


@contextmanager
def speaking() -> Iterator[None]:
    """Say what an error of PostgreSQL asks of our caller."""
    try:
        yield
    except errors.UniqueViolation as e:
        raise ConflictError("another process wrote the same place of the log first") from e
    except (psycopg.DataError, UnicodeEncodeError) as e:
        raise VerificationError(f"the database cannot hold such a value: {_first_line(e)}") from e
    except (errors.UndefinedTable, errors.InsufficientPrivilege) as e:
        raise UnavailableError(f"the database is not set up for us: {_first_line(e)}") from e
    except (psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError) as e:
        raise UnavailableError(f"the database did not do it: {_first_line(e)}") from e


def _make_ready(connection: Connection) -> None:
    in_recovery, synchronous_commit, fsync = connection.execute(_STANDING).fetchall()[0]
    if in_recovery:
        raise UnavailableError("this PostgreSQL is a standby: only the primary knows what is true now")
    if synchronous_commit not in _DURABLE or fsync != "on":
        raise UnavailableError(
            f"this PostgreSQL may lose what it committed: synchronous_commit is {synchronous_commit}, not on or"
            f" remote_apply, or fsync is {fsync}, not on"
        )
    connection.execute(_SETTINGS, (synchronous_commit, LOCK_TIMEOUT))
    check_migrated(connection)


def _check_alive(connection: Connection) -> None:
    """Ask only a connection that has something to say: an idle one that does was most likely cut."""
    if select.select([connection.fileno()], [], [], 0)[0]:
        ConnectionPool.check_connection(connection)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
