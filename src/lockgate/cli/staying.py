"""How does a host stay at its endpoint, whichever release may serve there? Each release gets a process of its own.

A release that may not serve (any longer) ends its process with 10, 3 or 6; then this one asks again, less and less
often. A model server that fails by itself, and bytes that do not verify, end it.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from lockgate.formats.names import Endpoint

_AGAIN = (3, 6, 10)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0


def stay(home: Path, endpoint: Endpoint, port: int, source: Path | None, *, candidate: bool = False) -> int:
    """Run what may serve at `endpoint`, one release after another, until a signal ends it."""
    command = [sys.executable, "-m", "lockgate", "run", "--home", str(home), "--endpoint", str(endpoint)]
    command += ["--port", str(port), *(["--from", str(source)] if source else [])]
    command += ["--candidate"] if candidate else []
    stage = _Stage()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stage.hear)
    pause = _FIRST_PAUSE
    while True:
        code = stage.run(command)
        if code not in _AGAIN:
            return code
        pause = _FIRST_PAUSE if code == 10 else min(_LONGEST_PAUSE, pause * 2)
        time.sleep(pause)


class _Stage:
    """One release at a time. A signal that ends this process ends that one first, and then this one too."""

    def __init__(self) -> None:
        self._busy, self._asked = False, 0
        self._running: subprocess.Popen[bytes] | None = None

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal. It waits for nothing: whatever it interrupts may hold a lock of `Popen`."""
        self._asked = number
        if self._running is not None:
            self._running.terminate()
        elif not self._busy:
            sys.exit(128 + number)

    def run(self, command: list[str]) -> int:
        """Run one release to its end."""
        self._busy = True
        with subprocess.Popen(command) as self._running:
            if self._asked:  # while it was being started
                self._running.terminate()
            code = self._running.wait()
        self._running, self._busy = None, False
        if self._asked:
            sys.exit(128 + self._asked)
        return code
