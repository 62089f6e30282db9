"""How does a signer of our own run beside the server? As a child that ends with it, and is started again if it dies."""

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from lockgate.errors import UnavailableError

_log = logging.getLogger(__name__)
_PULSE = 0.02
_AGAIN = 0.5  # seconds before a signer that died is started again
_PARTING = 5.0


class EmbeddedSigner:
    """A signer process for the home of an installation."""

    def __init__(self, home: Path, *, patience: float = 20) -> None:
        self._home = home
        self._patience = patience
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="signer", daemon=True)
        self.socket = home / "signer.sock"

    def start(self) -> None:
        """Start it, and wait until it listens; raise `UnavailableError` if it does not."""
        before = _identity(self.socket)
        process = self._process = self._begin()
        until = time.monotonic() + self._patience
        while _identity(self.socket) in (None, before):
            if process.poll() is not None or time.monotonic() > until:
                raise UnavailableError("the signer of the log did not start; it has said why")
            time.sleep(_PULSE)
        self._keeper.start()

    def stop(self) -> None:
        """End it. What it remembers is on the disk already."""
        self._ended.set()
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_PARTING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _begin(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if _concerns(name)}
        command = [sys.executable, "-m", "lockgate.signer", str(self._home), "--tied"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)

    def _keep(self) -> None:
        while not self._ended.is_set():
            process = self._process
            assert process is not None and process.stdin is not None
            code = process.wait()
            process.stdin.close()
            if self._ended.wait(_AGAIN):
                return
            _log.warning("the signer of the log ended (%s); it is started again", code)
            self._process = self._begin()


def _concerns(variable: str) -> bool:
    """Tell whether the signer is given a variable: nothing that configures the server, but what opens its own key."""
    return not variable.startswith("LOCKGATE_") or variable.startswith("LOCKGATE_KEY_PASSWORD")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
