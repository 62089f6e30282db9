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


def stay(home: Path, endpoint: Endpoint, port: int, source: Path | None) -> int:
    """Run what may serve at `endpoint`, one release after another, until a signal ends it."""
    command = [sys.executable, "-m", "lockgate", "run", "--home", str(home), "--endpoint", str(endpoint)]
    command += ["--port", str(port), *(["--from", str(source)] if source else [])]
    pause = _FIRST_PAUSE
    while True:
        code = _run(command)
        if code not in _AGAIN:
            return code
        pause = _FIRST_PAUSE if code == 10 else min(_LONGEST_PAUSE, pause * 2)
        time.sleep(pause)


def _run(command: list[str]) -> int:
    """Run one release; a signal that ends this process ends that one first, and then this one too."""
    with subprocess.Popen(command) as running:

        def leave(number: int, _frame: FrameType | None) -> None:
            running.terminate()
            running.wait()
            sys.exit(128 + number)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, leave)
        return running.wait()
