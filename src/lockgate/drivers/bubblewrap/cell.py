"""Who looks after a job from outside, from "go" until nothing of it is alive?

One thread: it answers the doors inside, keeps the end of what is said, and looks at the clock. Whatever ends the job,
the rest is the same: kill pid 1, wait until the kernel has taken its whole world down, and only then read what it left.
"""

import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from lockgate.drivers.bubblewrap.control_group import Group
from lockgate.drivers.bubblewrap.egress import Egress
from lockgate.errors import UnavailableError
from lockgate.evaluator.salvage import TooMuchError, read_files
from lockgate.evaluator.sandbox import Limits, Outcome

_MESSAGE = 4096
_TAIL = 1 << 16
_PATIENCE_SECONDS = 30
_BY_SIGNAL: dict[int, str] = {-signal.SIGXCPU: "cpu_seconds", -signal.SIGXFSZ: "disk"}


@dataclass(frozen=True, slots=True)
class _End:
    code: int = -signal.SIGKILL
    why: str | None = None


class Cell:
    """A job behind its walls."""

    def __init__(
        self,
        shell: "subprocess.Popen[bytes]",
        pid: int,
        control: socket.socket,
        out: int,
        limits: Limits,
        isolation: tuple[str, ...],
    ) -> None:
        self.isolation = isolation
        self._shell, self._first, self._control, self._out, self._limits = (
            shell,
            os.pidfd_open(pid),
            control,
            out,
            limits,
        )
        self._said, self._heard, self._end = b"", 0, _End()
        self._outcome: Outcome | None = None
        self._doors: Mapping[int, Callable[[], socket.socket]] = {}
        self._group: Group | None = None
        self._egress = Egress(())
        self._stop, self._stopped = os.pipe()
        self._watch = threading.Thread(target=self._look, name="cell", daemon=True)

    def go(self, doors: Mapping[int, Callable[[], socket.socket]], egress: Egress, group: Group | None) -> None:
        """Let the job begin."""
        self._doors, self._egress, self._group = doors, egress, group
        self._control.send(b"go")
        self._watch.start()

    def wait(self) -> Outcome:
        """Wait until it ended, by itself or by a limit."""
        self._watch.join()
        return self.close()

    def close(self) -> Outcome:
        """Kill what still lives of it, and say what came of it."""
        if self._outcome is None:
            with suppress(OSError):
                os.write(self._stopped, b"!")
            if self._watch.ident:
                self._watch.join()
            self._kill()
            self._egress.close()
            self._outcome = self._judge()
            for descriptor in (self._first, self._stop, self._stopped):
                os.close(descriptor)
            self._control.close()
        return self._outcome

    def _look(self) -> None:
        deadline = time.monotonic() + self._limits.seconds
        output = self._shell.stdout
        assert output is not None
        with selectors.DefaultSelector() as ready:
            for each in (self._control, output, self._stop):
                ready.register(each, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in ready.select(left):
                    if key.fileobj == self._stop or (key.fileobj is self._control and not self._answer()):
                        return
                    if key.fileobj is output and not self._listen(output):
                        ready.unregister(output)
                if self._heard > self._limits.output:
                    self._end = _End(why="output")
                    return
        self._end = _End(why="seconds")

    def _answer(self) -> bool:
        """Do what pid 1 asks; False when it says how the job ended, or nothing more."""
        try:
            said = self._control.recv(_MESSAGE)
        except OSError:
            return False
        word, _, port = said.partition(b" ")
        if word != b"dial":
            self._end = _ended(said) or self._end
            return False
        try:
            with self._doors[int(port)]() as found:
                socket.send_fds(self._control, [b"open"], [found.fileno()])
        except (OSError, LookupError):
            self._control.send(b"shut")
        return True

    def _listen(self, output: IO[bytes]) -> bool:
        piece = os.read(output.fileno(), _TAIL)
        self._heard += len(piece)
        self._said = (self._said + piece)[-_TAIL:]
        return bool(piece)

    def _kill(self) -> None:
        """Kill the whole world, and wait until it is gone."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        with selectors.DefaultSelector() as ended:
            ended.register(self._first, selectors.EVENT_READ)
            if not ended.select(_PATIENCE_SECONDS):
                raise UnavailableError("the kernel does not end a job that was killed; nothing that it left is read")
        self._shell.kill()
        self._shell.wait()
        output = self._shell.stdout
        assert output is not None
        while self._listen(output):
            pass
        output.close()

    def _judge(self) -> Outcome:
        code, why = self._end.code, self._end.why
        files: Mapping[str, bytes] = {}
        try:
            files = read_files(self._out, self._limits.disk)
        except TooMuchError:
            why = why or "disk"
        why = why or _BY_SIGNAL.get(code)
        if self._group and code == -signal.SIGKILL and self._group.has_killed():
            why = why or "memory"
        return Outcome(code, files, self._said, self.isolation, why, self._egress.refused)


def _ended(said: bytes) -> _End | None:
    """Read the last word of pid 1; None if it had none."""
    try:
        _, code, why = said.decode().split(" ")
        return _End(int(code), None if why == "-" else why[:80])
    except ValueError:
        return None
