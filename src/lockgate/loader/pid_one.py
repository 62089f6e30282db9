"""What stands over a model server, so that nothing of it outlives its permission?

    lockgate run ──socket── pid 1 of a new pid namespace ── the model server ── whatever that forks
                    │          └ ends: the kernel kills the whole namespace, daemons of their own session included
                    └ closes (run is gone, however it went), or the deadline passes: pid 1 ends

Where the kernel allows no pid namespace, the same program is a child subreaper: orphans come back to it, and it kills
until it has no child left. That holds a careless server, not a hostile one; `Child.contained_by` says which it is.

This is a program of its own (`supervise` starts it), because `run` has threads, and between fork and exec a program
with threads can do next to nothing safely. It imports the standard library, `linux` and `walls`, and nothing else.
"""

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lockgate.loader.linux import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    call,
    give_up_privileges,
    leave_abstract_sockets,
    leave_keyrings,
    prctl,
)
from lockgate.loader.walls import Walls, raise_walls

_LOOK_EVERY_SECONDS = 0.25
_MESSAGE = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """What `run` writes down for this program."""

    command: list[str]
    env: dict[str, str]
    cwd: str
    fds: list[int]
    namespace: bool
    walls: Walls


@dataclass(slots=True)
class _Watch:
    """The server that is watched, and when it must be dead at the latest (CLOCK_BOOTTIME)."""

    server: int
    run: socket.socket
    woken: int
    alone: bool
    until_ns: int | None = None
    kill_at_ns: int | None = None
    code: int | None = None

    def is_over(self) -> bool:
        """Ask whether the server ended, or must end now."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return self.code is not None or any(at is not None and now >= at for at in (self.until_ns, self.kill_at_ns))

    def timeout(self) -> float | None:
        """Look again soon, rather than sleep until a deadline: poll(2) does not count the time of a suspension."""
        deadlines = [at for at in (self.until_ns, self.kill_at_ns) if at is not None]
        if not deadlines:
            return None
        left = (min(deadlines) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9
        return min(max(left, 0.0), _LOOK_EVERY_SECONDS)


def main() -> None:
    """Read the settings, stand over the server, and end with it."""
    settings_fd, run = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    run.set_inheritable(False)
    with os.fdopen(settings_fd, "rb") as stored:
        found = json.load(stored)
    settings = Settings(**{**found, "walls": Walls(**found["walls"])})
    prctl(PR_SET_DUMPABLE, 0)
    if settings.namespace:
        _in_pid_namespace(run)
        _wall_in(settings.walls, run)
    else:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    code = _watch(settings, run)
    with suppress(OSError):
        run.send(b"exit %d" % code)
    os._exit(0)


def _in_pid_namespace(run: socket.socket) -> None:
    """Go on as pid 1 of a new pid namespace with a /proc of its own; the one who forked it only waits."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        call("unshare", CLONE_NEWPID)
    except OSError as e:
        _refuse(run, "namespace", e)
    if pid_one := os.fork():
        run.close()
        os.waitpid(pid_one, 0)
        os._exit(0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        call("unshare", CLONE_NEWNS)
        call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    except OSError as e:
        _refuse(run, "namespace", e)


def _wall_in(walls: Walls, run: socket.socket) -> None:
    try:
        raise_walls(walls)
    except OSError as e:
        _refuse(run, "walls", e)


def _refuse(run: socket.socket, what: str, error: OSError) -> None:
    run.send(f"refused {what} {error.errno} {error.strerror}".encode()[:_MESSAGE])
    os._exit(0)


def _watch(settings: Settings, run: socket.socket) -> int:
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    watch = _Watch(_start(settings, run), run, woken, alone=settings.namespace)
    run.send(b"started")
    while not watch.is_over():
        ready, _, _ = select.select([run.fileno(), woken], [], [], watch.timeout())
        if woken in ready:
            os.read(woken, _MESSAGE)
        if run.fileno() in ready and not _obey(watch):
            break
        _reap(watch)
    _kill_all(watch)
    return -signal.SIGKILL if watch.code is None else watch.code


def _obey(watch: _Watch) -> bool:
    """Do what `run` says; False when it says nothing more, ever."""
    try:
        word, _, number = watch.run.recv(_MESSAGE).decode().partition(" ")
    except ConnectionError:
        return False
    match word:
        case "signal":
            _signal_group(watch, int(number))
        case "stop":
            _signal_group(watch, signal.SIGTERM)
            watch.kill_at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(number)
        case "until":
            watch.until_ns = int(number)
        case _:
            return False
    return True


def _signal_group(watch: _Watch, number: int) -> None:
    if watch.code is None:
        with suppress(ProcessLookupError):
            os.killpg(watch.server, number)


def _reap(watch: _Watch) -> bool:
    """Take in every child that has ended; False when there is none left at all."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == watch.server:
            watch.code = os.waitstatus_to_exitcode(status)


def _kill_all(watch: _Watch) -> None:
    while _reap(watch):
        for pid in [-1] if watch.alone else _descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _descendants() -> list[int]:
    """Walk /proc for everything below this program; orphans come back to it, so nothing hides."""
    children: dict[int, list[int]] = {}
    for entry in (path.name for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(OSError):
            parent = int(Path(f"/proc/{entry}/stat").read_bytes().rpartition(b") ")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found = [os.getpid()]
    for pid in found:
        found.extend(children.get(pid, []))
    return found[1:]


def _start(settings: Settings, run: socket.socket) -> int:
    """Fork and exec the server; tell `run` why when that fails."""
    told, tell = os.pipe()
    if server := os.fork():
        os.close(tell)
        with os.fdopen(told, "rb") as failure:
            if number := failure.read():
                os.waitpid(server, 0)
                _refuse(run, "command", OSError(int(number), os.strerror(int(number))))
        for descriptor in settings.fds:
            os.close(descriptor)
        return server
    try:
        _become(settings)
    except OSError as e:
        os.write(tell, str(e.errno or errno.EINVAL).encode())
    os._exit(127)


def _become(settings: Settings) -> None:
    parent = os.getppid()
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.chdir(settings.cwd)
    give_up_privileges()
    if settings.walls.scratch != "host":
        leave_keyrings()
        leave_abstract_sockets()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)
    os.execvpe(settings.command[0], settings.command, settings.env)  # noqa: S606 - no shell is the point
