"""When is it looked at whether the way back is whole? Soon after it became the way back, and then once a day.

    endpoints ─▶ due? ─▶ claim ─▶ read every byte, at a bounded pace ─▶ news? append, once ─▶ remember when
                          │ another one has it        │ killed, or lost the claim
                          └─▶ nothing                 └─▶ nothing is written: whoever claims next begins anew

What is true is read each time anew. A fence keeps one that was asleep from remembering what it saw then; what is
appended has a key of its own and rests on what the log held, so two that looked at once write it once.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from lockgate.app.examine import examine, note_look
from lockgate.app.installation import Installation
from lockgate.app.watch_rollout import all_endpoints
from lockgate.controllers.pulse import Pulse
from lockgate.core.endpoint import State
from lockgate.core.preservation import Look, way_back
from lockgate.core.slot import Slot
from lockgate.errors import ConflictError, LockgateError, VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint

EVERY = timedelta(days=1)
LEASE = 10.0  # seconds; asked for again while a look takes longer
_AGAIN = LEASE / 5
_PACE = 32 << 20  # bytes a second

_log = logging.getLogger(__name__)


class Targets:
    """Looks at what each endpoint would go back to, as far as no other controller does."""

    def __init__(
        self,
        installation: Installation,
        clock: Callable[[], datetime],
        every: timedelta = EVERY,
        pace: int = _PACE,
        *,
        holder: str | None = None,
    ) -> None:
        self.holder = holder or secrets.token_hex(16)
        self._installation, self._clock, self._every, self._pace = installation, clock, every, pace
        self._pulse, self._ended = Pulse(self.look), threading.Event()
        self._known: dict[Endpoint, Look] = {}
        self._wanted: set[Endpoint] = set()
        self._complaints: dict[str, str] = {}

    def want(self, endpoint: Endpoint) -> None:
        """Look at one endpoint now, whenever it was looked at last: somebody asks."""
        self._wanted.add(endpoint)
        self._pulse.wake()

    def follow(self, ended: threading.Event) -> None:
        """Look again and again, until `ended`."""
        self._ended = ended
        self._pulse.follow(ended)

    def look(self) -> None:
        """Look once at everything that is due. What goes wrong with one is said, and holds up no other."""
        found: list[State] = []
        self._trying("endpoints", lambda: found.extend(all_endpoints(self._installation)))
        self._known = {state.endpoint: known for state in found if (known := self._known.get(state.endpoint))}
        for state in found:
            slot = way_back(state)
            if slot is None:
                self._wanted.discard(state.endpoint)
            elif not self._ended.is_set():
                self._trying(str(state.endpoint), lambda at=state.endpoint, slot=slot: self._look_at(at, slot))  # type: ignore[misc]  # bound now

    def _look_at(self, endpoint: Endpoint, slot: Slot) -> None:
        if not self._is_due(endpoint, slot, self._known.get(endpoint)):
            return
        name = name_of_target(endpoint)
        fence = self._installation.controllers.claim(name, self.holder, LEASE)
        if fence is None:
            return
        before = look_kept(self._installation, endpoint)
        if before is not None and not self._is_due(endpoint, slot, before):
            self._known[endpoint] = before  # another one has just looked
            return
        self._wanted.discard(endpoint)  # whoever asks from now on, asks for the next look
        try:
            look = examine(self._installation, slot, self._held(name, fence), self._clock())
            receipt = note_look(self._installation, endpoint, look, before)
        except LockgateError:
            self._wanted.add(endpoint)
            raise
        if receipt is not None:
            _log.warning("what %s would go back to is %s: entry %d", endpoint, look.finding, receipt.first)
        self._installation.controllers.remember(name, fence, plain.encode(look))
        self._known[endpoint] = look

    def _is_due(self, endpoint: Endpoint, slot: Slot, last: Look | None) -> bool:
        return endpoint in self._wanted or last is None or last.is_due(slot.release, self._every, self._clock())

    def _held(self, name: str, fence: int) -> Callable[[int], None]:
        """Make the pace of one look: it keeps the claim, and ends the look if that is lost, or the server ends."""
        held_at, ready_at = time.monotonic(), time.monotonic()

        def pace(count: int) -> None:
            nonlocal held_at, ready_at
            ready_at = max(ready_at, time.monotonic()) + count / self._pace
            if self._ended.wait(max(0.0, ready_at - time.monotonic())):
                raise ConflictError("the look was ended")
            if time.monotonic() - held_at > _AGAIN:
                if self._installation.controllers.claim(name, self.holder, LEASE) != fence:
                    raise ConflictError(f"{name} is looked after by somebody else by now")
                held_at = time.monotonic()

        return pace

    def _trying(self, of: str, act: Callable[[], object]) -> None:
        try:
            act()
            self._complaints.pop(of, None)
        except ConflictError:
            pass  # somebody else was faster: what is true now is read in a second
        except LockgateError as e:
            if self._complaints.get(of) != str(e):
                _log.warning("%s: nobody sees whether its way back is whole: %s", of, e)
            self._complaints[of] = str(e)
        except Exception:  # noqa: BLE001 - a bug of ours about one endpoint must not leave all others unwatched
            _log.exception("%s: nobody sees whether its way back is whole", of)


def name_of_target(endpoint: Endpoint) -> str:
    """Name what an endpoint would go back to among what controllers look after."""
    return f"target/{endpoint}"


def look_kept(installation: Installation, endpoint: Endpoint) -> Look | None:
    """Return the last look at what an endpoint would go back to; what this version cannot read is none."""
    memo = installation.controllers.recall(name_of_target(endpoint))
    try:
        return plain.decode(Look, memo.document) if memo else None
    except VerificationError:
        return None
