"""How does a host without a gateway say what runs there? Signed, whenever that changes, and every few seconds.

    run started ──▶ its model server answers? ──▶ Presence, signed ──▶ POST /api/v1/presences ── ended: said once more

Nothing that goes wrong here touches what is served. Whoever says nothing is not seen to serve anything.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lockgate.core.presence import Presence, Run, sign_presence
from lockgate.errors import LockgateError, UnavailableError
from lockgate.loader.connection import Connection
from lockgate.loader.host import Host
from lockgate.loader.leasing import Claim
from lockgate.loader.readiness import check_own, check_ready

PRESENCES = "/api/v1/presences"
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 3.0
_AGAIN_SECONDS = 5.0
_PARTING_SECONDS = 1.0


@dataclass
class Attendance:
    """One speaker: the agent of a host, or a run that is `alone`; and what it said last."""

    connection: Connection
    alone: bool
    incarnation: str = field(default_factory=lambda: secrets.token_hex(16))
    sequence: int = 0
    told: tuple[Run, ...] = ()
    told_at: float = 0.0

    def tell(self, host: Host, runs: tuple[Run, ...]) -> None:
        """Say what runs, if that is news or some seconds went by; where nothing does, say it once."""
        now = time.monotonic()
        if runs == self.told and (not runs or now - self.told_at < _AGAIN_SECONDS):
            return
        self.sequence += 1
        said = Presence(host.node, self.incarnation, self.sequence, datetime.now(UTC), self.alone, runs)
        self.connection.post(PRESENCES, sign_presence(said, host.key))
        self.told, self.told_at = runs, now


class Alone:
    """A run that holds its own lease, and says that it serves as long as it does."""

    def __init__(
        self, host: Host, claim: Claim, port: int | None, connection: Connection, tell: Callable[[str], None]
    ) -> None:
        """Begin to say it, beside whatever else is done."""
        self._host, self._claim, self._port, self._tell = host, claim, port, tell
        self._attendance = Attendance(replace(connection, patience=PATIENCE_SECONDS), alone=True)
        self._ended, self._answers = threading.Event(), False
        self._thread = threading.Thread(target=self._until_the_end, name="presence", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Say for a moment that nothing runs any more, or that somebody else speaks for it."""
        self._ended.set()
        self._thread.join(_PARTING_SECONDS)

    def _until_the_end(self) -> None:
        complaint = ""
        while True:
            ended = self._ended.wait(LOOK_SECONDS)
            try:
                self._attendance.tell(self._host, () if ended else (self._run(),))
                complaint = ""
            except LockgateError as e:
                if str(e) != complaint:
                    self._tell(f"the server does not learn that this runs: {e}")
                complaint = str(e)
            if ended:
                return

    def _run(self) -> Run:
        claim = self._claim
        self._answers = answers(os.getpid(), self._port, self._answers)
        return Run(claim.endpoint, claim.release, claim.epoch, self._answers)


def answers(run: int, port: int | None, before: bool) -> bool:  # noqa: FBT001 - what it was
    """Ask whether the model server of a run is seen to answer; where it listens nowhere, it is not.

    Once it did, that is so until somebody else listens there too: that it ended, its run says.
    """
    if port is None:
        return before
    try:
        (check_own if before else check_ready)(run, port)
    except UnavailableError:
        return False
    return True
