"""How does a release get into Redis, and out of it? By a user of its own, which loses its rights and its connections.

    grant   ACL SETUSER login: a password, keys and channels that begin with its own name, no command that sees others
    cut     off, no password, no right; then CLIENT KILL USER, and looked for again until there is none
    probe   a login with what was given out, and what the server says of users and clients

`off` alone ends nothing: connections that are open go on. An agent that dies leaves its users in; what was cut stays so
over a restart of Redis with an ACL file, which is written each time.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lockgate.core.binding import Found, Holder, Seen, logins_of
from lockgate.errors import UnavailableError
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Name

SECONDS = 2.0

_AGAIN_SECONDS = 0.01
# What works on keys and channels of one's own. Functions, scans and trackers see those of others; a script that does
# not end stops Redis for all, and the cut of its own user with it.
_RIGHTS = (
    *("+@read", "+@write", "+@transaction", "-@dangerous", "-@admin", "-@scripting", "-scan", "-randomkey", "-dbsize"),
    *("+publish", "+subscribe", "+unsubscribe", "+psubscribe", "+punsubscribe", "+spublish", "+ssubscribe"),
    *("+sunsubscribe", "+ping", "+hello", "+auth", "+select", "+quit", "+client|setname"),
    *("+client|id", "+client|getname"),
)


@dataclass(frozen=True, slots=True)
class Server:
    """Where Redis is, and how its administrator gets in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca: str | None = None
    tls: bool = False


class RedisUser:
    """Users of one Redis (port `Binding`)."""

    def __init__(self, name: Name, server: Server) -> None:
        self._name, self._server = name, server
        self._secrets: dict[str, str] = {}
        self._given: dict[str, list[str]] = {}  # all that were given out, and are to be tried
        self._lock = threading.Lock()

    def grant(self, holder: Holder, until: datetime, tools: Sequence[str] = ()) -> Mapping[str, Json]:
        """Let the user of a holder in; Redis knows no end of it (port `Binding`)."""
        del until, tools
        login = holder.login
        with self._speaking() as server:
            secret = self._secrets.get(login)
            if secret is None or not _is_on(server, login):
                secret = secrets.token_urlsafe(32)
                own = f"~{login}:*", f"&{login}:*"
                password = f"#{hashlib.sha256(secret.encode()).hexdigest()}"  # so that no monitor sees it
                _ask(server, "ACL SETUSER", login, "reset", "on", password, *own, "-@all", *_RIGHTS)
                _save(server)
        with self._lock:
            self._secrets[login] = secret
            self._given[login] = [*(each for each in self._given.get(login, []) if each != secret), secret][-8:]
        where: dict[str, Json] = {"host": self._server.host, "port": self._server.port, "tls": self._server.tls}
        return {**where, "user": login, "password": secret, "prefix": f"{login}:"}

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Take rights and connections away, and see that none is left (port `Binding`).

        Enforces: emergency_shutdown
        """
        ends_at = time.monotonic() + SECONDS
        with self._speaking() as server:
            logins = _logins(server, endpoint, holder)
            for login in logins:
                _ask(server, "ACL SETUSER", login, "reset", "off", "resetpass", "-@all")
                _ask(server, "CLIENT KILL", "USER", login)
            with self._lock:
                for login in logins:
                    self._secrets.pop(login, None)
            while left := sum(_clients(server, logins).values()):
                if time.monotonic() > ends_at:
                    raise UnavailableError(f"{self._name}: {left} connections do not end")
                for login in logins:
                    _ask(server, "CLIENT KILL", "USER", login)
                time.sleep(_AGAIN_SECONDS)
            if logins:
                _save(server)

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Look whether somebody may log in or still is, and try with what was given out (port `Binding`)."""
        with self._speaking() as server:
            logins = _logins(server, endpoint, holder)
            if any(_is_on(server, login) for login in logins) or any(_clients(server, logins).values()):
                return "open"
        given = [(login, secret) for login in logins for secret in self._given.get(login, [])]
        return "open" if any(self._gets_in(login, secret) for login, secret in given) else "shut"

    def observed(self, endpoint: Endpoint) -> Seen:
        """Count the connections of each user that may log in (port `Binding`)."""
        with self._speaking() as server:
            logins = [login for login in _logins(server, endpoint, None) if _is_on(server, login)]
            return Seen(_clients(server, logins))

    def close(self) -> None:
        """Do nothing: each act has a connection of its own (port `Binding`)."""

    def _gets_in(self, login: str, secret: str) -> bool:
        """Log in as the holder would; raise `UnavailableError` if that says nothing."""
        try:
            with self._connected(login, secret) as server:
                _ask(server, "PING")
                return True
        except redis.AuthenticationError:
            return False
        except redis.RedisError as e:
            raise UnavailableError(f"{self._name}: trying to get in failed: {type(e).__name__}") from None

    @contextmanager
    def _speaking(self) -> Iterator[redis.Redis]:
        """Speak as the administrator, over a connection of its own."""
        try:
            with self._connected(self._server.user, self._server.password) as server:
                yield server
        except redis.RedisError as e:
            raise UnavailableError(f"{self._name}: Redis does not do it: {type(e).__name__}") from None

    @contextmanager
    def _connected(self, user: str, password: str) -> Iterator[redis.Redis]:
        at = self._server
        server = redis.Redis(
            at.host, at.port, username=user, password=password, protocol=2, decode_responses=True,
            socket_timeout=SECONDS, socket_connect_timeout=SECONDS, single_connection_client=True,
            retry=Retry(NoBackoff(), 0), ssl=at.tls, ssl_ca_certs=at.ca,
        )  # fmt: skip
        try:
            yield server
        finally:
            server.close()


def _ask(server: redis.Redis, *words: str) -> object:
    answer: object = server.execute_command(*words)  # type: ignore[no-untyped-call]  # the driver's own
    return answer


def _logins(server: redis.Redis, endpoint: Endpoint, holder: Holder | None) -> Sequence[str]:
    begin = holder.login if holder else logins_of(endpoint)
    return [str(user) for user in _listed(_ask(server, "ACL USERS")) if str(user).startswith(begin)]


def _is_on(server: redis.Redis, login: str) -> bool:
    found = _ask(server, "ACL LIST")
    return any(str(line).split()[1:3] == [login, "on"] for line in _listed(found))


def _clients(server: redis.Redis, logins: Sequence[str]) -> dict[str, int]:
    """Count the connections of each user."""
    counted = dict.fromkeys(logins, 0)
    for client in _listed(_ask(server, "CLIENT LIST")):
        user = client.get("user") if isinstance(client, dict) else None
        if user in counted:
            counted[user] += 1
    return counted


def _save(server: redis.Redis) -> None:
    """Write the ACL file, if there is one: what was cut must not come back with a restart."""
    with suppress(redis.ResponseError):
        _ask(server, "ACL SAVE")


def _listed(found: object) -> Sequence[object]:
    assert isinstance(found, list)
    return found
