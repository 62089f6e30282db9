"""How does a model server's call of a tool come in, and how does the answer go back?

POST /mcp with a token: one message, judged and sent on; the answer comes as it comes, a list of tools filtered. DELETE
ends a conversation. What is malformed is answered 400, whom nobody let in 401, what the contract does not list by an
error of JSON-RPC, which every client of MCP understands.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TypeAlias

from lockgate.core.tool import (
    LISTING,
    MAX_ANSWER,
    MAX_MESSAGE,
    Message,
    Toolbox,
    answering,
    check_mirrored,
    events_of,
    filtered,
    is_answer,
    read_message,
)
from lockgate.drivers.mcp_door.guests import Guest, Guests
from lockgate.drivers.mcp_door.upstream import Upstream
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.loader.narrow_door import NarrowDoor

Reply: TypeAlias = Callable[[Guest], None]

PATH = "/mcp"

MAX_CALLERS = 128  # at one door; more than the calls that its guests may have under way

_IDLE_SECONDS = 60.0
_EVENT = b"event: message\ndata: %b\n\n"
_UNKNOWN_TOOL = -32602  # invalid params (JSON-RPC 2.0 §5.1), which is what MCP has for it
_ANSWERED = ("content-type", "mcp-session-id", "mcp-protocol-version")


class Door(NarrowDoor):
    """The door to one MCP server, on this machine."""

    most = MAX_CALLERS
    silence, whole = _IDLE_SECONDS, None
    request_queue_size = 128

    def __init__(self, at: tuple[str, int], upstream: Upstream, guests: Guests) -> None:
        self.upstream, self.guests = upstream, guests
        super().__init__(at, _Visit)


class _Visit(BaseHTTPRequestHandler):
    server: Door
    timeout = _IDLE_SECONDS
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "lockgate", ""
    begun = False  # an answer of the server of the tools: what goes wrong now cannot be said any more

    def do_POST(self) -> None:
        """Send one message on, if it may pass."""
        self._let_in(self._post)

    def do_DELETE(self) -> None:
        """End a conversation with the server of the tools."""
        self._let_in(lambda guest: self._send_on(guest, None))

    def do_GET(self) -> None:
        """Open no stream: what a server says unasked is about nothing that a contract lists."""
        self._let_in(lambda _guest: self._answer(405, b"", allow="POST, DELETE"))

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _let_in(self, visit: Reply) -> None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if self.path != PATH:
            self._answer(404, b"", ends=True)
            return
        try:
            guest = self.server.guests.find(
                token if scheme.lower() == "bearer" else "", time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            )
        except DeniedError:
            self._answer(401, b"", ends=True, **{"www-authenticate": "Bearer"})
            return
        if not guest.places.acquire(blocking=False):
            self._answer(503, b"", ends=True)
            return
        try:
            with self.server.answering(self.connection):
                self._visited(visit, guest)
        finally:
            guest.places.release()

    def _visited(self, visit: Reply, guest: Guest) -> None:
        self.begun = False
        try:
            visit(guest)
        except (LockgateError, OSError, http.client.HTTPException) as e:
            self._refuse(e)

    def _refuse(self, error: Exception) -> None:
        self.close_connection = True
        if self.begun:
            return
        if isinstance(error, VerificationError):
            self._answer(400, _error(None, str(error)))
        elif isinstance(error, DeniedError):
            self._answer(401, b"")
        else:
            self._answer(502, _error(None, "the server of the tools does not answer"))

    def _post(self, guest: Guest) -> None:
        message = read_message(self._body())
        check_mirrored(message, self._said())
        try:
            guest.toolbox.check(message)
        except DeniedError as e:
            asked = message.id is not None  # a notification is answered by nothing
            self._answer(200 if asked else 202, _error(message.id, str(e)) if asked else b"")
            return
        self._send_on(guest, message)

    def _send_on(self, guest: Guest, message: Message | None) -> None:
        upstream = self.server.upstream
        line = upstream.connect()
        try:
            with self.server.guests.under_way(guest, self.connection, line.sock):
                method, body = ("DELETE", None) if message is None else ("POST", message.document)
                with upstream.ask(line, method, body, self._said()) as answer:
                    self._judged(answer, message, guest.toolbox)
        finally:
            line.close()

    def _judged(self, answer: http.client.HTTPResponse, message: Message | None, toolbox: Toolbox) -> None:
        try:
            if message is not None and message.method == LISTING:
                self._listing(answer, message, toolbox)
            else:
                self._pass_on(answer, message)
        except VerificationError as e:
            raise UnavailableError(f"the server of the tools does not answer what it was asked: {e}") from e

    def _pass_on(self, answer: http.client.HTTPResponse, message: Message | None) -> None:
        """Pass on what answers this message, each event as it comes, and nothing else."""
        kind = answer.getheader("content-type", "")
        if message is not None and kind.startswith("text/event-stream"):
            self._stream(answer, message)
            return
        content = _whole(answer)
        told = answering(content, message) if message and content and kind.startswith("application/json") else None
        self._say(answer, told or b"")

    def _stream(self, answer: http.client.HTTPResponse, message: Message) -> None:
        self._begin(answer)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in stream_of(answer):
            for document in events_of(event):
                if told := answering(document, message):
                    piece = _EVENT % told
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if answer.length:
            raise ConnectionAbortedError("the answer broke off")
        self.wfile.write(b"0\r\n\r\n")

    def _listing(self, answer: http.client.HTTPResponse, message: Message, toolbox: Toolbox) -> None:
        """Pass a list of tools on, with nothing in it that the contract does not list."""
        content = _whole(answer)
        if answer.getheader("content-type", "").startswith("text/event-stream"):
            told = [answering(each, message) for each in events_of(content) if is_answer(each)]
            content = b"".join(_EVENT % filtered(each, toolbox).document for each in told if each)
        elif content:
            content = filtered(answering(content, message) or b"", toolbox).document
        self._say(answer, content)

    def _say(self, answer: http.client.HTTPResponse, content: bytes) -> None:
        self._begin(answer)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _begin(self, answer: http.client.HTTPResponse) -> None:
        self.begun = True
        self.send_response(answer.status)
        for name in _ANSWERED:
            if (text := answer.getheader(name)) is not None:
                self.send_header(name, text)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()) or "transfer-encoding" in self.headers:
            raise VerificationError("a message says its length")
        if len(length) > 8 or int(length) > MAX_MESSAGE:
            raise VerificationError(f"a message has at most {MAX_MESSAGE} bytes")
        return self.rfile.read(int(length))

    def _said(self) -> dict[str, str]:
        names = [name.lower() for name in self.headers]
        if len(set(names)) != len(names):
            raise VerificationError("a header is given twice")
        if any(set(text) & set("\r\n\0") for text in self.headers.values()):
            raise VerificationError("a header is folded")
        return {name.lower(): text for name, text in self.headers.items()}

    def _answer(self, status: int, content: bytes, *, ends: bool = False, **headers: str) -> None:
        self.send_response(status)
        if ends or self.close_connection:
            self.send_header("connection", "close")
        for name, text in headers.items():
            self.send_header(name, text)
        if content:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _whole(answer: http.client.HTTPResponse) -> bytes:
    content = answer.read(MAX_ANSWER + 1)
    if len(content) > MAX_ANSWER:
        raise UnavailableError("the answer is too long")
    return content


def stream_of(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield each event of a stream when it is whole; one that was not ended is none (WHATWG HTML §9.2)."""
    event = b""
    while line := answer.readline(MAX_ANSWER + 1):
        event += line
        if len(event) > MAX_ANSWER:
            raise UnavailableError("an event is too long")
        if not line.strip(b"\r\n"):
            yield event
            event = b""


def _error(id_: str | int | None, why: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "error": {"code": _UNKNOWN_TOOL, "message": why}}).encode()
