"""How is a job put behind its walls? By bubblewrap, which is started with an empty environment and knows no secret.

    Bubblewrap.run(job)    Outcome
    Bubblewrap.serve(job)  a unix socket in a folder of ours: `inner` inherits it listening, nobody inside sees its name

What `inner` has to know goes through a descriptor: arguments can be read by others, and bubblewrap's own environment
inside, in /proc/1/environ. What a job may reach outside is opened here and passed in, connection by connection.
"""

import itertools
import json
import marshal
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from lockgate.drivers.bubblewrap import inner, seccomp, users, view
from lockgate.drivers.bubblewrap.cell import Cell
from lockgate.drivers.bubblewrap.control_group import make_group
from lockgate.drivers.bubblewrap.egress import Egress
from lockgate.drivers.bubblewrap.passed import Passed
from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator.sandbox import LAYERS, Job, Outcome

_MAY_LACK = frozenset({"seccomp", "landlock", "cgroup"})
_PROXY_PORT = 3128
_PROXY_NAMES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_MESSAGE = 4096
_SECONDS = 30
_BOOT = "import sys; sys.path.append('/.lockgate'); from lockgate.drivers.bubblewrap.inner import main; main()"
_APART = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
_FIRM = ("--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox", "--cap-drop", "ALL")
_FOR_INNER = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID")
_WAYS_OUT = {
    "namespaces": "it needs the package bubblewrap and a Linux that allows user namespaces:"
    " sysctl kernel.unprivileged_userns_clone=1, an AppArmor profile for bwrap, the right to make them in a container",
    "seccomp": "run it on x86_64 or aarch64",
    "landlock": "Linux 6.7 or newer with landlock among its lsm=",
    "cgroup": "run as root, or in a group that is yours: systemd-run --user --scope --property=Delegate=yes",
}


@dataclass(frozen=True, slots=True)
class Held:
    """A job that serves, held by bubblewrap."""

    socket: Path
    _cell: Cell

    @property
    def isolation(self) -> tuple[str, ...]:
        """The layers that hold it."""
        return self._cell.isolation

    def end(self) -> Outcome:
        """Kill it, if it still runs, and say what came of it."""
        return self._cell.close()


class Bubblewrap:
    """The sandbox of one machine. `allow` names layers that may lack; `programs` are shown at their own path."""

    def __init__(
        self,
        *,
        allow: frozenset[str] = frozenset({"cgroup"}),
        programs: Sequence[Path] | None = None,
        python: str = sys.executable,
        bwrap: str = "bwrap",
    ) -> None:
        if unknown := allow - _MAY_LACK:
            raise VerificationError(f"only {', '.join(sorted(_MAY_LACK))} may lack, not {', '.join(sorted(unknown))}")
        self._allow, self._python, self._bwrap = allow, python, bwrap
        self._programs = view.outside_system(view.own_programs() if programs is None else programs)

    def run(self, job: Job) -> Outcome:
        """Run a job to its end, or to the limit that ends it; nothing of it is alive afterwards."""
        with self._started(job, None) as cell:
            return cell.wait()

    @contextmanager
    def serve(self, job: Job) -> Iterator[Held]:
        """Run a job as long as the block does; `job.port` says where it serves."""
        if job.port is None:
            raise VerificationError("a job that serves says at which port")
        with tempfile.TemporaryDirectory(prefix="lockgate-") as folder, socket.socket(socket.AF_UNIX) as front:
            path = Path(folder, "job.sock")
            front.bind(str(path))
            front.listen()
            with self._started(job, front) as cell:
                front.close()  # when the job is dead, nobody listens
                yield Held(path, cell)

    @contextmanager
    def _started(self, job: Job, front: socket.socket | None) -> Iterator[Cell]:
        egress = Egress(job.hosts)
        doors = _doors(job, egress)
        with ExitStack() as stack:
            if group := make_group(job.limits):
                stack.callback(group.remove)
            control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(control)
            with theirs:
                shell, pid = self._shell(job, tuple(doors), theirs, front)
            stack.callback(_put_away, shell)
            out, lacking = _hear(control, shell)
            stack.callback(os.close, out)
            if group:
                group.add(pid)
            else:
                lacking["cgroup"] = "this program may make no control groups"
            cell = Cell(shell, pid, control, out, job.limits, self._layers(lacking))
            stack.callback(cell.close)
            cell.go(doors, egress, group)
            yield cell

    def _layers(self, lacking: Mapping[str, str]) -> tuple[str, ...]:
        """Name the layers that hold; raise `UnavailableError` when one lacks that may not."""
        if missing := [
            f"no {name}: {why}; {_WAYS_OUT[name]}, or name the weaker mode: {name} may lack"
            for name, why in lacking.items()
            if name not in self._allow
        ]:
            raise UnavailableError("; ".join(missing))
        return tuple(layer for layer in LAYERS if layer not in lacking)

    def _shell(
        self, job: Job, doors: tuple[int, ...], control: socket.socket, front: socket.socket | None
    ) -> "tuple[subprocess.Popen[bytes], int]":
        """Start bubblewrap; return it, and the number of pid 1 inside."""
        inputs = {name: _found(path) for name, path in job.inputs.items()}
        with Passed() as passed:
            told, tell = os.pipe()
            passed.take(tell)
            listening = passed.take(os.dup(front.fileno())) if front else None
            places = {f"/in/{name}": path for name, path in inputs.items()} | {
                str(path): path for path in self._programs
            }
            who, mounts = _who(places, passed)
            settings = marshal.dumps(
                _settings(job, doors, listening, mounts) | {"programs": [str(path) for path in self._programs]}, 2
            )
            arguments = [
                *(self._bwrap, *who, *_APART, *_FIRM, "--info-fd", str(tell)),
                *(word for name in _FOR_INNER for word in ("--cap-add", name)),
                *view.shown(self._programs, passed),
                *view.inputs(inputs, passed, later=bool(mounts)),
                *view.sealed(),
                *("--", self._python, "-I", "-S", "-c", _BOOT),
                *(str(passed.take(os.dup(control.fileno()))), str(passed.keep(settings))),
            ]
            shell = _popen(arguments, passed.descriptors)
        with os.fdopen(told, "rb") as information:
            written = information.read()
        if not written:
            raise UnavailableError(_last_words(shell))
        return shell, int(json.loads(written)["child-pid"])


def _found(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except OSError as e:
        raise UnavailableError(f"cannot show {path} to a job: {e.strerror}") from e


def _doors(job: Job, egress: Egress) -> dict[int, Callable[[], socket.socket]]:
    """Say what each port inside leads to."""
    doors: dict[int, Callable[[], socket.socket]] = {port: partial(_call, path) for port, path in job.reach.items()}
    if job.hosts:
        doors[next(port for port in itertools.count(_PROXY_PORT) if port not in (*doors, job.port))] = egress.open
    return doors


def _call(path: Path) -> socket.socket:
    """Call a socket that has room for a caller; nobody waits, for the clock of the job goes on."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _who(places: Mapping[str, Path], passed: Passed) -> tuple[list[str], dict[str, int]]:
    """Say as whom it runs; a stranger reads what is shown through mounts of its own."""
    if (number := users.stranger()) is None:
        return ["--unshare-user", "--uid", str(inner.NOBODY), "--gid", str(inner.NOBODY)], {}
    home, owner = (passed.take(made) for made in users.namespaces(number))
    return ["--userns", str(home)], {place: passed.take(users.shown(path, owner)) for place, path in places.items()}


def _settings(job: Job, doors: tuple[int, ...], front: int | None, mounts: Mapping[str, int]) -> dict[str, object]:
    """Write down what `inner` has to know."""
    filter_ = seccomp.program(platform.machine(), inet=bool(doors or job.port))
    proxies = dict.fromkeys(_PROXY_NAMES, f"http://127.0.0.1:{doors[-1]}") if job.hosts else {}
    return {
        "command": job.command,
        "environment": proxies | dict(job.environment),
        "limits": asdict(job.limits),
        "doors": doors,
        "port": job.port,
        "front": front,
        "mounts": [(descriptor, place) for place, descriptor in mounts.items()],
        "seccomp": filter_,
    }


def _popen(arguments: Sequence[str], descriptors: Sequence[int]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            arguments,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=descriptors,
            cwd="/",
        )
    except OSError as e:
        raise UnavailableError(
            f"no namespaces: cannot run {arguments[0]}: {e.strerror}; {_WAYS_OUT['namespaces']}"
        ) from e


def _hear(control: socket.socket, shell: "subprocess.Popen[bytes]") -> tuple[int, dict[str, str]]:
    """Wait until the walls stand; return `/out`, open, and which layers lack."""
    control.settimeout(_SECONDS)
    try:
        said, found, _, _ = socket.recv_fds(control, _MESSAGE, 1)
    except TimeoutError:
        said, found = b"", []
    if not said or not found:
        raise UnavailableError(_last_words(shell))
    control.settimeout(None)
    lines = [] if said == b"-" else said.decode().splitlines()
    return found[0], dict(line.split(" ", 1) for line in lines)


def _last_words(shell: "subprocess.Popen[bytes]") -> str:
    shell.kill()
    said, _ = shell.communicate()
    why = said.decode(errors="replace").strip()[-_MESSAGE:] or f"it ended with {shell.returncode}"
    return f"no namespaces: bwrap: {why}; {_WAYS_OUT['namespaces']}"


def _put_away(shell: "subprocess.Popen[bytes]") -> None:
    shell.kill()
    shell.wait()
    if shell.stdout:
        shell.stdout.close()
