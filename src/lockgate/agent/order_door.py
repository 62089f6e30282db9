"""How does an order come in? By POST /orders at the control address, within strict limits; nothing else is answered.

At most 64 KiB, 10 seconds and 32 callers at once, of whom the one who has been there longest gives way: an order is
one short request, so whoever takes his time has none. The intent in the order proves who gave it.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import ClassVar

from lockgate.core.order import Order
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain

MAX_ORDER = 64 << 10
MAX_HEAD = 16 << 10
MAX_CALLERS = 32
CALL_SECONDS = 10.0

_STATUS = {DeniedError: 409, VerificationError: 422, ConflictError: 412, UnavailableError: 503}

Obey = Callable[[Order], bytes]


class OrderDoor(ThreadingHTTPServer):
    """The control address of an agent."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, at: tuple[str, int], obey: Obey, tls: ssl.SSLContext | None) -> None:
        """Listen at an address; raise `UnavailableError` if that is not possible."""
        self.obey, self._tls = obey, tls
        self._lock = threading.Lock()
        self._callers: dict[socket.socket, float] = {}
        self.address_family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
        try:
            super().__init__(at, _Call)
        except OSError as e:
            raise UnavailableError(f"cannot take orders at {at[0]}:{at[1]}: {e.strerror}") from e

    def process_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        """Begin to answer; the one who has been there longest gives way when there are too many."""
        assert isinstance(request, socket.socket)
        request.settimeout(CALL_SECONDS)
        secured = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) if self._tls else None
        caller = secured or request
        with self._lock:
            self._callers[caller] = time.monotonic()
            over = len(self._callers) - MAX_CALLERS
            oldest = sorted(self._callers, key=self._callers.__getitem__)[: max(0, over)]
        for each in oldest:
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
        late = time.monotonic() - CALL_SECONDS
        with self._lock:
            found = [caller for caller, since in self._callers.items() if since < late]
        for caller in found:
            _cut(caller)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers who hang up."""


class _Bounded:
    """The head and the body of one request, no more than they may have."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream, self._left = stream, MAX_HEAD + MAX_ORDER

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
            raise ConnectionAbortedError("more than an order has")
        return found


class _Call(BaseHTTPRequestHandler):
    server: OrderDoor
    timeout = CALL_SECONDS
    wbufsize = -1
    server_version, sys_version = "lockgate", ""
    protocol_version = "HTTP/1.0"
    titles: ClassVar[dict[int, str]] = {status.value: status.phrase for status in HTTPStatus}

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment]  # what http.server asks of it, counted

    def do_POST(self) -> None:
        """Take an order, and answer with the receipt."""
        if self.path != "/orders":
            self.send_error(404)
            return
        try:
            order = plain.from_plain(Order, canonical.parse(self._body(), limit=MAX_ORDER), "order")
            self._answer(200, "application/json", self.server.obey(order))
        except LockgateError as e:
            reasons = e.reasons if isinstance(e, DeniedError) else (str(e),)
            self._refuse(_STATUS[type(e)], reasons)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal() and len(length) < 9) or "transfer-encoding" in self.headers:
            raise VerificationError("an order says its length")
        if int(length) > MAX_ORDER:
            raise VerificationError(f"an order has at most {MAX_ORDER} bytes, not {length}")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise VerificationError("the order broke off")
        return body

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say no as the server says it (RFC 9457)."""
        del message, explain
        self._refuse(code, ())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the agent tells what it did."""

    def _refuse(self, status: int, reasons: tuple[str, ...]) -> None:
        title = self.titles.get(status, "Error")
        problem = {"type": "about:blank", "title": title, "status": status, "reasons": reasons}
        if reasons:
            problem["detail"] = "; ".join(reasons)
        self._answer(status, "application/problem+json", json.dumps(problem).encode())

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(content)


def _cut(caller: socket.socket) -> None:
    with suppress(OSError):
        caller.shutdown(socket.SHUT_RDWR)
