"""How is a model server started, watched and stopped, so that nothing of it is left?

`Child` starts the program `pid_one`, which starts the server with exactly the command and the environment given, no
shell between, and none of our files open but those named. `pid_one` kills everything when it is told to stop, when the
deadline passes that `allow_until` set, and when `run` itself is gone.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import RLock, current_thread, main_thread
from types import FrameType
from typing import Literal

import lockgate
from lockgate.errors import UnavailableError
from lockgate.loader.passing_on import PassingOn
from lockgate.loader.pid_one import Settings
from lockgate.loader.walls import Walls

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

STDOUT, STDERR = 1, 2

_PID_ONE = "import sys; sys.path.append(sys.argv.pop(1)); from lockgate.loader.pid_one import main; main()"
_OURS = str(Path(lockgate.__file__).parents[1])
_MESSAGE = 4096
_SLICE_SECONDS = 0.2
_KILL_SECONDS = 5.0


class Child:
    """A model server that runs, or ran. Start it from the main thread; stop it from any."""

    contained_by: Literal["pid-namespace", "subreaper"]

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: Path,
        pass_fds: Sequence[int] = (),
        walls: Walls = Walls(),  # noqa: B008 - nothing of it ever changes
    ) -> None:
        """Start `command`; raise `UnavailableError` if it cannot be started."""
        assert current_thread() is main_thread(), "the server would be killed when the thread that started it ends"
        self._lock = RLock()  # a signal may come while it is held, and is forwarded by the thread that holds it
        self._code: int | None = None
        plain = list(command), dict(env), str(cwd), list(pass_fds)
        for contained_by in ("pid-namespace", "subreaper"):
            if walls.needed and contained_by == "subreaper":
                raise UnavailableError(f"no pid namespace here: {walls.needed}")
            self._program, self._socket = _launch(Settings(*plain, contained_by == "pid-namespace", walls))
            self._said = PassingOn(((self._program.stdout, STDOUT), (self._program.stderr, STDERR)))
            word, _, detail = self._answer().partition(" ")
            if word == "started":
                self.contained_by = contained_by
                return
            self._dismiss()
            if not detail.startswith("namespace "):
                raise UnavailableError(f"cannot start {command[0]!r}: {detail or 'no answer'}")
        raise AssertionError("a subreaper needs no namespace")

    def allow_until(self, deadline_ns: int) -> None:
        """Have the server killed at `deadline_ns` (CLOCK_BOOTTIME) even if this program hangs; a later call moves it.

        Enforces nothing before the first call.
        """
        self._say(f"until {deadline_ns}")

    def signal(self, number: int) -> None:
        """Send a signal to the server's own group."""
        self._say(f"signal {number}")

    def end(self, grace_seconds: float) -> None:
        """Have the server asked to end, and all that is left of it killed after a while; wait for nothing."""
        self._say(f"stop {int(grace_seconds * 1e9)}")

    def stop(self, grace_seconds: float) -> int:
        """Ask the server to end, then kill all that is left of it; return its exit code, -N for signal N."""
        self.end(grace_seconds)
        return self.gone(grace_seconds)

    def gone(self, within_seconds: float) -> int:
        """Wait for the end that was asked for; whoever should have seen to it and hangs is killed too."""
        code = self.wait(within_seconds + _KILL_SECONDS)
        if code is not None:
            return code
        with suppress(ProcessLookupError):
            os.kill(self._program.pid, signal.SIGKILL)
        return self._settle()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until the server and all that it started are gone; return its exit code, None if it still runs."""
        ends_at = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            left = _SLICE_SECONDS if ends_at is None else min(_SLICE_SECONDS, ends_at - time.monotonic())
            if left < 0:
                return None
            if select.select([self._socket], [], [], left)[0]:
                self._settle()
        return self._code

    def _say(self, message: str) -> None:
        with suppress(OSError), self._lock:  # gone, or just being dismissed
            if self._code is None:
                self._socket.send(message.encode())

    def _answer(self) -> str:
        try:
            return self._socket.recv(_MESSAGE).decode(errors="replace")
        except ConnectionError:
            return ""

    def _settle(self) -> int:
        """Read the exit code, or that there is none because `pid_one` was killed; leave no zombie."""
        with self._lock:
            if self._code is None:
                word, _, number = self._answer().partition(" ")
                self._dismiss()
                self._code = int(number) if word == "exit" else -signal.SIGKILL
            return self._code

    def _dismiss(self) -> None:
        self._program.wait()
        self._said.finish()
        self._socket.close()


@contextmanager
def forwarding(child: Child) -> Iterator[None]:
    """Send on to the server every signal that this program is sent."""

    def forward(number: int, _frame: FrameType | None) -> None:
        child.signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _launch(settings: Settings) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start `pid_one`. Command and environment go through memory, not through arguments that all may read."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    written = os.memfd_create("settings", os.MFD_CLOEXEC)
    with theirs, os.fdopen(written, "wb") as stored:
        stored.write(json.dumps(asdict(settings)).encode())
        stored.flush()
        stored.seek(0)
        said = None if settings.walls.scratch == "host" else subprocess.PIPE
        program = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PID_ONE, _OURS, str(written), str(theirs.fileno())],
            env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[written, theirs.fileno(), *settings.fds],
            start_new_session=True,
        )
    return program, ours
