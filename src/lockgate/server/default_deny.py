"""May this request come in at all? Asked before any route exists, and no is the answer unless something says yes.

    request ─▶ host known? ─▶ small enough? ─▶ public? ─▶ a session in force? ─▶ routes ─▶ right to act? ─▶ use case
                  400             413              │             401                            403
                                                   └──────────────────────────▲

Only `scope["path"]` is looked at, which is what the router matches too, so no spelling of a path comes in here and goes
elsewhere there. Websockets are closed. A stranger learns nothing, not even which paths there are.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lockgate.errors import LockgateError, VerificationError
from lockgate.server.patience import timed
from lockgate.server.problems import problem, problem_of
from lockgate.server.session import Session
from lockgate.server.visit import API

PUBLIC = frozenset(
    {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/log/checkpoint"),
        ("POST", f"{API}/sessions"),
        ("POST", f"{API}/leases"),  # signed by the node that asks
    }
)
PUBLIC_FOLDERS = ("/log/tile/", "/tuf/")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_MAX_HEADER = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """How many bytes a body may have: of JSON, of a lease request, of what carries a passport, of a blob."""

    json: int = 1 << 20
    lease: int = 128 << 10
    passport: int = 16 << 20
    blob: int = 64 << 30

    def of(self, method: str, path: str) -> int:
        """Return the limit for one request."""
        if method == "PUT" and path.startswith(f"{API}/blobs/"):
            return self.blob
        large = (("POST", f"{API}/releases"), ("POST", f"{API}/rules"))
        known = dict.fromkeys(large, self.passport) | {("POST", f"{API}/leases"): self.lease}
        return known.get((method, path), self.json)


class DefaultDeny:
    """The outermost layer of the server."""

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Callable[[str], Session],
        observe: Callable[[str, str, int], None],
        *,
        hosts: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._observe = observe
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._limits = limits or Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection (ASGI 3.0)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, self._watched(scope, send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            _check_host(scope, self._hosts)
            bounded = _bounded(scope, timed(receive), self._limits.of(scope["method"], scope["path"]))
            if not is_public(scope["method"], scope["path"]):
                scope.setdefault("state", {})["session"] = await self._session(scope)
        except HTTPException as e:
            detail = () if e.status_code == 401 else (e.detail,)
            headers = dict(e.headers) if e.headers else None
            await problem(e.status_code, detail, headers=headers)(scope, receive, send)
        except LockgateError as e:  # the trust in force cannot be read: nobody comes in
            await problem_of(e)(scope, receive, send)
        else:
            await self._app(scope, bounded, send)

    async def _session(self, scope: Scope) -> Session:
        given = _headers(scope, b"authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        try:
            if scheme.lower() != "bearer":
                raise VerificationError("no bearer token")
            return await run_in_threadpool(self._authenticate, token)
        except VerificationError as e:
            raise HTTPException(401, headers={"www-authenticate": "Bearer"}) from e

    def _watched(self, scope: Scope, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                self._observe(scope["method"] if scope["method"] in _METHODS else "other", route, message["status"])
                message["headers"] = [*message.get("headers", ()), *_missing(message)]
            await send(message)

        return watched


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def is_public(method: str, path: str) -> bool:
    """Tell whether this needs no session."""
    return (method, path) in PUBLIC or (method == "GET" and path.startswith(PUBLIC_FOLDERS))


def _missing(message: Message) -> list[tuple[bytes, bytes]]:
    """List the headers that every answer carries and this one does not."""
    given = {name.lower() for name, _ in message.get("headers", ())}
    always = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
    return [(name, value) for name, value in always if name not in given]


def _headers(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1")[:_MAX_HEADER] for name, value in scope["headers"] if name.lower() == wanted]


def _check_host(scope: Scope, hosts: Collection[str]) -> None:
    """Refuse a name that is not ours: whoever rebinds a name of theirs to our address gets nothing."""
    given = _headers(scope, b"host")
    host = given[0].lower() if len(given) == 1 else ""
    name, colon, port = host.rpartition(":")
    if not (host in hosts or (colon and name in hosts and port.isdecimal())):
        raise HTTPException(400, "the Host header names no host of this server")


def _bounded(scope: Scope, receive: Receive, limit: int) -> Receive:
    """Count what is received; refuse at once what says that it is too large."""
    declared = _headers(scope, b"content-length")
    if len(declared) > 1 or not all(text.isascii() and text.isdecimal() and len(text) < 20 for text in declared):
        raise HTTPException(400, "Content-Length is not a number")
    too_large = HTTPException(413, f"the body may have {limit} bytes", headers={"connection": "close"})
    if declared and int(declared[0]) > limit:
        raise too_large
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise too_large
        return message

    return bounded
