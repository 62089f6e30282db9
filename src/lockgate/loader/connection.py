"""How is a Lockgate server spoken to? Over HTTP, with a session that a signed intent opened; its answers prove nothing.

Whatever comes back is parsed strictly, and whatever matters in it carries a signature that the caller verifies.
"""

import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn, TypeAlias
from urllib.parse import urlencode

import urllib3

from lockgate.core.intent import Head, Intent, SignedIntent
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.oms import FileDigest
from lockgate.formats.segments import Decrypting
from lockgate.loader.source import Reader
from lockgate.loader.tls import Tls, client_context, explain, is_local

Sign: TypeAlias = Callable[[Intent], SignedIntent]
Body: TypeAlias = bytes | Iterable[bytes] | None

MAX_ANSWER = 32 << 20
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 60.0
_SESSION = timedelta(minutes=2)
_WHOLE_SECONDS = 120.0  # for an answer that is read whole, however slowly it drips
_PIECE = 1 << 16
_LONGEST_TOKEN = 4096
_NO_SESSION = ("/log/", "/api/v1/leases")  # public, and signed by itself
_ERRORS: Mapping[int, type[LockgateError]] = {
    400: VerificationError, 404: DeniedError, 412: ConflictError, 413: VerificationError, 422: VerificationError,
    429: UnavailableError, 502: UnavailableError, 503: UnavailableError, 504: UnavailableError,
}  # fmt: skip


class Answer(dict[str, Json]):
    """A JSON object that a server answered. What it should hold and does not is the server's fault, and is said so."""

    def __missing__(self, name: str) -> NoReturn:
        raise VerificationError(f"the server's answer has no {name}")

    @classmethod
    def read(cls, content: bytes) -> "Answer":
        """Read an object, and every object in it, from JSON."""
        return cls((name, _answered(value)) for name, value in _parse(content).items())


@dataclass
class Connection:
    """A server, and who speaks to it: over TLS, or plainly on this machine. Opens a session when one is needed."""

    url: str
    actor: Name
    sign: Sign
    tls: Tls | None = None
    token: str | None = None
    environment: str | None = None
    enter: Callable[[], str] | None = None  # who opens sessions, where it is not the one who signs here
    patience: float = _READ_SECONDS  # seconds until the next byte must come
    pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        self.pool = open_pool(self.url, self.tls or Tls())

    def get(self, path: str, **query: object) -> Mapping[str, Json]:
        """Read a JSON object."""
        return Answer.read(self.fetch(path, **query))

    def find(self, path: str) -> Mapping[str, Json] | None:
        """Read a JSON object, None if there is nothing."""
        answer = self._send("GET", path, None, {})
        content = _read(answer)
        if answer.status == 404:
            return None
        _check(answer.status, content)
        return Answer.read(content)

    def fetch(self, path: str, **query: object) -> bytes:
        """Read the bytes of an answer."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(wanted)}" if wanted else path)

    def act(self, path: str, intent: Intent, **body: object) -> Mapping[str, Json]:
        """Sign `intent` and ask the server to do it; asking twice does it once."""
        return self.submit(path, self.sign(intent), **body)

    def submit(self, path: str, signed: SignedIntent, **body: object) -> Mapping[str, Json]:
        """Ask the server to do what was signed already."""
        content = canonical.encode(
            {"intent": plain.to_plain(signed), **{k: plain.to_plain(v) for k, v in body.items()}}
        )
        return Answer.read(self._ask("POST", path, content, {"Idempotency-Key": signed.intent.nonce}))

    def intend(
        self,
        act: str,
        object_: object,
        *,
        before: Digest | None = None,
        after: Digest | None = None,
        lasts: timedelta = timedelta(minutes=5),
        head: Head | None = None,
    ) -> Intent:
        """Write an intent of this actor, with a fresh nonce."""
        expires = datetime.now(UTC) + lasts
        return Intent(act, str(object_), before, after, self.actor, secrets.token_hex(16), expires, head)

    def post(self, path: str, content: bytes) -> bytes:
        """Send a document that carries its own signature."""
        return self._ask("POST", path, content)

    def bring(self, path: str, content: bytes) -> bytes:
        """Send a document that carries its own signature to a door that needs no session."""
        answer = self._request("POST", path, content, {"Content-Type": "application/json"})
        answered = _read(answer)
        _check(answer.status, answered)
        return answered

    def upload(self, path: str, pieces: Iterable[bytes], size: int) -> None:
        """Send a file of `size` bytes."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        answer = self._send("PUT", path, iter(pieces), headers)
        _check(answer.status, _read(answer))

    def has(self, path: str) -> bool:
        """Ask whether something is there."""
        answer = self._send("HEAD", path, None, {})
        content = _read(answer)
        if answer.status not in (200, 204, 404):
            _check(answer.status, content)
        return answer.status != 404

    def stream(self, path: str) -> urllib3.BaseHTTPResponse:
        """Open an answer for reading piece by piece."""
        answer = self._send("GET", path, None, {})
        if answer.status != 200:
            _check(answer.status, _read(answer))
            raise UnavailableError(f"the server answered {answer.status}, and no file")
        return answer

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        kind = {"Content-Type": "application/json"} if body is not None else {}
        answer = self._send(method, path, body, {**kind, **(headers or {})})
        content = _read(answer)
        _check(answer.status, content)
        return content

    def _send(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        if self.token is None and not path.startswith(_NO_SESSION):
            self.token = self.open_session()
        answer = self._request(method, path, body, headers)
        if answer.status == 401 and isinstance(body, bytes | None):
            _read(answer)
            self.token = self.open_session()
            answer = self._request(method, path, body, headers)
        return answer

    def open_session(self) -> str:
        """Open a session; return its token."""
        if self.enter is not None:
            return self.enter()
        environment = self.environment or self._environment()
        intent = self.intend("session.open", environment, lasts=_SESSION)
        content = canonical.encode({"intent": plain.to_plain(self.sign(intent))})
        headers = {"Content-Type": "application/json", "Idempotency-Key": intent.nonce}
        answer = self._request("POST", "/api/v1/sessions", content, headers)
        opened = _read(answer)
        _check(answer.status, opened)
        token = Answer.read(opened).get("token")
        if not isinstance(token, str) or not 0 < len(token) <= _LONGEST_TOKEN:
            raise VerificationError("the server opened a session without a token")
        if not (token.isascii() and token.isprintable()):
            raise VerificationError("the token of the session is none: it holds more than printable ASCII")
        return token

    def _environment(self) -> str:
        answer = self._request("GET", "/healthz", None, {})
        content = _read(answer)
        _check(answer.status, content)
        self.environment = str(Name(str(Answer.read(content)["environment"])))
        return self.environment

    def _request(self, method: str, path: str, body: Body, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        sent = {**headers, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        try:
            return self.pool.request(
                method,
                self.url + path,
                body=body,
                headers=sent,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, self.patience), read=self.patience),
            )
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"no answer from {self.url}: {why_unanswered(e, self.url)}") from e


@dataclass(frozen=True, slots=True)
class ServerSource:
    """The files of a release in the server's store, encrypted there and decrypted in memory here.

    Not trusted: the loader hashes what it gets. Whoever made the source forgets `keys` when the files were read.
    """

    connection: Connection
    keys: Mapping[Digest, bytes]

    def open(self, component: str, file: FileDigest) -> Reader:
        """Open one file by its digest (port `Source`)."""
        key = self.keys.get(file.sha256)
        if key is None:
            raise UnavailableError(f"the server gave no key for {component}/{file.name}")
        stream = _Stream(self.connection.stream(f"/api/v1/blobs/{file.sha256}"))
        return _Plain(stream, Decrypting(stream.readinto, key, file.sha256))


@dataclass(frozen=True, slots=True)
class _Plain:
    stream: "_Stream"
    decrypting: Decrypting

    def readinto(self, buffer: memoryview, /) -> int | None:
        return self.decrypting.readinto(buffer)

    def close(self) -> None:
        self.stream.close()


@dataclass(frozen=True, slots=True)
class _Stream:
    answer: urllib3.BaseHTTPResponse

    def readinto(self, buffer: memoryview, /) -> int | None:
        try:
            piece = self.answer.read(len(buffer), decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"the download broke off: {type(e).__name__}") from e
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self.answer.close()
        self.answer.release_conn()


def file_pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces of 1 MiB."""
    try:
        with path.open("rb") as stream:
            while piece := stream.read(1 << 20):
                yield piece
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e


def open_pool(url: str, tls: Tls) -> urllib3.PoolManager:
    """Prepare to speak to `url`; raise `VerificationError` for an address that would be spoken to in the open."""
    try:
        found = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError as e:
        raise VerificationError(f"not an address like https://gate.example:8420: {url[:80]!a}") from e
    if found.auth is not None or not found.host:
        raise VerificationError(f"not an address like https://gate.example:8420: {url[:80]!a}")
    if found.scheme == "https":
        return urllib3.PoolManager(retries=False, ssl_context=client_context(tls))
    if found.scheme != "http" or not is_local(found.host):
        raise VerificationError(f"{url[:80]!a} is not this machine: speak to it over https://")
    return urllib3.PoolManager(retries=False)


def why_unanswered(error: BaseException, url: str) -> str:
    """Say what broke: what TLS says of it, if it was that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return explain(cause)
        cause = cause.__cause__ or cause.__context__
    if url.startswith("https:") and isinstance(error, urllib3.exceptions.ProtocolError | urllib3.exceptions.SSLError):
        return "it closed the connection; if it asks for certificates, it did not believe ours"
    return f"{type(error).__name__}; is the server up?"


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    """Read a whole answer as it was sent; raise for one that is too long, or that takes too long."""
    content, ends_at = bytearray(), time.monotonic() + _WHOLE_SECONDS
    try:
        while piece := answer.read1(_PIECE, decode_content=False):
            content += piece
            if len(content) > MAX_ANSWER:
                raise VerificationError(f"the server's answer has more than {MAX_ANSWER} bytes")
            if time.monotonic() > ends_at:
                raise UnavailableError(f"the server's answer takes longer than {_WHOLE_SECONDS:g} s")
    except (urllib3.exceptions.HTTPError, OSError) as e:
        answer.close()
        raise UnavailableError(f"the answer broke off: {type(e).__name__}") from e
    except BaseException:
        answer.close()
        raise
    if answer.length_remaining:
        raise UnavailableError(f"the answer broke off {answer.length_remaining} bytes before its end")
    answer.release_conn()
    return bytes(content)


def _parse(content: bytes) -> dict[str, Json]:
    return canonical.parse_object(content, limit=MAX_ANSWER)


def _answered(value: Json) -> Json:
    if isinstance(value, dict):
        return Answer((name, _answered(member)) for name, member in value.items())
    return [_answered(member) for member in value] if isinstance(value, list) else value


def _check(status: int, content: bytes) -> None:
    if 200 <= status < 300:
        return
    problem: Mapping[str, Json] = {}
    with suppress(VerificationError):
        problem = _parse(content)
    _refuse(status, problem)


def _refuse(status: int, problem: Mapping[str, Json]) -> NoReturn:
    detail = str(problem.get("detail") or problem.get("title") or f"the server answered {status}")
    reasons = problem.get("reasons")
    if status in (401, 403, 409):
        listed = [str(reason) for reason in reasons] if isinstance(reasons, list) and reasons else [detail]
        raise DeniedError(*listed)
    raise _ERRORS.get(status, UnavailableError)(detail)
