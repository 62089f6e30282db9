"""How do tests call a gateway, and what do they show it? Plain sockets: nothing retries behind their back."""

import http.client
import socket
import threading
import time

from lockgate.core.traffic import RELEASE_HEADER, Address, Route, Traffic
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag

ENDPOINT = Endpoint.parse("prod/magika")
STABLE, CANDIDATE = Digest.of(b"stable"), Digest.of(b"candidate")
PATIENCE = 20
SECOND = 1_000_000_000


def boottime():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return Address("127.0.0.1", found.getsockname()[1])


def route(release, upstream, weight, seconds=600):
    tag = Tag.parse("magika@1.0.0" if release == STABLE else "magika@1.1.0")
    return Route(release, tag, upstream.address, weight, boottime() + int(seconds * SECOND))


def split(usual, tried, weight, **more):
    """Give the candidate its weight, and the stable release the rest."""
    routes = (route(CANDIDATE, tried, weight), route(STABLE, usual, 100 - weight))
    return Traffic(**{"endpoint": ENDPOINT, "routes": routes} | more)


def call(address, path, **headers):
    """Return status, release and body; headers with dashes for underscores."""
    caller = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
    try:
        caller.request("POST", path, b"{}", {name.replace("_", "-"): value for name, value in headers.items()})
        answer = caller.getresponse()
        return answer.status, answer.getheader(RELEASE_HEADER), answer.read().decode()
    finally:
        caller.close()


def until(question):
    """Ask until the answer is true."""
    end = time.monotonic() + PATIENCE
    while not (found := question()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
    return found


class Stream(threading.Thread):
    """A caller that reads tokens until the stream is cut: `newest` is when the last one was written, by the writer."""

    def __init__(self, address, path="/prod/magika/tokens"):
        super().__init__(daemon=True)
        self.newest, self.ended_at = 0.0, None
        self.caller = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
        self.caller.request("GET", path)
        self.answer = self.caller.getresponse()
        self.start()
        until(lambda: self.newest)

    def run(self):
        try:
            while line := self.answer.readline():
                self.newest = float(line)
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self.ended_at = time.monotonic()
        self.caller.close()
