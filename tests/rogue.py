"""Who answers when the server is not ours? One that opens a session for everybody and then says what a test wants."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Rogue(ThreadingHTTPServer):
    """A server that opens sessions for everybody, and says the same to every question."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.status, self.content, self.token = 200, b"{}", "token"

    def answer(self, _body):
        return self.content


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fixed = {"/healthz": {"environment": "prod"}, "/api/v1/sessions": {"token": self.server.token}}.get(self.path)
        content = json.dumps(fixed).encode() if fixed else self.server.answer(body)
        self.send_response(200 if fixed else self.server.status)
        self.send_header("content-length", str(len(content)))
        self.send_header("location", "/elsewhere")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - names of the standard library

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def listening(server):
    """Let a server answer until the block ends."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
