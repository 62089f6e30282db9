"""Systems that endpoints may hold, to be bound in tests: one in memory, and a real HTTP server behind a webhook.

Each lets in whoever brings what was granted. `lies` keeps doors open that it says are shut, `hangs` answers nobody.
"""

import json
import secrets
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

from lockgate.core.binding import Seen, logins_of, open_call
from lockgate.errors import UnavailableError
from tests.world import key


class InMemory:
    """Something with accounts and sessions (port `Binding`). `trouble` is what is wrong with it: hangs, lies, down."""

    def __init__(self):
        self.tools = {}
        self.secrets, self.sessions, self.until, self.trouble = {}, {}, {}, ""
        self.asked, self.answers = [], threading.Event()

    def grant(self, holder, until, tools=()):
        self._ask("grant", holder)
        self.tools[holder.login] = tuple(tools)
        self.until[holder.login] = until
        secret = self.secrets.setdefault(holder.login, secrets.token_hex(16))
        return {"login": holder.login, "secret": secret}

    def cut(self, endpoint, holder=None):
        self._ask("cut", holder or endpoint)
        if self.trouble != "lies":
            for login in self._logins(endpoint, holder):
                del self.secrets[login]
                self.sessions.pop(login, None)

    def probe(self, endpoint, holder=None):
        self._ask("probe", holder or endpoint)
        return "open" if self._logins(endpoint, holder) else "shut"

    def observed(self, endpoint):
        return Seen({login: self.sessions.get(login, 0) for login in self._logins(endpoint, None)})

    def close(self):
        pass

    def enter(self, granted):
        """Open a session as the model server would; raise if that is not possible."""
        if self.secrets.get(granted["login"]) != granted["secret"]:
            raise PermissionError
        self.sessions[granted["login"]] = self.sessions.get(granted["login"], 0) + 1
        return lambda: self._go_on(granted["login"])

    def _go_on(self, login):
        if not self.sessions.get(login):
            raise PermissionError

    def _ask(self, what, about):
        self.asked.append((what, about))
        if self.trouble == "hangs":
            self.answers.wait(60)
        if self.trouble == "down":
            raise UnavailableError("it is down")

    def _logins(self, endpoint, holder):
        begin = holder.login if holder else logins_of(endpoint)
        return [login for login in self.secrets if login.startswith(begin)]


class Desk:
    """What stands behind a webhook: it opens and shuts by signed calls, and lets bearers of its tokens in.

    `trouble` may be: lies, hangs, down (503), redirects, endless (1 GB), drips, junk, same (one token for ever).
    """

    def __init__(self):
        self.tokens, self.calls, self.trouble, self.elsewhere = {}, [], "", []

    def __enter__(self):
        desk = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile_body = self.rfile.read(int(self.headers["content-length"]))
                desk.take(self, open_call(self.rfile_body, lambda name: (key(str(name)).public,)))

            def do_GET(self):
                desk.answer_bearer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def take(self, door, call):
        self.calls.append(call)
        if self.misbehaves(door):
            return
        if call.act == "grant":
            token = self.tokens.setdefault(call.login, f"token-{secrets.token_hex(16)}")
            say(door, 200, {"token": token, "url": f"{self.url}/use"})
            return
        begin = call.login or logins_of(call.endpoint)
        if self.trouble != "lies":
            self.tokens = {login: token for login, token in self.tokens.items() if not login.startswith(begin)}
        say(door, 204)

    def answer_bearer(self, door):
        if door.path == "/elsewhere":
            self.elsewhere.append(door.headers.get("authorization"))
        if not self.misbehaves(door):
            known = door.headers.get("authorization", "").removeprefix("Bearer ") in self.tokens.values()
            say(door, 200 if known else 401, {})

    def misbehaves(self, door):
        match self.trouble:
            case "hangs":
                time.sleep(30)
            case "down":
                say(door, 503, {})
            case "redirects":
                say(door, 307, {}, location=f"{self.url}/elsewhere")
            case "endless":
                pour(door, b"x" * 65536, 1 << 30, 0.0)
            case "drips":
                pour(door, b" ", 10_000, 0.05)
            case "junk":
                say(door, 200, ["token"])
            case _:
                return False
        return True


def introspect(url, token, secret="the secret of the services"):
    """Ask about a token, as a service would."""
    asked = urllib.request.Request(url, urlencode({"token": token}).encode(), {"Authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.loads(answer.read())


def say(door, status, body=None, **headers):
    content = b"" if body is None else json.dumps(body).encode()
    door.send_response(status)
    for name, value in headers.items():
        door.send_header(name, value)
    if status != 204:
        door.send_header("content-length", str(len(content)))
    door.end_headers()
    door.wfile.write(content)


def pour(door, piece, size, pause):
    try:
        door.send_response(200)
        door.send_header("content-length", str(size))
        door.end_headers()
        for _ in range(size // len(piece)):
            door.wfile.write(piece)
            time.sleep(pause)
    except OSError:
        door.close_connection = True


@contextmanager
def in_trouble(system, trouble):
    system.trouble = trouble
    try:
        yield
    finally:
        system.trouble = ""
