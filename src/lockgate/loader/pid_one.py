"""What stands over a model server, so that nothing of it outlives its permission?

    lockgate run ──socket── pid 1 of a new pid namespace ── the model server ── whatever that forks
                    │          └ ends: the kernel kills the whole namespace, daemons of their own session included
                    └ closes (run is gone, however it went), or the deadline passes: pid 1 ends

Where the kernel allows no pid namespace, the same program is a child subreaper: orphans come back to it, and it kills
until it has no child left. That holds a careless server, not a hostile one; `Child.contained_by` says which it is.

This is a program of its own (`python -I -S pid_one.py SETTINGS_FD SOCKET_FD`), because `run` has threads, and between
fork and exec a program with threads can do next to nothing safely. It imports the standard library and nothing else.
"""

import ctypes
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x0002_0000, 0x1000_0000, 0x2000_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP = 1, 4, 23, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAP_SETPCAP, CAP_SYS_ADMIN = 8, 21
KEPT_BY_ROOT = frozenset({0, 1, 3, 4, 5, 6, 7, 10, 14, 23})
"""chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service, ipc_lock, sys_nice (capabilities(7))."""

_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x2008_0522
_LOOK_EVERY_SECONDS = 0.25
_MESSAGE = 4096


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | None) -> int:
    """Call the C library's `name`; raise `OSError` when it fails."""
    plain = [ctypes.c_ulong(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(getattr(_libc(), name)(*plain))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """Set or ask an attribute of this program (prctl(2))."""
    return call("prctl", option, value, third, 0, 0)


def capabilities() -> tuple[int, int, int]:
    """Read the effective, permitted and inheritable sets of this thread (capget(2))."""
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if _libc().capget(header, sets) < 0:
        raise OSError(ctypes.get_errno(), "capget")
    return tuple(sets[i] | sets[i + 3] << 32 for i in range(3))  # type: ignore[return-value]  # three, by range(3)


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """Replace the sets of this thread (capset(2))."""
    low = [value & 0xFFFF_FFFF for value in (effective, permitted, inheritable)]
    high = [value >> 32 for value in (effective, permitted, inheritable)]
    if _libc().capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)(*low, *high)) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def give_up_privileges() -> None:
    """Give up, for good, what could undo the seal on the files: this program and all that it will ever start.

    Nothing inheritable means nothing ambient (capabilities(7)). A new user namespace gives every capability back, but
    only over mounts that are locked (mount_namespaces(7)).
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in set(range(_LAST_CAPABILITY + 1)) - KEPT_BY_ROOT:
        _drop(capability)
    kept = sum(1 << capability for capability in KEPT_BY_ROOT)
    effective, permitted, _ = capabilities()
    set_capabilities(effective & kept, permitted & kept, 0)


def _drop(capability: int) -> None:
    try:
        if prctl(PR_CAPBSET_READ, capability):
            prctl(PR_CAPBSET_DROP, capability)
    except OSError as e:
        unknown_to_this_kernel = e.errno == errno.EINVAL
        # Without CAP_SETPCAP the bounding set stays; it gives nothing to a user who is not root and has no new privs.
        if not unknown_to_this_kernel and os.getuid() == 0:
            raise


@dataclass(frozen=True, slots=True)
class Settings:
    """What `run` writes down for this program."""

    command: list[str]
    env: dict[str, str]
    cwd: str
    fds: list[int]
    namespace: bool
    hidden: str | None = None
    kept: list[str] = field(default_factory=list)


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
        settings = Settings(**json.load(stored))
    prctl(PR_SET_DUMPABLE, 0)
    if settings.namespace:
        _in_pid_namespace(run)
        _hide(settings, run)
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


def _hide(settings: Settings, run: socket.socket) -> None:
    """Lay an empty folder over the one that the server may not see; what is kept of it stays where it is."""
    if settings.hidden is None:
        return
    try:
        hidden = os.path.realpath(settings.hidden, strict=True)
        if hidden == "/":
            raise OSError(errno.EINVAL, "nothing can be hidden but a folder")
        below = sorted(path for path in map(os.path.realpath, settings.kept) if path.startswith(f"{hidden}/"))
        opened = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) for path in below]
        flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
        call("mount", b"lockgate", os.fsencode(hidden), b"tmpfs", flags, b"size=64k,mode=0755")
        for path, descriptor in opened:
            Path(path).mkdir(0o755, parents=True, exist_ok=True)
            call("mount", b"/proc/self/fd/%d" % descriptor, os.fsencode(path), None, MS_BIND | MS_REC, None)
            os.close(descriptor)
        call("mount", None, os.fsencode(hidden), None, MS_REMOUNT | MS_RDONLY | flags, None)
        os.chdir("/")  # it may have been in there
    except OSError as e:
        _refuse(run, "hiding", e)


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
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)
    os.execvpe(settings.command[0], settings.command, settings.env)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main()
