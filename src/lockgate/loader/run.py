"""How does a model server run under a lease? Started on verified files, stopped when the permission ends.

    open_release ──▶ start ──▶ renew, renew, … ──▶ refused, or silent for too long ──▶ stop the whole process group
                                              └──▶ the server ended by itself ──▶ its exit code

The deadline lies with the supervisor of the child as well, so a loop that hangs here stretches nothing.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lockgate.core.policy import Lease
from lockgate.core.release import Serve
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.loader.connection import Connection
from lockgate.loader.hand_over import Handed
from lockgate.loader.host import Host
from lockgate.loader.lease_clock import NANOSECONDS, Held, latest
from lockgate.loader.opening import Opened, ask_lease
from lockgate.loader.supervise import Child, forwarding

STOPPED = 10  # the exit code of `run` when the permission to serve ended
_TERM_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_PLACE = re.compile(r"\{(model|port|python|file:[^{}]*)\}")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: the exit code of `lockgate run`, and why."""

    code: int
    why: str


def serve_release(host: Host, opened: Opened, connection: Connection, port: int, tell: Tell) -> Ended:
    """Start the manifest's command on the verified files and keep it running as long as leases last.

    Enforces: verified_loading, emergency_shutdown
    """
    manifest = opened.admission.permit.release.manifest
    command = command_line(manifest.serve, opened.files, port)
    environment = {"PATH": os.defpath, **manifest.serve.environment}
    _check_words(command, environment)
    lease = opened.lease
    if lease.is_due(_now()):  # copying took its time: nothing starts on a permission that is about to end
        lease = ask_lease(host, opened.admission, connection, "sealed")
    child = Child(command, environment, opened.files.directory or Path("/"), opened.files.fds)
    tell(f"started {manifest.tag} as {' '.join(command[:3])} …")
    with forwarding(child):
        return _watch(host, replace(opened, lease=lease), connection, child, tell)


def command_line(serve: Serve, files: Handed, port: int) -> Sequence[str]:
    """Fill in the manifest's command: `{model}`, `{port}`, `{python}` and `{file:COMPONENT/NAME}`, nothing else."""
    values = {"port": str(port), "python": sys.executable}
    if files.directory is not None:
        values["model"] = str(files.directory)
    values |= {f"file:{name}": path for name, path in files.paths.items()}
    return [_PLACE.sub(lambda place: _value(place[1], values), word) for word in serve.command]


def _value(name: str, values: Mapping[str, str]) -> str:
    """Look up what stands in a placeholder's stead; what is put in is never looked at again."""
    if name == "model" and name not in values:
        raise UnavailableError("this host has no private mounts, so there is no {model}; the command must use {file:…}")
    if name not in values:
        raise VerificationError(f"the command wants {{{name[:200]}}}, and no component has that file")
    return values[name]


def _check_words(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise `VerificationError` for what no program can be given (execve(2))."""
    if any("\0" in word for word in (*command, *environment, *environment.values())):
        raise VerificationError("the command or its environment holds a NUL")
    if any(not name or "=" in name for name in environment):
        raise VerificationError("the name of an environment variable is empty, or holds a =")


def _watch(host: Host, opened: Opened, connection: Connection, child: Child, tell: Tell) -> Ended:
    rules, lease = opened.admission.permit.rules, opened.lease
    child.allow_until(_limit(lease, rules.lease))
    while True:
        code = child.wait(_pause(lease))
        if code is not None:
            over = _now() >= _limit(lease, rules.lease)
            return Ended(STOPPED, "the lease ended and nobody answered") if over else Ended(code, "the server ended")
        try:
            lease = latest(lease, ask_lease(host, opened.admission, connection, "sealed"))
            child.allow_until(_limit(lease, rules.lease))
        except DeniedError as e:
            tell(f"stopping: {e}")
            child.stop(_TERM_SECONDS)
            return Ended(STOPPED, str(e))
        except (UnavailableError, VerificationError, ConflictError) as e:  # no answer that counts: the lease runs out
            tell(f"no lease for now: {e}")


def _limit(lease: Held, rule: Lease) -> int:
    """Say until when the server may run, on the boot clock: the deadline, and the grace that the policy gives."""
    grace = rule.grace_seconds or 0 if rule.on_silence == "grace" else 0
    return lease.deadline_ns + grace * NANOSECONDS


def _pause(lease: Held) -> float:
    """Say how long to wait for the child before the lease is asked for again, in seconds."""
    return max(_RETRY_SECONDS, (lease.renew_at_ns - _now()) / NANOSECONDS)


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
