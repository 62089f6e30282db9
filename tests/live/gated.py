"""A stage whose host has a gateway: it serves as long as somebody who calls through the gateway is answered."""

import contextlib
import http.client
import threading
import time
from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.core.traffic import RELEASE_HEADER, Address
from tests.calling import PATIENCE, Stream
from tests.live.drill import SECONDS, SLACK, Stage, boot_now, short_leases, wait_until
from tests.live.serving import free_port

TALKS = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Talks(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(500 if self.path == "/fail" else 200)
        self.send_header("x-at", str(time.clock_gettime(time.CLOCK_BOOTTIME)))
        if self.path != "/tokens":
            body = f"{sys.argv[1]} {self.path}".encode()
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while True:
            line = f"{time.monotonic():.6f}\\n".encode()
            self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(line), line))
            time.sleep(0.01)

    do_POST = do_GET

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Talks).serve_forever()
"""


class Caller(threading.Thread):
    """Calls through the gateway again and again: `last` is when the last answer was written (CLOCK_BOOTTIME)."""

    def __init__(self, address, path="/prod/magika/again"):
        super().__init__(daemon=True)
        self.address, self.path = address, path
        self.last, self.status, self.release, self.ended, self.asked = 0.0, None, None, False, 0

    def run(self):
        while not self.ended:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.ask()
            time.sleep(0.02)

    def ask(self):
        caller = http.client.HTTPConnection(self.address.host, self.address.port, timeout=1)
        try:
            caller.request("GET", self.path)
            answer = caller.getresponse()
            answer.read()
            self.status = answer.status
            self.release = answer.getheader(RELEASE_HEADER)
            self.asked += 1
            if answer.status == 200:
                self.last = float(answer.getheader("x-at"))
        finally:
            caller.close()


class GatedStage(Stage):
    """A stage on which to be alive is to be answered through the gateway."""

    def __init__(self, folder, conninfo):
        self.address = Address("127.0.0.1", free_port())
        super().__init__(folder, conninfo, program=TALKS)
        self.caller = Caller(self.address)
        self.caller.start()

    def scratch(self):
        """Leave it as it is: what answers writes nowhere."""
        return ""

    def _home(self):
        home = super()._home()
        with (home / "host.toml").open("a") as settings:
            settings.write(f'gateway = "{self.address}"\n')
        return home

    def run(self, *words, **more):
        self.caller.last = 0.0  # what was answered before is no sign of this run
        return super().run("--port", "0", *words, **more)

    def last_beat(self):
        return self.caller.last

    def is_serving(self):
        return self.last_beat() > boot_now() - 2

    def silence(self, within):
        """Wait until nobody was answered for a while; say when the last answer was written."""
        wait_until(lambda: not self.is_serving(), within)
        return self.last_beat()

    def check_ends_with_its_lease(self, since):
        """See that nothing is answered later than a lease lasts that was in force at `since`."""
        assert self.silence(SECONDS + 15) - since < SECONDS + SLACK

    def stream(self):
        """Begin to read tokens through the gateway; whoever reads sees when they end."""
        return Stream(self.address)

    def end(self):
        self.caller.ended = True
        super().end()


def wait_for_end(stream, within=PATIENCE):
    wait_until(lambda: stream.ended_at is not None, within)


def staged(cluster, tmp_path_factory, make=GatedStage, **more):
    """One installation for all tests of a module: of today, with short leases, and a gateway at its host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        short_leases(patch, **more)
        stage = make(tmp_path_factory.mktemp("gated"), cluster.database()[1])
        yield stage
        stage.end()


@pytest.fixture(scope="module")
def gated_theatre(cluster, tmp_path_factory):
    yield from staged(cluster, tmp_path_factory)


@pytest.fixture
def gated(gated_theatre):
    gated_theatre.wire.mode, gated_theatre.wire.delay = "passes", 0.0
    gated_theatre.serve()
    yield gated_theatre
    gated_theatre.dismiss()
