"""What runs first inside, and stands over the job as pid 1 of its world?

    mounts ── no capabilities ── Landlock ── seccomp ── "ready" ── "go" ── fork ── limits ── the job
                                                           └ the folder /out, open: read by the outside when all is dead

It has the standard library only, and little of that: it is started anew for every job. Nothing signals it from inside
(pid_namespaces(7)), nothing reads its memory, and when it ends everything in its world is dead.
"""

import errno
import marshal
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lockgate.drivers.bubblewrap import kernel, landlock
from lockgate.drivers.bubblewrap.relay import Relay
from lockgate.drivers.bubblewrap.tally import over

NOBODY = 65534
_WRITABLE = ("/out", "/tmp", "/dev/shm")  # noqa: S108 - a tmpfs of its own
_QUEUES = {  # of this world's own network: as much as a socket may hold
    "ipv4/tcp_rmem": "4096 65536 262144",
    "ipv4/tcp_wmem": "4096 16384 262144",
    "unix/max_dgram_qlen": "1",
}
_BASE = "/.disk"
_INODES = 16384
_MESSAGE = 4096
_LOOK_EVERY_MS = 100
_OPEN_FILES = 512
_NO_PLACE = 127


class Settings:
    """What the outside wrote down for this program."""

    command: list[str]
    environment: dict[str, str]
    limits: dict[str, int]
    doors: list[int]
    port: int | None
    front: int | None
    mounts: list[tuple[int, str]]
    programs: list[str]
    seccomp: bytes | None

    def __init__(self, written: bytes) -> None:
        vars(self).update(marshal.loads(written))  # noqa: S302 - from our own outside; json would start `re`


class _World:
    """What pid 1 was told, and its line to the outside."""

    def __init__(self, settings: Settings, control: socket.socket) -> None:
        self.settings, self.limits, self.control = settings, settings.limits, control
        self.front = None if settings.front is None else socket.socket(fileno=settings.front)
        if self.front:
            self.front.set_inheritable(False)
        self.doors = {port: _listen(port) for port in settings.doors}

    def dial(self, port: int) -> None:
        """Ask the outside for a connection to what this port leads to."""
        self.control.send(b"dial %d" % port)

    def hear(self) -> socket.socket | None:
        """Hear what the outside answers; when it says nothing more, it is gone, and so is this world."""
        word, found, _, _ = socket.recv_fds(self.control, _MESSAGE, 1)
        if not word:
            os._exit(0)
        return socket.socket(fileno=found[0]) if found else None


def main() -> None:
    """Build the world, wait for the word, run the job, say how it ended."""
    control = socket.socket(fileno=int(sys.argv[1]))
    with os.fdopen(int(sys.argv[2]), "rb") as told:
        settings = Settings(told.read())
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = _mount(settings)
    world = _World(settings, control)
    _become_nobody()
    lacking = _restrict(settings)
    socket.send_fds(control, ["\n".join(f"{name} {why}" for name, why in lacking.items()).encode() or b"-"], [out])
    os.close(out)
    if control.recv(_MESSAGE) != b"go":
        os._exit(0)
    code, why = _run(world)
    control.send(f"ended {code} {why or '-'}".encode())
    os._exit(0)


def _mount(settings: Settings) -> int:
    """Give the job its disk, one bounded tmpfs; return `/out`, open."""
    size = f"size={settings.limits['disk']},nr_inodes={_INODES},mode=0755,uid={NOBODY},gid={NOBODY}"
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("disk", _BASE, "tmpfs", flags, size)
    with _nobody():
        for number in range(len(_WRITABLE)):
            os.mkdir(f"{_BASE}/{number}", 0o755)
    mounts = _uncovered(settings) + settings.mounts
    for number, path in enumerate(_WRITABLE):
        kernel.mount(f"{_BASE}/{number}", path, None, kernel.MS_BIND)
    with _nobody():
        for _, target in mounts:
            if target.startswith(tuple(f"{path}/" for path in _WRITABLE)):
                os.makedirs(target, exist_ok=True)
    for descriptor, target in mounts:
        kernel.attach_mount(descriptor, target)
        os.close(descriptor)
    kernel.call("umount2", _BASE.encode(), kernel.MNT_DETACH)
    for name, sizes in _QUEUES.items():
        with open(f"/proc/sys/net/{name}", "w") as file:
            file.write(sizes)
    return os.open("/out", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _uncovered(settings: Settings) -> list[tuple[int, str]]:
    """Take hold of programs that lie where the disk will be, and that nobody mounts afterwards anyway."""
    later = {target for _, target in settings.mounts}
    return [
        (kernel.hold_mount(path), path)
        for path in settings.programs
        if path not in later and path.startswith(tuple(f"{place}/" for place in _WRITABLE))
    ]


@contextmanager
def _nobody() -> Iterator[None]:
    """Make what is to belong to the job; capabilities come back with the user."""
    if os.getuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)
    os.setegid(0)


def _listen(port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", port))
    door.listen(64)
    return door


def _become_nobody() -> None:
    kernel.empty_bounding_set()
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.give_up_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # the change of user took it back


def _restrict(settings: Settings) -> dict[str, str]:
    """Put on what this kernel has; say what it lacks."""
    doors, port = settings.doors, [] if settings.port is None else [settings.port]
    lacking = {}
    if without := landlock.missing(ports=bool(doors or port)):
        lacking["landlock"] = without
    else:
        landlock.restrict(_WRITABLE, bind=port, connect=[*doors, *port])
    if settings.seccomp is None:
        lacking["seccomp"] = "there is no filter for this machine, only for x86_64 and aarch64"
    else:
        kernel.filter_calls(settings.seccomp)
    return lacking


def _run(world: _World) -> tuple[int, str | None]:
    """Run the job and look after it; return how it ended."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    job = _start(world)
    relay = Relay(world.doors, world.dial, world.front, world.settings.port)
    looked = 0.0
    while True:
        ready = _wait(relay, woken, world.control.fileno())
        if woken in ready:
            os.read(woken, _MESSAGE)
        if world.control.fileno() in ready:
            relay.join(world.hear())
        relay.work(ready)
        if (code := _reap(job)) is not None:
            return code, over(world.limits) if code < 0 else None
        if time.monotonic() - looked > _LOOK_EVERY_MS / 1000:
            if why := over(world.limits):
                return -signal.SIGKILL, why
            looked = time.monotonic()


def _wait(relay: Relay, woken: int, control: int) -> set[int]:
    poll = select.poll()
    for descriptor in (woken, control):
        poll.register(descriptor, select.POLLIN)
    relay.register(poll)
    return {descriptor for descriptor, _ in poll.poll(_LOOK_EVERY_MS)}


def _reap(job: int) -> int | None:
    """Take in whoever ended; return the code of the job when it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == job:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            return None


def _start(world: _World) -> int:
    if job := os.fork():
        return job
    try:
        _exec(world)
    except OSError as e:
        os.write(2, f"cannot run {world.settings.command[0]}: {e.strerror}\n".encode())
    os._exit(_NO_PLACE)


def _exec(world: _World) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    os.chdir("/tmp")  # noqa: S108 - a tmpfs of its own
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    seconds = world.limits["cpu_seconds"]
    for limit, value, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),  # told at the first, killed at the second
        *((limit, value, value) for limit, value in _rlimits(world.limits)),
    ):
        _, highest = resource.getrlimit(limit)
        most = hard if highest == resource.RLIM_INFINITY else min(hard, highest)
        resource.setrlimit(limit, (min(value, most), most))
    settings, program = world.settings, world.settings.command[0]
    for folder in [""] if "/" in program else settings.environment.get("PATH", os.defpath).split(":"):
        with suppress(FileNotFoundError, NotADirectoryError):
            os.execve(os.path.join(folder, program), settings.command, settings.environment)  # noqa: S606 - no shell
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _rlimits(limits: dict[str, int]) -> list[tuple[int, int]]:
    return [
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NPROC, limits["processes"] + 1),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
