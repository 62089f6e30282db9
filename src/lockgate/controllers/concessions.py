"""When is somebody told that an override is over, or that the review of an emergency was missed? Within a second.

    concessions ─▶ override over while its release serves? review missed? ─▶ append, once

Each is read anew at every look, and what is appended has a key of its own: two servers do it once.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from lockgate.app.concede import look_after
from lockgate.app.installation import Installation
from lockgate.controllers.pulse import Pulse
from lockgate.core.concession import Concession, is_serving, overdue
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.errors import ConflictError, LockgateError

_PAGE = 100

_log = logging.getLogger(__name__)


class Concessions:
    """Looks after everything that was let through although the rule says otherwise."""

    def __init__(self, installation: Installation, clock: Callable[[], datetime]) -> None:
        self._installation, self._clock = installation, clock
        self._pulse = Pulse(self.look)
        self._complaint = ""

    def follow(self, ended: threading.Event) -> None:
        """Look again and again, until `ended`."""
        self._pulse.follow(ended)

    def look(self) -> None:
        """Look once at every concession of which something may be due. What goes wrong with one holds up no other."""
        found: list[int] = []
        self._trying(lambda: found.extend(self._pending()))
        for number in found:
            self._trying(lambda number=number: self._look_at(number))  # type: ignore[misc]  # bound now

    def _pending(self) -> Iterator[int]:
        now, after = self._clock(), ""
        while page := self._installation.catalog.listing("concession", after=after, limit=_PAGE):
            states = [state for state in page if isinstance(state, Concession)]
            yield from (state.change for state in states if self._is_due(state, now))
            after = str(states[-1].change)

    def _is_due(self, concession: Concession, now: datetime) -> bool:
        if not any(overdue(concession, now, serves=True)):
            return False
        state = self._installation.catalog.find(endpoint_subject(concession.endpoint))
        return isinstance(state, State) and any(overdue(concession, now, serves=is_serving(state, concession)))

    def _look_at(self, number: int) -> None:
        while (receipt := look_after(self._installation, number, self._clock())) is not None:
            _log.warning("something is overdue of change %d: entry %d says what", number, receipt.first)

    def _trying(self, act: Callable[[], object]) -> None:
        try:
            act()
            self._complaint = ""
        except ConflictError:
            pass  # somebody else was faster: what is true now is read in a second
        except LockgateError as e:
            if str(e) != self._complaint:
                _log.warning("nobody looks after what is due: %s", e)
            self._complaint = str(e)
        except Exception:  # noqa: BLE001 - a bug of ours about one change must not leave all others unwatched
            _log.exception("nobody looks after what is due")
