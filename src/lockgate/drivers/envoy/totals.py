"""How are counters that may begin anew made into totals that never go back?

Envoy forgets a release that it no longer routes to, and everything when it is started again. What was read before is
added to what it counts then; what it counted after the last look is lost, and nothing is counted twice.
"""

from collections.abc import Mapping
from dataclasses import replace

from lockgate.core.report import NAMED, NOTHING, Counted, Counts, Tally, check_counted
from lockgate.drivers.envoy.admin_socket import BY_NAME, Key
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint


class Totals:
    """What was counted, over all lives of Envoy."""

    def __init__(self) -> None:
        self._life = 0
        self._before: dict[Key, Counts] = {}
        self._now: dict[Key, Counts] = {}

    def take(self, read: Mapping[Key, Counts], life: int) -> tuple[Counted, ...]:
        """Take a reading of one life of Envoy; return the totals."""
        for key in sorted({*self._now, *read}):
            was, now = self._now.get(key, NOTHING), read.get(key, NOTHING)
            if life != self._life or _is_anew(was, now):
                self._before[key] = self._before.get(key, NOTHING) + was
            self._now[key] = now
        self._life = life
        return self._added()

    def _added(self) -> tuple[Counted, ...]:
        """Add up what a release answered by its share and while it was tried; beside it, who named it."""
        added: dict[tuple[Endpoint, Digest], Counts] = {}
        for key in sorted(self._now):
            whose = key[:2]
            counts = self._before.get(key, NOTHING) + self._now[key]
            added[whose] = added.get(whose, NOTHING) + (_named(counts) if key[2] == BY_NAME else counts)
        return tuple(Counted(*whose, counts) for whose, counts in added.items())


def _named(counts: Counts) -> Counts:
    return replace(NOTHING, other={NAMED: Tally(counts.requests, counts.failed)} if counts.requests else {})


def _is_anew(was: Counts, now: Counts) -> bool:
    try:
        check_counted(was, now)
    except VerificationError:
        return True
    return False
