"""How does a cluster ask about a pod? By POST /review over TLS, at most 4 MiB; no answer is a no.

A review that cannot be read gets 400: that is a no too.
"""

import logging
import ssl
from collections.abc import Callable

from lockgate.core.admission import MAX_REVIEW, Answer
from lockgate.errors import LockgateError
from lockgate.loader.narrow_door import NarrowCall, NarrowDoor

Judge = Callable[[bytes], Answer]

_log = logging.getLogger(__name__)


class ReviewDoor(NarrowDoor):
    """Where the cluster asks."""

    def __init__(self, at: tuple[str, int], judge: Judge, tls: ssl.SSLContext | None) -> None:
        """Listen at an address; raise `UnavailableError` if that is not possible."""
        self.judge = judge
        super().__init__(at, _Call, tls)


class _Call(NarrowCall):
    server: ReviewDoor
    largest = MAX_REVIEW

    def do_GET(self) -> None:
        """Say that somebody is here."""
        self._say(200 if self.path == "/healthz" else 404)

    def do_POST(self) -> None:
        """Take a review, and answer with the answer."""
        if self.path.partition("?")[0] != "/review":
            self._say(404)
            return
        try:
            review = self.body("a review")
            with self.server.answering(self.connection):
                self._answer(self.server.judge(review))
        except LockgateError as e:
            _log.warning("not a review: %s", e)
            self._say(400)

    def _answer(self, answer: Answer) -> None:
        if answer.reasons:
            _log.warning("refused %s: %s", answer.uid, "; ".join(answer.reasons))
        self._say(200, answer.encode())

    def _say(self, status: int, content: bytes = b"") -> None:
        self.say(status, "application/json", content)
