"""How does a model server run under a lease? Started on verified files, stopped when the permission ends.

    open_release ──▶ start ──▶ renew, renew, … ──▶ refused, or silent for too long ──▶ stop the whole process group
                                              └──▶ the server ended by itself ──▶ its exit code

The deadline lies with the supervisor of the child as well, so a loop that hangs here stretches nothing.
"""

import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lockgate.core.release import Serve
from lockgate.errors import UnavailableError, VerificationError
from lockgate.loader.bound_folder import BoundFolder
from lockgate.loader.connection import Connection
from lockgate.loader.control import Ended, Started, Stop
from lockgate.loader.hand_over import Handed
from lockgate.loader.host import Host
from lockgate.loader.lease_clock import NANOSECONDS, Held
from lockgate.loader.lessor import Lessor, OwnLessor, Tell
from lockgate.loader.opening import Opened
from lockgate.loader.own_place import home_of, read_scratch, walls_of
from lockgate.loader.supervise import Child, forwarding

STOPPED = 10  # the exit code of `run` when the permission to serve ended
_LOOK_SECONDS = 1.0
_PLACE = re.compile(r"\{(model|port|python|bindings|file:[^{}]*)\}")


def serve_release(host: Host, opened: Opened, connection: Connection, port: int, tell: Tell) -> Ended:
    """Start the manifest's command on the verified files and keep it running as long as this host gets leases.

    Enforces: verified_loading, emergency_shutdown
    """
    return keep_serving(opened, OwnLessor(host, connection, tell), port, tell)


def keep_serving(opened: Opened, lessor: Lessor, port: int, tell: Tell) -> Ended:
    """Do what `serve_release` does, with the leases of `lessor`; say how it ended. Port 0 is any that is free.

    Enforces: verified_loading, emergency_shutdown
    """
    port, scratch = port or _free_port(), read_scratch(lessor.home)
    release, manifest = opened.admission.permit.release, opened.admission.permit.release.manifest
    if opened.admission.candidate:
        scratch.check_beside(opened.admission.permit.endpoint)
    with _bound(opened, lessor) as bound:
        bindings = bound.path if bound else None
        command = command_line(manifest.serve, opened.files, port, bindings)
        environment = {"PATH": os.defpath, **home_of(scratch), **_environment(manifest.serve, bindings)}
        _check_words(command, environment)
        lease = lessor.fresh(opened.admission, opened.lease)  # nothing starts on a permission that is about to end
        walls = walls_of(lessor.home, scratch, release.digest, opened.files, bound.shown if bound else ())
        child = Child(command, environment, opened.files.directory or Path("/"), opened.files.fds, walls)
        with forwarding(child):
            watch = _Watch(replace(opened, lease=lease), lessor, child, tell)
            tell(f"started {manifest.tag} as {' '.join(command[:3])} … at port {port}")
            lessor.note(Started(datetime.now(UTC), port))
            ended = watch.to_its_end()
    lessor.note(ended)
    return ended


def command_line(serve: Serve, files: Handed, port: int, bindings: Path | None = None) -> Sequence[str]:
    """Fill in the manifest's command: `{model}`, `{port}`, `{python}`, `{bindings}` and `{file:COMPONENT/NAME}`."""
    values = {"port": str(port), "python": sys.executable}
    if bindings is not None:
        values["bindings"] = str(bindings)
    if files.directory is not None:
        values["model"] = str(files.directory)
    values |= {f"file:{name}": path for name, path in files.paths.items()}
    return [_PLACE.sub(lambda place: _value(place[1], values), word) for word in serve.command]


@contextmanager
def _bound(opened: Opened, lessor: Lessor) -> Iterator[BoundFolder | None]:
    """Have a folder with what the endpoint may hold, None if that is nothing."""
    if not opened.admission.permit.rules.bindings:
        yield None
        return
    folder = BoundFolder(opened.files)
    try:
        lessor.bind(opened.admission, folder.put)
        yield folder
    finally:
        folder.close()


def _environment(serve: Serve, bindings: Path | None) -> Mapping[str, str]:
    """Fill in `{bindings}`, and nothing else, where the manifest says what the environment holds."""
    if bindings is None and any("{bindings}" in value for value in serve.environment.values()):
        raise VerificationError("the environment wants {bindings}, and the policy lets this endpoint hold none")
    return {name: value.replace("{bindings}", str(bindings)) for name, value in serve.environment.items()}


def _free_port() -> int:
    """Find a port that nobody has now; whoever takes it before the model server does makes that one fail."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _value(name: str, values: Mapping[str, str]) -> str:
    """Look up what stands in a placeholder's stead; what is put in is never looked at again."""
    if name == "model" and name not in values:
        raise UnavailableError("this host has no private mounts, so there is no {model}; the command must use {file:…}")
    if name == "bindings" and name not in values:
        raise VerificationError("the command wants {bindings}, and the policy lets this endpoint hold none")
    if name not in values:
        raise VerificationError(f"the command wants {{{name[:200]}}}, and no component has that file")
    return values[name]


def _check_words(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise `VerificationError` for what no program can be given (execve(2))."""
    if any("\0" in word for word in (*command, *environment, *environment.values())):
        raise VerificationError("the command or its environment holds a NUL")
    if any(not name or "=" in name for name in environment):
        raise VerificationError("the name of an environment variable is empty, or holds a =")


class _Watch:
    """A model server that runs, and what its lessor says of it meanwhile. Each word is obeyed when it comes."""

    def __init__(self, opened: Opened, lessor: Lessor, child: Child, tell: Tell) -> None:
        self._opened, self._lessor, self._child, self._tell = opened, lessor, child, tell
        self._lease = opened.lease
        self._stop: Stop | None = None
        self._obey(opened.lease)

    def to_its_end(self) -> Ended:
        """Wait until the server is gone, and say why it is."""
        threading.Thread(target=self._listen, name="leases", daemon=True).start()
        while (code := self._child.wait(_LOOK_SECONDS)) is None:
            if self._stop is not None:
                code = self._child.gone(self._stop.grace_seconds)
        if self._stop is not None:
            return Ended(STOPPED, "; ".join(self._stop.reasons))
        if _now() >= self._limit():
            return Ended(STOPPED, "the lease ended and nobody answered")
        return Ended(code, "the server ended")

    def _listen(self) -> None:
        for word in self._lessor.words(self._opened.admission, self._lease):
            self._obey(word)

    def _obey(self, word: Held | Stop) -> None:
        if isinstance(word, Stop):
            self._stop = word
            self._child.end(word.grace_seconds)
            self._tell(f"stopping: {'; '.join(word.reasons)}")
        else:
            self._lease = word
            self._child.allow_until(self._limit())

    def _limit(self) -> int:
        """Say until when the server may run, on the boot clock: the deadline, and the grace that the policy gives."""
        return self._lease.deadline_ns + self._opened.admission.permit.rules.lease.grace * NANOSECONDS


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
