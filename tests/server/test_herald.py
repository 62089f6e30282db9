"""Does every listener hear at once what concerns it, and does none of them hold up the others?"""

import asyncio
import threading

import pytest

from lockgate.errors import UnavailableError
from lockgate.formats.names import Name
from lockgate.server import herald as heralds
from lockgate.server.herald import WAITING, Herald, Listener
from lockgate.server.session import LIFETIME
from tests.server.served import API
from tests.world import World

HOST = Name("host-1")


class Line:
    """A connection: what was sent over it, and whether the other side takes it."""

    def __init__(self):
        self.sent, self.gone, self.reads = [], asyncio.Event(), asyncio.Event()
        self.reads.set()

    async def send(self, message):
        await self.reads.wait()
        self.sent.append(message.get("body", b""))

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def words(self):
        return [line[7:] for line in b"".join(self.sent).decode().split("\n") if line.startswith("event: ")]


class Stage:
    """A herald that follows the log of a world, in a loop of the test's own."""

    def __init__(self):
        self.world = World()
        self.herald = Herald(self.world.memory, Name("prod"))
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.herald.follow, args=(self.ended,))
        self.speaking = []

    def listen(self, node=HOST, seconds=60.0):
        line = Line()
        self.speaking.append(asyncio.ensure_future(self.herald.serve(node, seconds, line.receive, line.send)))
        return line

    async def begun(self, count):
        """Let so many listen, and then let the herald begin, which tells them to look."""
        lines = [self.listen() for _ in range(count)]
        await self.until(lambda: all(line.sent for line in lines))
        self.thread.start()
        await self.until(lambda: all(line.words == ["look"] for line in lines))
        return lines

    async def until(self, told):
        for _ in range(6000):
            if told():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it was not told")

    def queued(self, piece):
        return any(piece in waiting for listener in self.herald._listeners for waiting in listener.queue._queue)

    async def end(self):
        self.ended.set()
        if self.thread.ident is not None:
            self.thread.join()
        for line in self.speaking:
            line.cancel()
        await asyncio.gather(*self.speaking, return_exceptions=True)


def play(act):
    """Run a test of one stage in a loop."""

    async def whole():
        stage = Stage()
        try:
            await act(stage)
        finally:
            await stage.end()

    asyncio.run(whole())


def test_everybody_hears_what_was_done_and_nothing_of_before():
    async def act(stage):
        stage.world.serve()
        lines = await stage.begun(3)

        stage.world.shut_down()
        stage.herald.wake()

        await stage.until(lambda: all(line.words == ["look", "suspended"] for line in lines))
        assert b"data: prod/magika\n" in b"".join(lines[0].sent)

    play(act)


def test_it_looks_by_itself_for_what_others_did():
    async def act(stage):
        (line,) = await stage.begun(1)
        stage.world.shut_down()

        await stage.until(lambda: line.words == ["look", "suspended"])

    play(act)


def test_that_there_are_other_rules_is_told_when_they_can_be_learnt_and_not_before():
    async def act(stage):
        stage.world.serve()
        (line,) = await stage.begun(1)
        size = stage.world.memory.size()
        stage.world.revoke("magika@1.0.0")
        await stage.until(lambda: line.words == ["look", "revoked"])

        stage.herald.published(size)
        stage.world.shut_down()
        await stage.until(lambda: line.words == ["look", "revoked", "suspended"])
        stage.herald.published(size + 1)

        await stage.until(lambda: line.words == ["look", "revoked", "suspended", "rules"])

    play(act)


def test_a_heartbeat_comes_when_nothing_happens(monkeypatch):
    monkeypatch.setattr(heralds, "HEARTBEAT", 0.02)

    async def act(stage):
        line = stage.listen()
        await stage.until(lambda: line.sent.count(b":\n\n") > 3)

    play(act)


def test_who_does_not_read_is_dropped_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(heralds, "PATIENCE", 0.2)

    async def act(stage):
        slow, quick = await stage.begun(2)
        slow.reads.clear()
        for _ in range(3):
            stage.world.shut_down()

        await stage.until(lambda: len(quick.words) == 4)
        await stage.until(stage.speaking[0].done)
        assert not stage.speaking[1].done()
        assert stage.herald.listening == 1

    play(act)


@pytest.mark.parametrize(
    ("batches", "left"),
    [
        ((1, 1), [b"w"] * 2),
        ((1, WAITING - 1), [b"w"] * WAITING),
        ((1, WAITING), [b"missed"]),
        ((WAITING + 1,), [b"missed"]),
        ((WAITING, 1, 2), [b"missed", b"w", b"w"]),
    ],
)
def test_who_is_too_far_behind_hears_one_word_and_costs_no_more_memory(batches, left):
    async def hear():
        listener = Listener(HOST, asyncio.get_running_loop())
        for size in batches:
            listener.hear([b"w"] * size, b"missed")
        return [listener.queue.get_nowait() for _ in range(listener.queue.qsize())]

    assert asyncio.run(hear()) == left


def test_who_was_far_behind_and_reads_again_is_told_to_look():
    async def act(stage):
        (slow,) = await stage.begun(1)
        slow.reads.clear()
        for _ in range(3 * WAITING):
            stage.world.shut_down()
        last = f"id: {stage.world.memory.size() - 1}\n".encode()
        await stage.until(lambda: stage.queued(last))

        slow.reads.set()

        await stage.until(lambda: last in b"".join(slow.sent))
        assert "look" in slow.words[1:] and len(slow.words) < 2 * WAITING

    play(act)


def test_who_goes_away_is_forgotten():
    async def act(stage):
        line = stage.listen()
        await stage.until(lambda: line.sent)
        line.gone.set()

        await stage.until(stage.speaking[0].done)
        assert stage.herald.listening == 0 and not stage.herald._nodes

    play(act)


def test_a_line_ends_with_its_session():
    async def act(stage):
        line = stage.listen(seconds=0.1)

        await stage.until(stage.speaking[0].done)
        assert line.sent[1:] == [b": listening\n\n", b""]

    play(act)


def test_when_the_server_ends_everybody_is_let_go():
    async def act(stage):
        lines = await stage.begun(3)
        stage.herald.close()

        await stage.until(lambda: all(line.done() for line in stage.speaking))
        with pytest.raises(UnavailableError, match="the server ends"):
            await stage.herald.serve(HOST, 60, lines[0].receive, lines[0].send)

    play(act)


def test_one_node_cannot_take_all_the_room():
    async def act(stage):
        for _ in range(heralds.MOST_EACH):
            stage.listen()
        await stage.until(lambda: stage.herald.listening == heralds.MOST_EACH)
        with pytest.raises(UnavailableError, match="16 of them host-1"):
            await stage.herald.serve(HOST, 60, Line().receive, Line().send)
        stage.listen(Name("host-2"))
        await stage.until(lambda: stage.herald.listening == heralds.MOST_EACH + 1)

    play(act)


def test_a_log_that_was_put_back_is_followed_from_where_it_is():
    async def act(stage):
        stage.world.serve()
        (line,) = await stage.begun(1)
        del stage.world.memory.log[-1]
        await stage.until(lambda: line.words == ["look", "look"])

        stage.world.shut_down()

        await stage.until(lambda: line.words == ["look", "look", "suspended"])

    play(act)


def test_an_entry_of_a_kind_that_it_does_not_know_makes_everybody_look():
    async def act(stage):
        (line,) = await stage.begun(1)
        stage.world.memory.log.append(b'{"specversion":"1.0","type":"of.tomorrow/v1"}')

        await stage.until(lambda: line.words == ["look", "look"])

    play(act)


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "olivia", "ann", "ci"])
def test_only_agents_may_listen(shut, who):
    assert shut.get(who, "news?seconds=0").status_code == 403


def test_an_agent_is_answered_with_events(shut):
    answer = shut.get("host-1", "news?seconds=0")

    assert (answer.status_code, answer.text) == (200, ": listening\n\n")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer x", "Basic x", "Bearer lockgate-session-x.x"])
def test_a_stranger_hears_nothing(shut, token):
    headers = {} if token is None else {"authorization": token}

    assert shut.client.get(f"{API}/news?seconds=0", headers=headers).status_code == 401


@pytest.mark.parametrize("seconds", ["-1", "901", "x", "", "1.5", "1e1", "NaN", "9" * 40, "0&seconds=-1", "%00"])
def test_a_time_that_is_none_is_refused(shut, seconds):
    assert shut.get("host-1", f"news?seconds={seconds}").status_code == 422


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_there_is_no_other_way_to_listen(shut, method):
    assert shut.send("host-1", method, f"{API}/news?seconds=0").status_code == 405


@pytest.mark.parametrize("most", ["MOST", "MOST_EACH"])
def test_where_too_many_listen_one_more_is_told_to_come_later(shut, monkeypatch, most):
    monkeypatch.setattr(heralds, most, 0)

    answer = shut.get("host-1", "news?seconds=0")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:lockgate:problem:unavailable"


def test_a_session_that_is_over_opens_no_line(served):
    served.bearer("host-1")
    served.world.now += LIFETIME

    assert served.get("host-1", "news?seconds=0").status_code == 401
