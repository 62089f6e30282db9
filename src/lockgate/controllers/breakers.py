"""How does a breaker trip by itself? Every server looks each second, and at once when an alert comes in.

    guarded endpoints ─▶ alerts, counters, revoked? providers, overrides ─▶ tripped? ─▶ suspended or flagged, once

Nothing is claimed and nothing remembered: two servers that see the same do it once, and one that was just started
knows of alerts and revocations at once, and of rates as soon as it has watched for a while.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from lockgate.app.installation import Installation
from lockgate.app.trip_breaker import trip_breaker
from lockgate.app.watch_breakers import (
    Guarded,
    alerts_at,
    appearances_at,
    deny_list_of,
    expired_at,
    guarded,
    revoked_at,
    sample_at,
)
from lockgate.controllers.pulse import Pulse
from lockgate.core.breaker import longest
from lockgate.core.trip import Sample, Signs, tripped
from lockgate.errors import ConflictError, LockgateError
from lockgate.formats.names import Endpoint

SAMPLES = 120  # of one endpoint

_log = logging.getLogger(__name__)


class Breakers:
    """Watches over every endpoint for which the policy names breakers."""

    def __init__(self, installation: Installation, clock: Callable[[], datetime]) -> None:
        self._installation, self._clock = installation, clock
        self._pulse = Pulse(self.look)
        self._samples: dict[Endpoint, tuple[Sample, ...]] = {}
        self._revoked: dict[Endpoint, tuple[object, tuple[str, ...]]] = {}
        self._complaint = ""

    def wake(self) -> None:
        """Look now: something happened."""
        self._pulse.wake()

    def follow(self, ended: threading.Event) -> None:
        """Look again and again, until `ended`."""
        self._pulse.follow(ended)

    def look(self) -> None:
        """Look once at everything that is guarded. What goes wrong at one endpoint is said, and holds up no other."""
        found: list[Guarded] = []
        self._trying(lambda: found.extend(guarded(self._installation)))
        watched = {at.endpoint for at in found}
        self._samples = {endpoint: kept for endpoint, kept in self._samples.items() if endpoint in watched}
        self._revoked = {endpoint: kept for endpoint, kept in self._revoked.items() if endpoint in watched}
        for at in found:
            self._trying(lambda at=at: self._look_at(at))  # type: ignore[misc]  # bound now

    def _look_at(self, at: Guarded) -> None:
        now = self._clock()
        trip = tripped(at.endpoint, at.breakers, self._signs(at, now), now)
        if trip is not None and trip_breaker(self._installation, trip, at.state.epoch, now) is not None:
            done = "flagged" if trip.breaker.only_flags else "shut down"
            _log.warning("the breaker %s has %s %s", trip.breaker.name, done, at.endpoint)

    def _signs(self, at: Guarded, now: datetime) -> Signs:
        return Signs(
            alerts_at(self._installation, at), self._sampled(at, now), self._revoked_of(at), at.since,
            appearances_at(self._installation, at), {slot.release: slot.at for slot in at.slots},
            expired_at(self._installation, at, now),
        )  # fmt: skip

    def _sampled(self, at: Guarded, now: datetime) -> tuple[Sample, ...]:
        """Take a sample, and keep as many as the longest window takes."""
        window = longest(at.breakers)
        if not window:
            return ()
        kept = self._samples.get(at.endpoint, ())
        needed = [one for one in kept if one.at > now - window]
        before = [one for one in kept if one.at <= now - window]
        spaced = _spaced((*before[-1:], *needed), window / SAMPLES)
        self._samples[at.endpoint] = found = (*spaced, sample_at(self._installation, at, now))
        return found

    def _revoked_of(self, at: Guarded) -> tuple[str, ...]:
        """Judge again only when something was revoked, or another release serves."""
        place = (at.state.epoch, at.breakers, deny_list_of(self._installation, at))
        known = self._revoked.get(at.endpoint)
        if known is None or known[0] != place:
            known = self._revoked[at.endpoint] = (place, revoked_at(self._installation, at))
        return known[1]

    def _trying(self, act: Callable[[], object]) -> None:
        try:
            act()
        except ConflictError:
            self.wake()  # it has changed: look again
        except LockgateError as e:
            if str(e) != self._complaint:
                _log.warning("a breaker cannot watch: %s", e)
            self._complaint = str(e)
        except Exception:  # noqa: BLE001 - a bug of ours about one endpoint must not leave all others unwatched
            _log.exception("a breaker cannot watch")


def _spaced(samples: tuple[Sample, ...], apart: timedelta) -> tuple[Sample, ...]:
    """Leave out samples that are too close to the one before; the newest comes after them anyway."""
    kept: list[Sample] = []
    for one in samples:
        if not kept or one.at - kept[-1].at >= apart:
            kept.append(one)
    return tuple(kept)
