"""Who hears what an installation tells? One in memory, and a real HTTP server that may be closed for a while."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lockgate.errors import UnavailableError


class Heard:
    """A channel in memory (port `Channel`)."""

    def __init__(self, name="memory"):
        self.name = name
        self.notices = []
        self.refuses = False

    def tell(self, notice):
        if self.refuses:
            raise UnavailableError("nobody listens")
        self.notices.append(notice)

    @property
    def entries(self):
        return [notice.entry for notice in self.notices]


class Receiver:
    """Takes what `json://127.0.0.1:PORT` sends. `answer` is the status that it gives; closed, it does not listen."""

    def __init__(self, port):
        self.port, self.answer, self.bodies = port, 200, []
        self._server = None

    def __enter__(self):
        receiver = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.answer == 200:
                    receiver.bodies.append(json.loads(body))
                self.send_response(receiver.answer)
                self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Door)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def texts(self):
        return [body["message"] for body in self.bodies]
