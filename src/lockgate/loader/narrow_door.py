"""How are strangers answered at a door, so that nobody keeps others out, or takes all that the program has?

At most so many callers at once, of whom the one who has been there longest gives way, and at most so many bytes: what
is asked here is short, so whoever takes his time has nothing to ask.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase

from lockgate.errors import UnavailableError, VerificationError

MAX_HEAD = 16 << 10
MAX_CALLERS = 32
CALL_SECONDS = 10.0


class NarrowDoor(ThreadingHTTPServer):
    """An address at which each request is answered in a thread of its own.

    Attributes:
        most: How many callers there are at once.
        silence: How many seconds a caller may say nothing.
        whole: How many seconds a caller may be there at all, also one who sends a byte now and then; None for no end.
    """

    most = MAX_CALLERS
    silence = CALL_SECONDS
    whole: float | None = CALL_SECONDS

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, at: tuple[str, int], call: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
    ) -> None:
        """Listen at an address; raise `UnavailableError` if that is not possible."""
        self._tls = tls
        self._lock = threading.Lock()
        self._callers: dict[socket.socket, float] = {}
        self._answered: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
        try:
            super().__init__(at, call)
        except OSError as e:
            raise UnavailableError(f"cannot listen at {at[0]}:{at[1]}: {e.strerror}") from e

    @contextmanager
    def answering(self, caller: socket.socket) -> Iterator[None]:
        """Answer somebody who has asked, so that he gives way to nobody."""
        with self._lock:
            self._answered.add(caller)
        try:
            yield
        finally:
            with self._lock:
                self._answered.discard(caller)

    def process_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        """Begin to answer; the one who has asked nothing for longest gives way when there are too many."""
        assert isinstance(request, socket.socket)
        request.settimeout(self.silence)
        secured = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) if self._tls else None
        caller = secured or request
        with self._lock:
            self._callers[caller] = time.monotonic()
            over = max(0, len(self._callers) - self.most)
            waiting = sorted(self._callers.keys() - self._answered, key=self._callers.__getitem__)
        for each in waiting[:over]:
            _cut(each)
        super().process_request(caller, client_address)

    def finish_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        """Answer one caller, in a thread of its own; over TLS, shake hands first."""
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(request, client_address)

    def shutdown_request(self, request: "socket.socket | tuple[bytes, socket.socket]") -> None:
        """Forget a caller who was answered."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._callers.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off whoever takes too long, also one who sends a byte now and then."""
        if self.whole is None:
            return
        late = time.monotonic() - self.whole
        with self._lock:
            found = [caller for caller, since in self._callers.items() if since < late]
        for caller in found:
            _cut(caller)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers who hang up."""


class NarrowCall(BaseHTTPRequestHandler):
    """One request of HTTP/1.0, of which no more than `largest` bytes of body are read."""

    server: NarrowDoor
    largest: int
    wbufsize = -1
    server_version, sys_version = "lockgate", ""
    protocol_version = "HTTP/1.0"

    def setup(self) -> None:
        """Count what is read from here on."""
        super().setup()
        self.rfile = _Bounded(self.rfile, MAX_HEAD + self.largest)  # type: ignore[assignment]  # all that is asked of it

    def body(self, what: str) -> bytes:
        """Read the body; raise `VerificationError` unless it has the length that its head says, and that may be."""
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 9) or "transfer-encoding" in self.headers:
            raise VerificationError(f"{what} says its length")
        if int(length) > self.largest:
            raise VerificationError(f"{what} has at most {self.largest} bytes, not {length}")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise VerificationError(f"{what} broke off")
        return body

    def say(self, status: int, kind: str, content: bytes) -> None:
        """Answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: who answers tells what there is to tell."""


class _Bounded:
    """The head and the body of one request, no more than they may have."""

    def __init__(self, stream: BufferedIOBase, most: int) -> None:
        self._stream, self._left = stream, most

    def readline(self, limit: int = -1) -> bytes:
        return self._count(self._stream.readline(min(limit, self._left) if limit >= 0 else self._left))

    def read(self, size: int) -> bytes:
        return self._count(self._stream.read(min(size, self._left)))

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return self._stream.closed

    def _count(self, found: bytes) -> bytes:
        self._left -= len(found)
        if self._left <= 0:
            raise ConnectionAbortedError("more than a request has")
        return found


def _cut(caller: socket.socket) -> None:
    with suppress(OSError):
        caller.shutdown(socket.SHUT_RDWR)
