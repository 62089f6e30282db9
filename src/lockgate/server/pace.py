"""How often may each of them ask? A full bucket at first, that fills again as time goes by."""

import threading
import time
from collections.abc import Callable

from lockgate.errors import UnavailableError
from lockgate.formats.names import Name


class Pace:
    """Lets each name do something `often` times a second, and `burst` times at once. Safe to use from many threads."""

    def __init__(self, does: str, often: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._does, self._often, self._burst, self._clock = does, often, burst, clock
        self._lock = threading.Lock()
        self._buckets: dict[Name, tuple[float, float]] = {}  # what was left, and when

    def admit(self, who: Name) -> None:
        """Take one from the bucket of `who`; raise `UnavailableError` if it is empty."""
        now = self._clock()
        with self._lock:
            left, before = self._buckets.get(who, (self._burst, now))
            left = min(self._burst, left + (now - before) * self._often)
            if left < 1:
                raise UnavailableError(f"{who} {self._does} more than {self._often:g} times a second")
            self._buckets[who] = (left - 1, now)
