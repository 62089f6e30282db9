"""Does a host hear what a server says, and does nothing that a server says, or leaves unsaid, harm it?"""

import socket
import threading
import time
from contextlib import suppress

import pytest

from lockgate.core.intent import sign_intent
from lockgate.core.news import News
from lockgate.formats.names import Name
from lockgate.loader import hearing
from lockgate.loader.connection import Connection
from lockgate.loader.hearing import hear
from tests.world import key

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(piece):
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Rogue:
    """A server that says what it is told, once for each connection, and then hangs up or falls silent."""

    def __init__(self, *scripts, silent=False, drips=b""):
        self.scripts, self.silent, self.drips, self.asked = list(scripts), silent, drips, 0
        self.door = socket.create_server(("127.0.0.1", 0))
        self.open = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                caller, _ = self.door.accept()
            except OSError:
                return
            caller.recv(65536)
            self.asked += 1
            caller.sendall(self.scripts.pop(0) if self.scripts else b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
            with suppress(OSError):
                while self.drips:
                    caller.sendall(self.drips)
                    time.sleep(0.02)
            if self.silent:
                self.open.append(caller)
            else:
                caller.close()

    def connection(self):
        port = self.door.getsockname()[1]
        connection = Connection(
            f"http://127.0.0.1:{port}", Name("host-1"), lambda said: sign_intent(said, key("host-1"))
        )
        connection.token = "given"
        return connection


def heard(rogue, count, pauses=None):
    """Listen until so many things were heard or waited for."""
    found: list[object] = []
    told: list[str] = []
    waited = [] if pauses is None else pauses

    def ended():
        return len(found) + len(waited) >= count

    found.extend(hear(rogue.connection(), ended=ended, pause=waited.append, tell=told.append))
    return found, told


SUSPENDED = News("suspended", "prod/magika", 7)


def test_a_word_is_heard_and_so_is_that_the_line_is_up():
    rogue = Rogue(HEAD + chunk(b": listening\n\n") + chunk(SUSPENDED.encode()) + chunk(b":\n\n") + chunk(b""))

    found, told = heard(rogue, 3)

    assert found == [None, SUSPENDED]
    assert told == ["the line to the server is down: the server has ended it"]


def test_a_word_may_come_in_pieces_and_several_in_one():
    words = [News("replaced", f"prod/e{number}", number) for number in range(3)]
    whole = b"".join(word.encode() for word in words)
    rogue = Rogue(HEAD + b"".join(chunk(bytes([byte])) for byte in whole), HEAD + chunk(whole))

    found, _ = heard(rogue, 9)

    assert [news for news in found if news] == words * 2


def test_when_the_line_breaks_it_is_opened_again_and_that_is_said():
    rogue = Rogue(HEAD + chunk(SUSPENDED.encode()), b"", HEAD + chunk(SUSPENDED.encode()))
    pauses: list[float] = []

    found, _ = heard(rogue, 7, pauses)

    assert found[:2] == found[2:4] == [None, SUSPENDED]
    assert rogue.asked >= 3


def test_each_failure_makes_it_wait_longer_and_never_the_same_time():
    pauses: list[float] = []

    _, told = heard(Rogue(), 12, pauses)

    assert len(told) == 12
    assert len(set(pauses)) == 12
    assert [0.5 <= pause / min(5.0, 0.2 * 2**number) <= 1.5 for number, pause in enumerate(pauses)] == [True] * 12


def test_a_line_that_ends_as_soon_as_it_is_up_is_opened_less_and_less_often():
    pauses: list[float] = []

    found, _ = heard(Rogue(*[HEAD + chunk(b": listening\n\n")] * 10), 16, pauses)

    assert found == [None] * 8
    assert pauses[-1] >= 0.5 * 5.0


def test_a_line_that_lasted_is_opened_again_at_once(monkeypatch):
    monkeypatch.setattr(hearing, "SILENCE", 1e-5)
    pauses: list[float] = []

    heard(Rogue(), 12, pauses)

    assert max(pauses) <= 0.3


@pytest.mark.parametrize(
    "script",
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 3\r\n\r\nhi\n",
        HEAD + chunk(b"x" * 9000),
        HEAD + b"".join(chunk(b"data: " + b"x" * 4000 + b"\n") for _ in range(4)),
        HEAD + chunk(b"event: suspended\ndata: prod/x\n\n"),
        HEAD + chunk(b"id: 1\nevent: suspended\ndata: " + b"y" * 300 + b"\n\n"),
        HEAD + chunk(b"\xff\xfe\n\n"),
        HEAD + b"zz\r\n",
        b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
        b"\x00\x01",
    ],
)
def test_whatever_else_a_server_says_is_no_news(script):
    found, told = heard(Rogue(script), 2)

    assert [news for news in found if news] == []
    assert len(told) >= 1


def test_a_word_of_later_is_passed_over():
    rogue = Rogue(HEAD + chunk(b"id: 1\nevent: moved\ndata: x\n\n") + chunk(SUSPENDED.encode()))

    assert heard(rogue, 3)[0] == [None, SUSPENDED]


def test_a_line_without_a_heartbeat_is_dead(monkeypatch):
    monkeypatch.setattr(hearing, "SILENCE", 0.2)
    rogue = Rogue(HEAD + chunk(b": listening\n\n"), silent=True)

    found, told = heard(rogue, 2)

    assert found == [None]
    assert "ReadTimeoutError" in told[0] or "TimeoutError" in told[0]


def test_a_line_that_drips_is_dead(monkeypatch):
    monkeypatch.setattr(hearing, "SILENCE", 0.3)
    rogue = Rogue(HEAD, drips=chunk(b"x"))

    found, told = heard(rogue, 2)

    assert found == [None]
    assert "drips" in told[0]
