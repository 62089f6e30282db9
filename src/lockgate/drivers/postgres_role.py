"""How does a release get into a database, and out of it? By a role of its own, which loses its login and its sessions.

    grant   CREATE ROLE login LOGIN PASSWORD … VALID UNTIL the lease's end, member of a group, with a schema of its own
    cut     no group, NOLOGIN and no password, every session ended, and looked for again until there is none
    probe   a login with what was given out, and what the catalogue says

The administrator may make roles (CREATEROLE), has the group WITH ADMIN OPTION, and may CREATE in the database.
An agent that dies lets VALID UNTIL run out: nobody logs in any more; sessions that are open stay until they are cut.

Whoever holds a login is no friend. Names are looked up in pg_catalog alone, else a function of his runs as
administrator. He can lock his own role, so sessions are ended first, as often as needed. He can log in without having
a name for a while (post_auth_delay), so what has none is ended too; who is just logging in elsewhere does it again.
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
from lockgate.loader.tls import is_local

SECONDS = 2.0  # for one act, from connecting on

_AGAIN_SECONDS = 0.02
_REFUSED = "28"  # SQLSTATE class: invalid authorization
_LIMITS = "-c statement_timeout=2000 -c lock_timeout=1000 -c search_path=pg_catalog"
_AUTH = "scram-sha-256"  # in which neither side can be somebody else, and no password is said
_OURS = {"application_name", "connect_timeout", "options", "require_auth", "hostaddr"}
_NAMELESS = """
SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity s USING (pid)
WHERE l.locktype = 'virtualxid' AND s.usename IS NULL AND l.pid <> pg_catalog.pg_backend_pid()
"""
_PATIENT_MS, _ROUND_MS = 50, 1000  # for a lock on one role, and on all of them


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is (libpq, without user and password), and how its administrator gets in."""

    address: str = field(repr=False)
    user: str
    password: str = field(repr=False)
    group: str

    def __post_init__(self) -> None:
        """Raise `VerificationError` for an address that says more than where it is, or where anybody could answer."""
        try:
            named = conninfo_to_dict(self.address)
        except psycopg.Error as e:
            raise VerificationError("address is not written as libpq reads it: host=… port=… dbname=…") from e
        if odd := sorted(named.keys() & {"user", "password", "passfile", "service", *_OURS}):
            raise VerificationError(f"address says {odd[0]}, which has a place of its own")
        host = str(named.get("host") or "")
        if not host or "," in host + str(named.get("port") or ""):
            raise VerificationError("address does not name one host")
        if not (host[0] in "/@" or is_local(host) or named.get("sslmode") == "verify-full"):
            raise VerificationError("address leads to another machine, so it takes sslmode=verify-full")
        if not self.password:
            raise VerificationError("the administrator has no password")


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
        return {**where, "user": login, "password": secret, "require_auth": _AUTH, "schema": login}

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Take logins and sessions away, and see that none is left (port `Binding`).

        Enforces: emergency_shutdown
        """
        ends_at = time.monotonic() + SECONDS
        with self._speaking() as connection:
            logins = _logins(connection, endpoint, holder)
            with self._lock:
                for login in logins:
                    self._secrets.pop(login, None)
            patience = min(_PATIENT_MS, max(1, _ROUND_MS // max(1, len(logins))))
            connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(patience)))
            left, clean = list(logins), 0
            while logins and clean < 2:  # one that was just logging in shows up a moment later
                left = [login for login in left if not self._shut(connection, login)]
                ended = _end(connection, logins) + _end_nameless(connection)
                clean = 0 if left or ended else clean + 1
                if not clean and time.monotonic() > ends_at:
                    raise UnavailableError(f"{self._name}: {len(left)} logins do not shut, {ended} sessions do not end")
                time.sleep(_AGAIN_SECONDS)

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Look whether somebody can log in or still is, and try with what was given out (port `Binding`)."""
        with self._speaking() as connection:
            logins = _logins(connection, endpoint, holder)
            if any(_may_log_in(connection, login) for login in logins):
                return "open"
            ends_at = time.monotonic() + SECONDS / 2
            while logins and _end_nameless(connection):
                if time.monotonic() > ends_at:
                    raise UnavailableError(f"{self._name}: somebody is logging in all the time")
                time.sleep(_AGAIN_SECONDS)
            if any(_sessions(connection, logins).values()):
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
        known = connection.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", [login]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {0} AUTHORIZATION {0}").format(role))
            connection.execute(sql.SQL("ALTER ROLE {0} SET search_path = {0}").format(role))
        connection.execute(sql.SQL("GRANT {} TO {}").format(group, role))
        lasts = sql.SQL("ALTER ROLE {} LOGIN VALID UNTIL {}").format(role, sql.Literal(until.isoformat()))
        connection.execute(lasts)
        if secret is not None:  # as a verifier: the server never sees it, nor does its log
            verifier = connection.pgconn.encrypt_password(secret.encode(), login.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier)))

    def _shut(self, connection: psycopg.Connection, login: str) -> bool:
        """Take everything from a role; false if something could not be taken, and is to be tried again."""
        role, group = sql.Identifier(login), sql.Identifier(self._database.group)
        done = True
        _end(connection, [login])
        for bare in ("REVOKE {1} FROM {0}", "ALTER ROLE {0} NOLOGIN PASSWORD NULL VALID UNTIL '-infinity'"):
            try:
                connection.execute(sql.SQL(bare).format(role, group))
            except psycopg.errors.UndefinedObject:
                continue  # there is no such role any more
            except psycopg.Error:
                if connection.broken:
                    raise
                done = False
        return done

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
            require_auth=_AUTH,
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
        "SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.starts_with(rolname::text, %s) ORDER BY rolname",
        [holder.login if holder else logins_of(endpoint)],
    )
    return [str(row[0]) for row in found]


def _may_log_in(connection: psycopg.Connection, login: str) -> bool:
    found = connection.execute("SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = %s", [login]).fetchone()
    return found is not None and bool(found[0])


def _sessions(connection: psycopg.Connection, logins: Sequence[str]) -> dict[str, int]:
    found = connection.execute(
        "SELECT usename, pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE usename = ANY(%s) GROUP BY usename",
        [list(logins)],
    )
    return {str(row[0]): int(row[1]) for row in found}


def _end(connection: psycopg.Connection, logins: Sequence[str]) -> int:
    """End every session of these roles, and count them."""
    return connection.execute(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = ANY(%s)",
        [list(logins)],
    ).rowcount


def _end_nameless(connection: psycopg.Connection) -> int:
    """End what let somebody in and does not say yet whom, if it is ours to end, and count that."""
    ended = 0
    for (pid,) in connection.execute(_NAMELESS).fetchall():
        with suppress(psycopg.errors.InsufficientPrivilege):  # nobody is in yet, or nobody of ours
            connection.execute("SELECT pg_catalog.pg_terminate_backend(%s)", [pid])
            ended += 1
    return ended


def _is_refusal(error: psycopg.Error) -> bool:
    """Tell whether a connection that was not made was refused by the server: libpq has the words alone."""
    words = str(error)
    return "is not permitted to log in" in words or "authentication failed for user" in words


def _cut_off(descriptor: int) -> None:
    """End a connection on which nothing comes back any more."""
    with suppress(OSError):
        door = socket(fileno=descriptor)
        try:
            door.shutdown(SHUT_RDWR)
        finally:
            door.detach()
