"""What does a trial ask of the place where foreign code runs, and what comes out of it?

    Job ──▶ Sandbox.run   ──▶ Outcome: files, last words, the layers that held it
        ──▶ Sandbox.serve ──▶ Served: one unix socket that leads to the job's port, and nothing else does

What is inside sees its inputs, read-only, at `/in/NAME`, and may write to `/out` and `/tmp`. It has the environment and
the network that the job names, and no other. It says nothing about itself: code, layers and what was refused are what
the outside saw, and a job that ran into a limit says which one, so nobody takes half a report for a whole one.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lockgate.errors import VerificationError
from lockgate.formats.names import Name

LAYERS = ("namespaces", "seccomp", "landlock", "limits", "cgroup")
"""What can hold a job, in the words of `Outcome.isolation`. A driver may have others."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:]{2,39}\]):([1-9][0-9]{0,4})")
_LOWEST_PORT, _HIGHEST_PORT = 1024, 65535


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the machine a job gets. Sizes are bytes; `seconds` is the clock on the wall."""

    seconds: int = 600
    cpu_seconds: int = 600
    memory: int = 2 << 30
    processes: int = 128
    disk: int = 256 << 20
    output: int = 16 << 20

    def __post_init__(self) -> None:
        if min(self.seconds, self.cpu_seconds, self.memory, self.processes, self.disk, self.output) < 1:
            raise VerificationError(f"a limit below 1 holds nothing: {self}")


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, on what, with what, and whom it may reach.

    Attributes:
        command: Program and arguments, as seen from inside.
        inputs: Files and folders, shown at `/in/NAME`.
        environment: All of it; nothing is inherited.
        port: Where it serves, on the loopback address inside.
        reach: Ports of the loopback address inside that lead to unix sockets outside.
        hosts: `host:port` that it may reach, through a proxy that keeps count.
    """

    command: tuple[str, ...]
    inputs: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    port: int | None = None
    reach: Mapping[int, Path] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.command or any("\0" in word for word in self.command):
            raise VerificationError("a job needs a command, without NUL")
        for name in self.inputs:
            Name(name)
        for name, value in self.environment.items():
            if not _VARIABLE.fullmatch(name) or "\0" in value:
                raise VerificationError(f"not a variable of the environment: {name[:80]!a}")
        ports = [*self.reach, *([] if self.port is None else [self.port])]
        if len(set(ports)) < len(ports) or not all(_LOWEST_PORT <= port <= _HIGHEST_PORT for port in ports):
            raise VerificationError(
                f"ports of a job differ, and are between {_LOWEST_PORT} and {_HIGHEST_PORT}: {ports}"
            )
        for host in self.hosts:
            if not (found := _HOST.fullmatch(host)) or int(found[3]) > _HIGHEST_PORT:
                raise VerificationError(f"not a host:port, in lower case: {host[:300]!a}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen of a job from outside.

    Attributes:
        code: Its exit code; -N when signal N ended it.
        files: What it left in `/out`, by path below it: regular files only, read after the job was dead.
        said: The end of what it wrote to its standard output and error.
        isolation: The layers that held it from its first instruction on.
        why: The limit that ended it; None if it ended by itself.
        denied: What it wanted of the network and did not get.
    """

    code: int
    files: Mapping[str, bytes]
    said: bytes
    isolation: tuple[str, ...]
    why: str | None = None
    denied: tuple[str, ...] = ()


class Served(Protocol):
    """A job that serves."""

    @property
    def socket(self) -> Path:
        """The unix socket, seen by this user only, that leads to the job's port. A call waits until the job listens."""

    @property
    def isolation(self) -> tuple[str, ...]:
        """The layers that hold it."""

    def end(self) -> Outcome:
        """Kill it, if it still runs, and say what came of it. Repeatable."""


class Sandbox(Protocol):
    """Where foreign code runs. A layer that is missing raises `UnavailableError`, unless it was named beforehand."""

    def run(self, job: Job) -> Outcome:
        """Run a job to its end, or to the limit that ends it; nothing of it is alive afterwards."""

    def serve(self, job: Job) -> AbstractContextManager[Served]:
        """Run a job as long as the block does; `job.port` says where it serves."""
