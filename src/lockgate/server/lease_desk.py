"""How are very many lease requests answered at once? Together: one look at the database for all that wait.

    requests ──▶ waiting ──▶ one thread: look once, verify, decide, sign ──▶ answers
                 (bounded)         ▲          meanwhile others come, and wait for the next look
                                   └── over database connections of its own

So a flood at other doors takes no thread and no connection from here, and a flood here takes none from them. A node
that asks too often is told to wait; whoever finds too many waiting is told so at once.
"""

import logging
import threading
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from lockgate.app.grant_leases import Answered, Unanswered, answer_requests
from lockgate.app.installation import Installation
from lockgate.errors import UnavailableError
from lockgate.server.pace import Pace

Told = Answered | Unanswered

_log = logging.getLogger(__name__)
MOST_WAITING = 4096
_TOGETHER = 256  # requests that share a look; more would make the first of them wait for the last
_IDLE = 5.0  # seconds after which the thread goes home
_OFTEN, _BURST = 50.0, 200.0  # requests a second of one node, and how many at once


@dataclass(frozen=True, slots=True)
class _Waiting:
    document: bytes
    answer: "Future[Told]"
    loop: AbstractEventLoop


class LeaseDesk:
    """The one place where lease requests are answered."""

    def __init__(
        self,
        installation: Installation,
        clock: Callable[[], datetime],
        seen: Callable[[Sequence[Answered], datetime], None],
    ) -> None:
        self._installation = installation
        self._clock = clock
        self._seen = seen
        self._pace = Pace("asks for leases", _OFTEN, _BURST)
        self._lock = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._thread: threading.Thread | None = None

    async def ask(self, document: bytes) -> Told:
        """Answer one request; raise `UnavailableError` if too many wait, or if nothing can be said at all."""
        loop = get_running_loop()
        waiting = _Waiting(document, loop.create_future(), loop)
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise UnavailableError(f"{MOST_WAITING} lease requests are waiting already")
            self._waiting.append(waiting)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="leases", daemon=True)
                self._thread.start()
            self._lock.notify()
        return await waiting.answer

    def _work(self) -> None:
        while batch := self._next():
            answers = self._answers([each.document for each in batch])
            for loop, group in groupby(zip(batch, answers, strict=True), key=lambda pair: pair[0].loop):
                _deliver(loop, list(group))

    def _next(self) -> Sequence[_Waiting]:
        """Wait for requests; nothing if none came for a while."""
        with self._lock:
            if not self._waiting and not self._lock.wait_for(lambda: self._waiting, _IDLE):
                self._thread = None
                return ()
            batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            return batch

    def _answers(self, documents: Sequence[bytes]) -> Sequence[Told | Exception]:
        now = self._clock()
        try:
            answers = answer_requests(self._installation, documents, now, self._pace.admit)
            self._seen([each for each in answers if isinstance(each, Answered)], now)
        except Exception as e:  # noqa: BLE001 - it is raised where each of them waits
            return [e] * len(documents)
        return answers


def _deliver(loop: AbstractEventLoop, answered: Sequence[tuple[_Waiting, Told | Exception]]) -> None:
    def deliver() -> None:
        for waiting, told in answered:
            if waiting.answer.done():
                continue  # whoever asked has gone away
            if isinstance(told, Exception):
                waiting.answer.set_exception(told)
            else:
                waiting.answer.set_result(told)

    try:
        loop.call_soon_threadsafe(deliver)
    except RuntimeError:  # the loop was closed: nobody waits any more
        _log.info("%d answers came too late", len(answered))
