"""How long does the server wait for a client that drips?"""

import hashlib
import socket
import ssl
import time
from contextlib import contextmanager, suppress

import pytest

from lockgate.core.intent import sign_intent
from lockgate.formats.names import Name
from lockgate.loader.connection import Connection
from lockgate.server import asgi, patience
from tests.live.company import serving
from tests.live.tls_files import Files
from tests.world import World, key

HEAD = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(patience, "HEADERS_SECONDS", 0.4)
    monkeypatch.setattr(patience, "BODY_SECONDS", 0.4)


@pytest.fixture(scope="module")
def server():
    with serving(World()) as url:
        yield url


@contextmanager
def wired(url):
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as wire:
        yield wire


def heard(wire):
    """Read until the server is done with us."""
    found = b""
    try:
        while piece := wire.recv(4096):
            found += piece
    except ConnectionResetError:
        pass
    return found


def token(url):
    alice = Connection(url, Name("alice"), lambda intent: sign_intent(intent, key("alice")))
    return alice.open_session().encode()


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: local", b"\r\n"]
)
def test_who_does_not_bring_its_headers_is_cut_off(hasty, server, begun):
    with wired(server) as wire:
        wire.sendall(begun)
        assert heard(wire) == b""


def test_who_drips_headers_gains_nothing_by_it(hasty, server):
    with wired(server) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() < began + 5:
                wire.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.05)
        assert time.monotonic() - began < 3


def test_a_connection_that_is_kept_has_its_headers_timed_again(hasty, server):
    with wired(server) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(0.6)  # longer than headers may take: nothing was begun
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")
        wire.sendall(b"GET /heal")
        assert heard(wire) == b""


def test_headers_have_a_size(server):
    with wired(server) as wire, pytest.raises(OSError):
        for _ in range(1000):
            wire.sendall(b"GET /healthz HTTP/1.1\r\n" if _ == 0 else b"X: " + b"x" * 1000 + b"\r\n")
            time.sleep(0.0001)
        wire.recv(1)
        raise AssertionError("a megabyte of headers was taken")


@pytest.mark.parametrize("path", ["/api/v1/sessions", "/api/v1/changes"])
def test_a_body_that_does_not_come_is_answered_408(server, hasty, path):
    bearer = b"Authorization: Bearer " + token(server) + b"\r\nIdempotency-Key: " + b"n" * 16 + b"\r\n"

    with wired(server) as wire:
        wire.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\n" + bearer + HEAD + b"{")
        answer = heard(wire)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"urn:lockgate:problem:too-slow" in answer


def test_an_upload_that_drips_is_cut_off_and_leaves_nothing(server, hasty):
    digest = hashlib.sha256(b"x" * 100).hexdigest()
    line = f"PUT /api/v1/blobs/sha256:{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    bearer = b"Authorization: Bearer " + token(server) + b"\r\n\r\n"

    with wired(server) as wire:
        wire.sendall(line.encode() + bearer)
        began = time.monotonic()
        wire.settimeout(0.1)
        answer = b""
        while not answer:
            wire.sendall(b"x")
            with suppress(TimeoutError):
                answer = wire.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 3


def test_who_keeps_the_rate_may_take_its_time(server, hasty, monkeypatch):
    monkeypatch.setattr(patience, "BODY_RATE", 10)
    digest = hashlib.sha256(b"x" * 20).hexdigest()
    line = f"PUT /api/v1/blobs/sha256:{digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n"
    bearer = b"Authorization: Bearer " + token(server) + b"\r\n\r\n"

    with wired(server) as wire:
        wire.sendall(line.encode() + bearer)
        for _ in range(4):
            time.sleep(0.2)
            wire.sendall(b"x" * 5)
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")


def test_over_tls_too(tmp_path, hasty):
    files = Files(tmp_path)
    with serving(World(), files.shown(files.server())) as url, wired(url) as plain:
        context = ssl.create_default_context(cafile=files.believing(files.company).authorities)
        with context.wrap_socket(plain, server_hostname="localhost") as wire:
            wire.sendall(b"GET /healthz HTTP/1.1\r\n")
            assert heard(wire) == b""


def test_who_takes_nothing_of_what_it_is_sent_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(asgi, "STALLED", 1)
    with asgi.bound("127.0.0.1", 0) as door:
        door.listen()
        with socket.create_connection(door.getsockname()) as idle:
            sending, _ = door.accept()
            with sending, pytest.raises(TimeoutError):
                while True:
                    sending.sendall(bytes(1 << 16))
            assert idle.fileno() > 0
