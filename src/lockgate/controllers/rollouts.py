"""How do rollouts go on by themselves? One controller at a time looks at each, every second, and does what follows.

A rollback that is under way is looked at too: when every host has it, or its window is over, the log says so.

    claim ─▶ read: log, reports, alerts, other systems ─▶ difference, analyse ─▶ write down ─▶ decide ─▶ append, once
      │ another one has it                                                        │ lost it, or anything failed
      └─▶ nothing                                                                 └─▶ nothing: look again in a second

What is true is read each time anew, so that a controller may be killed at any moment and another one goes on. A fence
keeps one that was asleep from writing down what it knew then; the version of the endpoint, and a key for each change
and step, keep it from doing anything that was done. Whatever fails, nothing is promoted by it.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime

from lockgate.app.find_revoked import judged_again
from lockgate.app.follow_rollback import follow_rollback
from lockgate.app.installation import Installation
from lockgate.app.ports import Measurements, Receipt
from lockgate.app.roll_out import go_on, hold_unread
from lockgate.app.watch_rollout import all_endpoints, look_at, name_of_watch
from lockgate.controllers.asking import ask
from lockgate.controllers.pulse import Pulse
from lockgate.core.endpoint import State
from lockgate.core.observation import looked, signals_of
from lockgate.errors import ConflictError, DeniedError, LockgateError, VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint

LEASE = 3.0  # seconds for which a rollout is claimed: so long nobody else looks after it when we are gone

_log = logging.getLogger(__name__)


class Rollouts:
    """Looks after every rollout of an installation, as far as no other controller does."""

    def __init__(
        self,
        installation: Installation,
        clock: Callable[[], datetime],
        measurements: Measurements | None = None,
        *,
        holder: str | None = None,
    ) -> None:
        self.holder = holder or secrets.token_hex(16)
        self._installation, self._clock, self._measurements = installation, clock, measurements
        self._pulse = Pulse(self.look)
        self._complaints: dict[str, str] = {}

    def wake(self) -> None:
        """Look now: something happened."""
        self._pulse.wake()

    def follow(self, ended: threading.Event) -> None:
        """Look again and again, until `ended`."""
        self._pulse.follow(ended)

    def look(self) -> None:
        """Look once at every rollout in flight. What goes wrong with one is said, and holds up no other."""
        found: list[State] = []
        self._trying("rollouts", lambda: found.extend(all_endpoints(self._installation)))
        flying = [state.endpoint for state in found if state.rollout is not None]
        coming = [
            state.endpoint for state in found if state.restoration and state.restoration.is_pending(self._clock())
        ]
        for endpoint in flying:
            self._trying(str(endpoint), lambda at=endpoint: self._tend(at))  # type: ignore[misc]  # bound now
        for endpoint in coming:
            self._trying(str(endpoint), lambda at=endpoint: self._follow(at))  # type: ignore[misc]  # bound now
        looked_at = {"rollouts", *map(str, (*flying, *coming))}
        self._complaints = {of: said for of, said in self._complaints.items() if of in looked_at}

    def _tend(self, endpoint: Endpoint) -> None:
        receipt = tend(self._installation, endpoint, self.holder, self._measurements, self._clock())
        if receipt is not None:
            _log.info("the rollout at %s went on: entry %d", endpoint, receipt.first)

    def _follow(self, endpoint: Endpoint) -> None:
        receipt = follow_rollback(self._installation, endpoint, self._clock())
        if receipt is not None:
            _log.info("the rollback at %s was looked at: entry %d says how it is", endpoint, receipt.first)

    def _trying(self, of: str, act: Callable[[], object]) -> None:
        try:
            act()
            self._complaints.pop(of, None)
        except ConflictError:
            pass  # somebody else was faster: what is true now is read in a second
        except LockgateError as e:
            if self._complaints.get(of) != str(e):
                _log.warning("%s: no rollout goes on: %s", of, e)
            self._complaints[of] = str(e)
        except Exception:  # noqa: BLE001 - a bug of ours in one rollout must not end the analysis of all others
            _log.exception("%s: no rollout goes on", of)


def tend(
    installation: Installation, endpoint: Endpoint, holder: str, measurements: Measurements | None, now: datetime
) -> Receipt | None:
    """Look once at the rollout at `endpoint`, if it is ours to look after, and do what follows.

    Enforces: gradual_rollout
    """
    claimed_at = time.monotonic()
    fence = installation.controllers.claim(name_of_watch(endpoint), holder, LEASE)
    if fence is None:
        return None
    try:
        found = look_at(installation, endpoint, now)
    except (DeniedError, VerificationError) as e:
        return hold_unread(installation, endpoint, f"it cannot be judged by this version: {e}", now)
    if found is None:
        return None
    memo = installation.controllers.recall(name_of_watch(endpoint))
    known = found.known(memo)
    answers = ask(measurements, found.due(known), found.candidate, found.stable)
    watch = looked(known, found.strategy, found.rollout, found.look(answers))
    if watch is not known or known.begun_at == now:
        installation.controllers.remember(name_of_watch(endpoint), fence, plain.encode(watch))
    grounds = judged_again(installation, found, found.grounds(watch))
    if time.monotonic() - claimed_at > LEASE:
        _claim_again(installation, endpoint, holder, fence)
    return go_on(installation, endpoint, signals_of(grounds), plain.encode(grounds), now)


def _claim_again(installation: Installation, endpoint: Endpoint, holder: str, fence: int) -> None:
    """Claim a rollout that took longer to look at than it was claimed for; raise `ConflictError` if anybody else did.

    Whoever measures slowly must not keep what is known from being acted upon.
    """
    again = installation.controllers.claim(name_of_watch(endpoint), holder, LEASE)
    if again not in (fence, fence + 1):
        raise ConflictError(f"{endpoint} took longer to look at than it was claimed for, and somebody else has it")
