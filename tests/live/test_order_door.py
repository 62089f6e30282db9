"""What gets through the door of an agent? One short order; whoever wants more, or takes his time, is cut off."""

import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import urllib3

from lockgate.agent.order_door import MAX_ORDER, OrderDoor
from lockgate.core.order import Order
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.loader.narrow_door import MAX_CALLERS
from lockgate.loader.tls import Tls, client_context, server_context
from tests.core.test_order import ORDER
from tests.live.tls_files import HERE, Files


class Obeying:
    """An agent that notes what it was ordered."""

    def __init__(self):
        self.orders, self.error = [], None

    def __call__(self, order):
        self.orders.append(order)
        if self.error:
            raise self.error
        return b'{"receipt": true}'


@contextmanager
def opened(obey, tls=None):
    with OrderDoor(("127.0.0.1", 0), obey, tls) as door:
        threading.Thread(target=door.serve_forever, args=(0.05,), daemon=True).start()
        yield door.server_port
        door.shutdown()


@pytest.fixture
def obeying():
    return Obeying()


@pytest.fixture
def port(obeying):
    with opened(obeying) as port:
        yield port


def send(port, body, path="/orders", method="POST", **headers):
    pool = urllib3.PoolManager(retries=False, timeout=10)
    return pool.request(method, f"http://127.0.0.1:{port}{path}", body=body, headers=headers)


def speak(port, data, wait=5.0):
    """Send any bytes; return what came back until the other end hung up."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as caller:
        found = b""
        try:
            caller.sendall(data)
            while piece := caller.recv(4096):
                found += piece
        except ConnectionError:
            pass
        return found


def test_an_order_comes_through_and_its_receipt_goes_back(obeying, port):
    answer = send(port, plain.encode(ORDER))

    assert (answer.status, answer.data) == (200, b'{"receipt": true}')
    assert obeying.orders == [ORDER] and isinstance(obeying.orders[0], Order)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeniedError("one", "two"), 409),
        (VerificationError("x"), 422),
        (ConflictError("x"), 412),
        (UnavailableError("x"), 503),
    ],
)
def test_no_is_said_with_every_reason(obeying, port, error, status):
    obeying.error = error
    answer = send(port, plain.encode(ORDER))

    assert answer.status == status and answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.data)["reasons"] == list(getattr(error, "reasons", ["x"]))


@pytest.mark.parametrize("path", ["/", "/orders/", "/orders?x", "/healthz", "/ORDERS", "/%6frders"])
def test_there_is_one_path(obeying, port, path):
    assert send(port, plain.encode(ORDER), path).status == 404
    assert obeying.orders == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "X"])
def test_there_is_one_method(obeying, port, method):
    assert send(port, plain.encode(ORDER), method=method).status == 501
    assert obeying.orders == []


@pytest.mark.parametrize(
    "data",
    [
        b"POST /orders HTTP/1.1\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (MAX_ORDER + 1),
        b"POST /orders HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /orders HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /orders HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /orders HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"POST /orders HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x00\xff\r\n\r\n",
        b"POST /orders HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"POST /orders HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_order_is_refused_or_cut_off(obeying, port, data):
    found = speak(port, data)

    assert b" 200 " not in found and b"Traceback" not in found and len(found) < 2000
    assert obeying.orders == []
    assert send(port, plain.encode(ORDER)).status == 200


def test_an_order_that_breaks_off_is_none(obeying, port):
    body = plain.encode(ORDER)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(b"POST /orders HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body[:-1])
        caller.shutdown(socket.SHUT_WR)
        assert b" 422 " in caller.recv(4096)
    assert obeying.orders == []


def test_who_takes_his_time_is_cut_off(monkeypatch, obeying):
    monkeypatch.setattr(OrderDoor, "whole", 0.5)
    with opened(obeying) as port, socket.create_connection(("127.0.0.1", port)) as caller:
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 10:
                caller.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 5


def test_many_who_say_nothing_keep_nobody_out(obeying, port):
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_CALLERS * 3)]
    try:
        began = time.monotonic()
        assert send(port, plain.encode(ORDER)).status == 200
        assert time.monotonic() - began < 5
        assert silent[0].recv(1) == b""
    finally:
        for caller in silent:
            caller.close()


def test_who_is_obeyed_gives_way_to_nobody(obeying):
    begun, go_on = threading.Event(), threading.Event()

    def obey(order):
        begun.set()
        assert go_on.wait(20)
        return obeying(order)

    with opened(obey) as port, ThreadPoolExecutor(1) as senders, ExitStack() as stack:
        stack.callback(go_on.set)
        sent = senders.submit(send, port, plain.encode(ORDER))
        assert begun.wait(20)
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(2 * MAX_CALLERS)]
        assert silent[0].recv(1) == b""
        go_on.set()
        assert sent.result(20).status == 200


def test_over_tls_an_order_comes_through_and_silence_is_cut_off(monkeypatch, obeying, tmp_path):
    shown = Files(tmp_path).alone("host-1", *HERE)
    with opened(obeying, server_context(shown)) as port:
        pool = urllib3.PoolManager(
            retries=False, timeout=10, ssl_context=client_context(Tls(authorities=shown.certificate))
        )
        assert pool.request("POST", f"https://localhost:{port}/orders", body=plain.encode(ORDER)).status == 200
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_CALLERS * 2)]
        assert pool.request("POST", f"https://localhost:{port}/orders", body=plain.encode(ORDER)).status == 200
        for caller in silent:
            caller.close()
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", port)) as caller:
            ssl.create_default_context().wrap_socket(caller, server_hostname="localhost")
        assert b" 200 " not in speak(port, b"POST /orders HTTP/1.1\r\n\r\n")
