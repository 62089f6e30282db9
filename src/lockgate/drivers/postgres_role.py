"""How does a release get into a database, and out of it? By a role of its own, which loses its login and its sessions.

    grant   CREATE ROLE login LOGIN PASSWORD … VALID UNTIL the lease's end, member of a group, with a schema of its own
    cut     NOLOGIN and no password, then every session ended, and looked for again until there is none
    probe   a login with what was given out, and what the catalogue says

The administrator may make roles (CREATEROLE), has the group WITH ADMIN OPTION, and may CREATE in the database.
An agent that dies lets VALID UNTIL run out: nobody logs in any more; sessions that are open stay until they are cut.
"""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from socket import SHUT_RDWR, socket

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lockgate.core.binding import Found, Holder, Seen, logins_of
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Name

SECONDS = 2.0  # for one act, from connecting on

_AGAIN_SECONDS = 0.02
_REFUSED = "28"  # SQLSTATE class: invalid authorization
_LIMITS = "-c statement_timeout=2000 -c lock_timeout=1000"
_OURS = {"application_name", "connect_timeout", "options"}


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is (libpq, without user and password), and how its administrator gets in."""

    address: str = field(repr=False)
    user: str
    password: str | None = field(repr=False)
    group: str

    def __post_init__(self) -> None:
        """Raise `VerificationError` for an address that says more than where it is."""
        try:
            named = conninfo_to_dict(self.address)
        except psycopg.Error as e:
            raise VerificationError("address is not written as libpq reads it: host=… port=… dbname=…") from e
        if odd := sorted(named.keys() & {"user", "password", "passfile", "service", *_OURS}):
            raise VerificationError(f"address says {odd[0]}, which has a place of its own")


class PostgresRole:
    """Roles of one database (port `Binding`)."""

    def __init__(self, name: Name, database: Database) -> None:
        self._name, self._database = name, database
        self._secrets: dict[str, str] = {}
        self._given: dict[str, list[str]] = {}  # all that were given out, and are to be tried
        self._lock = threading.Lock()

    def grant(self, holder: Holder, until: datetime, tools: Sequence[str] = ()) -> Mapping[str, Json]:
        """Let the role of a holder log in until then (port `Binding`)."""
        del tools
        login = holder.login
        with self._speaking() as connection:
            known = self._secrets.get(login)
            secret = known if known and _may_log_in(connection, login) else secrets.token_urlsafe(32)
            with connection.transaction():
                self._make(connection, login, secret if secret != known else None, until)
        with self._lock:
            self._secrets[login] = secret
            self._given[login] = [*(each for each in self._given.get(login, []) if each != secret), secret][-8:]
        where = {name: str(value) for name, value in conninfo_to_dict(self._database.address).items()}
        return {**where, "user": login, "password": secret, "schema": login}

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Take logins and sessions away, and see that none is left (port `Binding`).

        Enforces: emergency_shutdown
        """
        ends_at = time.monotonic() + SECONDS
        with self._speaking() as connection:
            logins = _logins(connection, endpoint, holder)
            for login in logins:
                bare = sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL VALID UNTIL '-infinity'")
                connection.execute(bare.format(sql.Identifier(login)))
            with self._lock:
                for login in logins:
                    self._secrets.pop(login, None)
            clean = 0
            while clean < 2:  # one that was just logging in shows up a moment later
                ended = connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s)", [logins]
                ).rowcount
                clean = 0 if ended else clean + 1
                if ended and time.monotonic() > ends_at:
                    raise UnavailableError(f"{self._name}: {ended} sessions do not end")
                time.sleep(_AGAIN_SECONDS if logins else 0)

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Look whether somebody can log in or still is, and try with what was given out (port `Binding`)."""
        with self._speaking() as connection:
            logins = _logins(connection, endpoint, holder)
            if any(_may_log_in(connection, login) for login in logins) or any(_sessions(connection, logins).values()):
                return "open"
        for login in logins:
            for secret in self._given.get(login, [secrets.token_urlsafe(8)]):
                if self._gets_in(login, secret):
                    return "open"
        return "shut"

    def observed(self, endpoint: Endpoint) -> Seen:
        """Count the sessions of each role that may log in (port `Binding`)."""
        with self._speaking() as connection:
            logins = [login for login in _logins(connection, endpoint, None) if _may_log_in(connection, login)]
            return Seen(dict.fromkeys(logins, 0) | _sessions(connection, logins))

    def close(self) -> None:
        """Do nothing: each act has a connection of its own (port `Binding`)."""

    def _make(self, connection: psycopg.Connection, login: str, secret: str | None, until: datetime) -> None:
        role, group = sql.Identifier(login), sql.Identifier(self._database.group)
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [login]).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
            connection.execute(sql.SQL("GRANT {} TO {}").format(group, role))
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {0} AUTHORIZATION {0}").format(role))
            connection.execute(sql.SQL("ALTER ROLE {0} SET search_path = {0}").format(role))
        lasts = sql.SQL("ALTER ROLE {} LOGIN VALID UNTIL {}").format(role, sql.Literal(until.isoformat()))
        connection.execute(lasts)
        if secret is not None:  # as a verifier: the server never sees it, nor does its log
            verifier = connection.pgconn.encrypt_password(secret.encode(), login.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier)))

    def _gets_in(self, login: str, secret: str) -> bool:
        """Log in as the holder would; raise `UnavailableError` if that says nothing."""
        try:
            with self._connected(login, secret):
                return True
        except psycopg.Error as e:
            state = e.sqlstate or ""
            if state.startswith(_REFUSED) or (not state and _is_refusal(e)):
                return False
            raise UnavailableError(f"{self._name}: trying to get in failed: {type(e).__name__}") from None

    @contextmanager
    def _speaking(self) -> Iterator[psycopg.Connection]:
        """Speak as the administrator, for so long and no longer."""
        try:
            with self._connected(self._database.user, self._database.password) as connection:
                yield connection
        except psycopg.Error as e:
            told = f"{type(e).__name__}{f' ({e.sqlstate})' if e.sqlstate else ''}"
            raise UnavailableError(f"{self._name}: the database does not do it: {told}") from None

    @contextmanager
    def _connected(self, user: str, password: str | None) -> Iterator[psycopg.Connection]:
        where = make_conninfo(
            self._database.address,
            user=user,
            password=password,
            connect_timeout=int(SECONDS),
            application_name="lockgate",
            options=_LIMITS,
        )
        with psycopg.connect(where, autocommit=True) as connection:
            clock = threading.Timer(SECONDS * 2, _cut_off, (connection.fileno(),))
            clock.daemon = True
            clock.start()
            try:
                yield connection
            finally:
                clock.cancel()


def _logins(connection: psycopg.Connection, endpoint: Endpoint, holder: Holder | None) -> Sequence[str]:
    """List the roles that were ever made for an endpoint, or that of a holder."""
    found = connection.execute(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY rolname",
        [holder.login if holder else logins_of(endpoint)],
    )
    return [str(row[0]) for row in found]


def _may_log_in(connection: psycopg.Connection, login: str) -> bool:
    found = connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [login]).fetchone()
    return found is not None and bool(found[0])


def _sessions(connection: psycopg.Connection, logins: Sequence[str]) -> dict[str, int]:
    found = connection.execute(
        "SELECT usename, count(*) FROM pg_stat_activity WHERE usename = ANY(%s) GROUP BY usename", [list(logins)]
    )
    return {str(row[0]): int(row[1]) for row in found}


def _is_refusal(error: psycopg.Error) -> bool:
    """Tell whether a connection that was not made was refused by the server: libpq has the words alone."""
    words = str(error)
    return "is not permitted to log in" in words or "password authentication failed" in words


def _cut_off(descriptor: int) -> None:
    """End a connection on which nothing comes back any more."""
    with suppress(OSError):
        door = socket(fileno=descriptor)
        try:
            door.shutdown(SHUT_RDWR)
        finally:
            door.detach()
