"""How does a controller keep looking? Once a second, and at once when something happened."""

import threading
from collections.abc import Callable

SECONDS = 1.0


class Pulse:
    """Lets something look again and again. Safe to wake from any thread."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look, self._woken = look, threading.Event()

    def wake(self) -> None:
        """Look now: something happened."""
        self._woken.set()

    def follow(self, ended: threading.Event) -> None:
        """Look again and again, until `ended`."""
        while not ended.is_set():
            self._look()
            self._woken.wait(SECONDS)
            self._woken.clear()
