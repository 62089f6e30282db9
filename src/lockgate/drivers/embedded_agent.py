"""How does the agent of a host on this machine run beside the server? As a child that ends with it.

It is started when the server answers, and again if it dies; not if the host has an agent of its own already.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lockgate.errors import ConflictError

_log = logging.getLogger(__name__)
_LOOK = 0.1
_AGAIN, _LONGEST = 0.5, 10.0  # seconds before an agent that died is started again
_LONG_LIFE = 10.0  # seconds; whoever dies earlier waits longer for the next life
_PARTING = 10.0


class EmbeddedAgent:
    """An agent process for the home of a serving host."""

    def __init__(self, home: Path, server: tuple[str, int], options: Sequence[str]) -> None:
        self._home, self._server, self._options = home, server, options
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="agent", daemon=True)

    def start(self) -> None:
        """Start it when the server answers; do not wait for that."""
        self._keeper.start()

    def stop(self) -> None:
        """End it, and with it what goes through its gateway."""
        self._ended.set()
        process = self._process
        if process is not None:
            _untie(process)
            try:
                process.wait(_PARTING)
            except subprocess.TimeoutExpired:
                process.kill()
        self._keeper.join(_PARTING)

    def _keep(self) -> None:
        while not self._answers():
            if self._ended.wait(_LOOK):
                return
        pause = _AGAIN
        while not self._ended.is_set():
            began = time.monotonic()
            self._process = process = self._begin()
            if self._ended.is_set():  # while it was started
                _untie(process)
            code = process.wait()
            _untie(process)
            if code == ConflictError.exit_code:
                _log.warning("%s has an agent already; none is started beside the server", self._home)
                return
            pause = _AGAIN if time.monotonic() - began > _LONG_LIFE else min(2 * pause, _LONGEST)
            if not self._ended.wait(pause):
                _log.warning("the agent of %s ended (%s); it is started again", self._home, code)

    def _answers(self) -> bool:
        try:
            socket.create_connection(self._server, 1).close()
        except OSError:
            return False
        return True

    def _begin(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if _concerns(name)}
        command = [sys.executable, "-m", "lockgate.agent", str(self._home), "--tied", *self._options]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)


def _concerns(variable: str) -> bool:
    """Tell whether the agent is given a variable: nothing that configures the server, but what opens its own key."""
    return not variable.startswith("LOCKGATE_") or variable.startswith("LOCKGATE_KEY_PASSWORD")


def _untie(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
