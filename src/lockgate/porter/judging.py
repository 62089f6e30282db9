"""How does the porter come to its answer? By the passports of now, judged with the trust that its home pins.

Nothing is remembered between two reviews but what the home holds: what is in force is learnt anew each time, so a
release that was revoked, or an endpoint that was suspended, a moment ago is refused now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lockgate.core.admission import Answer, Judged, Review, asked_endpoint, decide, parse_review, refuse
from lockgate.core.passport import Admission
from lockgate.core.pod import Terms
from lockgate.errors import LockgateError
from lockgate.loader.host import open_host
from lockgate.loader.opening import connect, judge_endpoint

_NO_CANDIDATE = "no candidate"


@dataclass(frozen=True, slots=True)
class Porter:
    """Judges pods, with the home of a serving host."""

    home: Path
    terms: Terms
    clock: Callable[[], datetime]

    def answer(self, document: bytes) -> Answer:
        """Answer a review; raise `VerificationError` for what is none.

        Enforces: verified_admission
        """
        review = parse_review(document)
        try:
            return decide(review, self._judged(review), self.terms)
        except LockgateError as e:
            return refuse(review, e)

    def _judged(self, review: Review) -> Judged:
        endpoint = asked_endpoint(review)
        if endpoint is None:
            return ()
        host = open_host(self.home, self.clock())
        connection = connect(host)

        def judged(*, candidate: bool) -> "Admission | LockgateError":
            try:
                return judge_endpoint(host, endpoint, connection, candidate=candidate)
            except LockgateError as e:
                return e

        return [judged(candidate=False), judged(candidate=True)]
