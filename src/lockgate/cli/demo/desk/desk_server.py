"""How does the desk serve?

    POST /ask      {"session", "request"}, at most 16 KiB  →  {"answer", "steps", "release", "parts"}
                   with `Accept: text/event-stream`: an event for each step as it is done, then one for the answer
    GET  /healthz                                          →  {"release", "parts"}

`--model DIR` holds the verified components, `--memory FILE` and `--tools FILE` what a binding granted (`access/v1`). It
has no other secret, and gets none.
"""

import argparse
import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

from lockgate.cli.demo.desk.answering import Answer, Desk, Step
from lockgate.cli.demo.desk.parts import read_parts
from lockgate.cli.demo.desk.remembering import ForgottenError, PostgresMemory
from lockgate.cli.demo.desk.tool_line import ToolLine

MAX_BODY = 16 * 1024
MAX_REQUEST = 2000
_SESSION = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    server_version = "desk"
    sys_version = ""
    timeout = 30.0
    server: "Served"

    def do_GET(self) -> None:
        """Say which release serves, part by part."""
        if self.path == "/healthz":
            parts = self.server.desk.parts
            self._answer(200, {"release": f"desk@{parts.version}", "parts": dict(parts.digests)})
        else:
            self._refuse(404, "nothing here but GET /healthz and POST /ask")

    def do_POST(self) -> None:
        """Answer a request."""
        stated = self.headers.get("Content-Length", "")
        if self.path != "/ask":
            self._refuse(404, "nothing here but GET /healthz and POST /ask")
        elif "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,18}", stated):
            self._refuse(411, "a Content-Length is wanted")
        elif int(stated) > MAX_BODY:
            self._refuse(413, f"{MAX_BODY} bytes at most")
        else:
            self._read(int(stated))

    def _read(self, length: int) -> None:
        content = self.rfile.read(length)
        try:
            session, request = read_request(content)
        except ValueError as e:
            self._refuse(400, str(e))
            return
        told = self.server.desk.answer(session, request)
        try:
            if "text/event-stream" in self.headers.get("Accept", ""):
                self._stream(told)
            else:
                self._answer(200, written([*told][-1]))
        except ForgottenError as e:
            self._refuse(503, str(e))

    def _stream(self, told: Iterator[Step | Answer]) -> None:
        first = next(told)  # what fails at once is an answer of its own kind
        self.close_connection = True  # the end of the stream is the end of the connection
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for each in chain((first,), told):
                kind = "answer" if isinstance(each, Answer) else "step"
                self.wfile.write(f"event: {kind}\ndata: {json.dumps(written(each))}\n\n".encode())
        except ForgottenError as e:
            self.wfile.write(f"event: failed\ndata: {json.dumps({'error': str(e)})}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Keep quiet: what is asked is nobody else's business."""

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True
        self._answer(status, {"error": why})

    def _answer(self, status: int, document: Mapping[str, Any]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def read_request(content: bytes) -> tuple[str, str]:
    """Read who asks what; raise `ValueError` for anything else."""
    try:
        document = json.loads(content)
    except RecursionError as e:
        raise ValueError("nested too deep") from e
    if not isinstance(document, dict) or document.keys() != {"session", "request"}:
        raise ValueError("a session and a request are wanted, and nothing else")
    session, request = document["session"], document["request"]
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        raise ValueError("a session is 1 to 64 of A-Z a-z 0-9 . _ -")
    if not isinstance(request, str) or not 1 <= len(request) <= MAX_REQUEST or not request.isprintable():
        raise ValueError(f"a request is 1 to {MAX_REQUEST} printable characters")
    return session, request


def written(told: Step | Answer) -> Mapping[str, Any]:
    """Write a step or an answer as JSON holds it."""
    return asdict(told) if isinstance(told, Answer) else told


class Served(ThreadingHTTPServer):
    """The listening socket, and the desk behind it."""

    daemon_threads = True  # a slow client must not keep the desk alive after SIGTERM
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], desk: Desk) -> None:
        self.desk = desk
        super().__init__(address, Exchange)


def open_desk(model: Path, memory: Path, tools: Path) -> Desk:
    """Make the desk of the verified parts and of what was granted."""
    parts = read_parts(model)
    return Desk(parts, PostgresMemory(lambda: _means(memory)), ToolLine(lambda: _means(tools), parts.pinned))


def _means(access: Path) -> Mapping[str, str]:
    means: Mapping[str, str] = json.loads(access.read_bytes())["means"]
    return means


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="desk_server", description="Serve one release of the desk.")
    parser.add_argument("--model", type=Path, required=True, help="a directory with the components")
    parser.add_argument("--memory", type=Path, required=True, help="how to get into the database")
    parser.add_argument("--tools", type=Path, required=True, help="how to get to the MCP server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0: any free one")
    given = parser.parse_args()
    # As the first process of a PID namespace it would otherwise ignore the signal.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    desk = open_desk(given.model, given.memory, given.tools)
    with Served((given.host, given.port), desk) as served:
        print(f"serving desk@{desk.parts.version} on http://{given.host}:{served.server_port}", flush=True)
        served.serve_forever()


if __name__ == "__main__":
    main()
