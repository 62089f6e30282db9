"""How do hosts hear at once what is in the log? Server-sent events, out of one look at the log for all who listen.

    log ──▶ one thread, woken by each act here, and looking five times a second for acts elsewhere
              └──▶ a short queue for each listener ──▶ its connection, with a heartbeat when nothing happens

A listener holds no thread and no connection to the database. One that is far behind hears a single word, `look`; one
that does not read is dropped. Nothing that is said here is believed (`core.news`).
"""

import asyncio
import logging
import threading
from asyncio import AbstractEventLoop, Queue
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from starlette.types import Receive, Send

from lockgate.app.ports import History
from lockgate.core.journal import read_fact
from lockgate.core.news import News, news_of
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats.names import Name

HEARTBEAT = 10.0  # seconds
PATIENCE = 10.0  # seconds for a listener to take what it is sent
MOST, MOST_EACH = 8192, 16  # listeners in all, and of one node
WAITING = 64  # words that a listener may be behind
_PULSE = 0.2
_PAGE = 1000
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who listens. `queue` ends with None when there is nothing more for them."""

    node: Name
    loop: AbstractEventLoop
    queue: "Queue[bytes | None]" = field(default_factory=Queue)

    def hear(self, words: Sequence[bytes], missed: bytes) -> None:
        """Take what was said; whoever would be too far behind hears `missed` instead of everything."""
        if self.queue.qsize() + len(words) > WAITING:
            self._forget()
            words = (missed,)
        for word in words:
            self.queue.put_nowait(word)

    def leave(self) -> None:
        """Hear no more."""
        self._forget()
        self.queue.put_nowait(None)

    def _forget(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()


class Herald:
    """Follows the log of `environment` and tells who listens. Safe to use from many threads."""

    def __init__(self, history: History, environment: Name) -> None:
        self._history, self._environment = history, environment
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._nodes: Counter[Name] = Counter()
        self._woken = threading.Event()
        self._closed = False
        self._rules: News | None = None  # waits until it can be learnt
        self._published = 0

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def wake(self) -> None:
        """Look at the log now: something was done."""
        self._woken.set()

    def published(self, size: int) -> None:
        """Note that hosts can learn what follows from all entries before `size`."""
        with self._lock:
            self._published = max(self._published, size)
        self._woken.set()

    def close(self) -> None:
        """Let everybody go: the server ends."""
        with self._lock:
            self._closed = True
        self._each(Listener.leave)

    def follow(self, ended: threading.Event) -> None:
        """Tell what is new in the log until `ended`."""
        at, complaint = None, ""
        while not ended.is_set():
            try:
                at, complaint = self._told_from(at), ""
            except LockgateError as e:
                if str(e) != complaint:
                    _log.warning("hosts are told nothing: %s", e)
                complaint = str(e)
            self._woken.wait(_PULSE)
            self._woken.clear()

    async def serve(self, node: Name, seconds: float, receive: Receive, send: Send) -> None:
        """Speak to a listener for so long, or until it goes away or does not read (ASGI 3.0)."""
        with self._listening(node) as listener:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            speaking = asyncio.ensure_future(_speak(listener, seconds, send))
            leaving = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait((speaking, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (speaking, leaving):
                    task.cancel()
                await asyncio.gather(speaking, leaving, return_exceptions=True)

    @contextmanager
    def _listening(self, node: Name) -> Iterator[Listener]:
        listener = Listener(node, asyncio.get_running_loop())
        with self._lock:
            if self._closed:
                raise UnavailableError("the server ends")
            if len(self._listeners) >= MOST or self._nodes[node] >= MOST_EACH:
                raise UnavailableError(f"{len(self._listeners)} listen already, {self._nodes[node]} of them {node}")
            self._listeners.add(listener)
            self._nodes[node] += 1
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners.discard(listener)
                self._nodes[node] -= 1
                self._nodes += Counter()  # forgets who is not there

    def _told_from(self, at: int | None) -> int:
        """Tell what stands from index `at` on; where the log begins anew, tell everybody to look."""
        size = self._history.size()
        if at is None or size < at:
            self._rules = None
            self._tell([self._missed(size)])
            return size
        while at < size:
            stop = min(at + _PAGE, size)
            words = [word for index, entry in enumerate(self._history.entries(at, stop), at)
                     for word in self._news(entry, index)]  # fmt: skip
            self._tell([word for word in words if word.word != "rules"])
            self._rules = next((word for word in reversed(words) if word.word == "rules"), self._rules)
            at = stop
        if self._rules is not None and self._rules.index < self._published:
            self._tell([self._rules])
            self._rules = None
        return at

    def _news(self, entry: bytes, index: int) -> Sequence[News]:
        try:
            return news_of(read_fact(entry)[1], index)
        except VerificationError:  # of a server that is newer than this one
            return [self._missed(index)]

    def _missed(self, index: int) -> News:
        return News("look", str(self._environment), index)

    def _tell(self, news: Sequence[News]) -> None:
        if news:
            words, missed = [each.encode() for each in news], self._missed(news[-1].index).encode()
            self._each(lambda listener: listener.hear(words, missed))

    def _each(self, act: Callable[[Listener], None]) -> None:
        """Do something for everybody, in the loop of each."""
        with self._lock:
            listeners = list(self._listeners)
        for loop in {listener.loop for listener in listeners}:
            here = [listener for listener in listeners if listener.loop is loop]
            with suppress(RuntimeError):  # the loop was closed, and they with it
                loop.call_soon_threadsafe(_all, act, here)


def _all(act: Callable[[Listener], None], listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        act(listener)


async def _speak(listener: Listener, seconds: float, send: Send) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    piece: bytes | None = b": listening\n\n"
    while piece is not None:
        async with asyncio.timeout(PATIENCE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        piece = await _next(listener, ends - loop.time())
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(listener: Listener, left: float) -> bytes | None:
    """Wait for what is to be said next, within the seconds that are left."""
    if left <= 0:
        return None
    try:
        async with asyncio.timeout(min(HEARTBEAT, left)):
            return await listener.queue.get()
    except TimeoutError:
        return b":\n\n" if left > HEARTBEAT else None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
