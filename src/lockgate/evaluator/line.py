"""How is a candidate spoken to? Bytes through its one socket, and an answer in time, or none.

Whatever answers may be hostile: every answer is bounded in size and in the time that all of it takes, and so is how
long it may keep us waiting in all. Who hangs each time is given up.
"""

import http.client
import io
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from lockgate.core.tool import Loose
from lockgate.formats.canonical import Json

MOST_ANSWER = 4 << 20
PATIENCE = 5.0
WAITED_IN_ALL = 30.0
_PIECE = 1 << 16


class SilentError(Exception):
    """Nothing that is an answer came in time."""


class ClosedError(SilentError):
    """The connection was closed before there was an answer."""


class GoneError(SilentError):
    """Nobody is there any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes

    @property
    def document(self) -> Loose:
        """Read the body as JSON; raise `SilentError` if it is none."""
        try:
            found: Loose = json.loads(self.body)
        except (ValueError, RecursionError) as e:
            raise SilentError("the answer is not JSON") from e
        return found


@dataclass(slots=True)
class Line:
    """A way to the candidate: the socket that leads to its port, and how many seconds it was waited for in vain."""

    path: Path
    patience: float = PATIENCE
    waited: float = 0.0

    def ask(self, request: bytes | Iterable[bytes]) -> Answer:
        """Send a request, and read the answer as soon as there is one; raise `SilentError` if none comes."""
        if self.waited >= WAITED_IN_ALL:
            raise GoneError(f"it was waited for in vain for {self.waited:.0f} s in all")
        began = time.monotonic()
        try:
            with self.open() as connection:
                with suppress(OSError):  # who refuses early closes early: what counts is the answer
                    for piece in [request] if isinstance(request, bytes) else request:
                        connection.sendall(piece)
                return _answer(connection, began + self.patience)
        except SilentError:
            self.waited += time.monotonic() - began
            raise

    def drop(self, request: bytes) -> None:
        """Send something and hang up without waiting."""
        with self.open() as connection, suppress(OSError):
            connection.sendall(request)

    @contextmanager
    def open(self) -> Iterator[socket]:
        """Connect; raise `GoneError` if nobody is there."""
        connection = socket(AF_UNIX, SOCK_STREAM)
        try:
            connection.settimeout(self.patience)
            try:
                connection.connect(str(self.path))
            except OSError as e:
                raise GoneError("nobody is there any more") from e
            yield connection
        finally:
            connection.close()


def written(method: str, path: str, body: bytes = b"", *, kind: str = "application/json", more: str = "") -> bytes:
    """Write a request as HTTP/1.1 does; `more` are lines of its head."""
    length = "" if "content-length" in more.lower() or "transfer-encoding" in more.lower() else f"{len(body)}"
    lines = [
        f"{method} {path} HTTP/1.1", "Host: candidate", "Connection: close", f"Content-Type: {kind}",
        *([f"Content-Length: {length}"] if length else []), *([more] if more else []), "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1") + body


def written_json(path: str, document: Json) -> bytes:
    """Write a request whose body is a JSON document."""
    return written("POST", path, json.dumps(document).encode())


class _Timed(io.RawIOBase):
    """What comes in by a socket, until a moment that no drip moves."""

    def __init__(self, connection: socket, ends_at: float) -> None:
        self._connection, self._ends_at = connection, ends_at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Incoming:
    """What `http.client` wants of a socket: a file to read."""

    def __init__(self, connection: socket, ends_at: float) -> None:
        self._timed = _Timed(connection, ends_at)

    def makefile(self, _mode: str) -> io.BufferedIOBase:
        return io.BufferedReader(self._timed)  # type: ignore[type-var]  # it is a RawIOBase, as the document wants


def _answer(connection: socket, ends_at: float) -> Answer:
    answer = http.client.HTTPResponse(_Incoming(connection, ends_at))  # type: ignore[arg-type]
    try:
        answer.begin()
        body = answer.read(MOST_ANSWER + 1)
    except (http.client.RemoteDisconnected, ConnectionError) as e:
        raise ClosedError("hung up without an answer") from e
    except (http.client.HTTPException, OSError, ValueError) as e:
        raise SilentError(f"no answer: {type(e).__name__}") from e
    finally:
        answer.close()
    if len(body) > MOST_ANSWER:
        raise SilentError(f"the answer has more than {MOST_ANSWER} bytes")
    return Answer(answer.status, body)
