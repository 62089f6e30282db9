"""How does a cluster ask about a pod? By POST /review over TLS, within strict limits; no answer is a no.

At most 4 MiB, 10 seconds and 32 callers at once. A review that cannot be read gets 400: that is a no too.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lockgate.core.admission import MAX_REVIEW, Answer
from lockgate.errors import LockgateError, UnavailableError

CALL_SECONDS = 10.0
MAX_CALLERS = 32

Judge = Callable[[bytes], Answer]

_log = logging.getLogger(__name__)


class ReviewDoor(ThreadingHTTPServer):
    """Where the cluster asks."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, at: tuple[str, int], judge: Judge, tls: ssl.SSLContext | None) -> None:
        """Listen at an address; raise `UnavailableError` if that is not possible."""
        self.judge, self._tls = judge, tls
        self._lock = threading.Lock()
        self._callers: dict[socket.socket, float] = {}
        self.address_family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
        try:
            super().__init__(at, _Call)
        except OSError as e:
            raise UnavailableError(f"cannot listen at {at[0]}:{at[1]}: {e.strerror}") from e

    def process_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        """Begin to answer, or hang up on whoever comes when all places are taken: the cluster takes that for a no."""
        assert isinstance(request, socket.socket)
        request.settimeout(CALL_SECONDS)
        secured = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) if self._tls else None
        caller = secured or request
        with self._lock:
            full = len(self._callers) >= MAX_CALLERS
            if not full:
                self._callers[caller] = time.monotonic()
        if full:
            super().shutdown_request(caller)
        else:
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
            with suppress(OSError):
                caller.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of callers who hang up."""


class _Call(BaseHTTPRequestHandler):
    server: ReviewDoor
    timeout = CALL_SECONDS
    wbufsize = -1
    server_version, sys_version = "lockgate", ""
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Say that somebody is here."""
        self._say(200 if self.path == "/healthz" else 404, b"")

    def do_POST(self) -> None:
        """Take a review, and answer with the answer."""
        length = self.headers.get("content-length", "")
        if self.path.partition("?")[0] != "/review":
            self._say(404, b"")
        elif not (length.isascii() and length.isdecimal() and len(length) < 9) or int(length) > MAX_REVIEW:
            self._say(413, b"")
        else:
            self._answer(self.rfile.read(int(length)))

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the answers are told."""

    def _answer(self, document: bytes) -> None:
        try:
            answer = self.server.judge(document)
        except LockgateError as e:
            _log.warning("not a review: %s", e)
            self._say(400, b"")
            return
        if answer.reasons:
            _log.warning("refused %s: %s", answer.uid, "; ".join(answer.reasons))
        self._say(200, answer.encode())

    def _say(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(content)
