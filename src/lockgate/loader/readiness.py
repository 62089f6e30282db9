"""Does the model server of a run answer at its port, and is it that run's own?

    Started{port} ──▶ somebody listens there? ──▶ a program below the run? ──▶ it takes a connection? ──▶ ready

A port that another program has is not the run's, whoever that is: requests for one release would be answered by
another. That holds for a port that it shares (SO_REUSEPORT), and for one that comes later: so it is looked at again and
again. What the kernel does not let us see is not ready.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lockgate.errors import UnavailableError

_CONNECT_SECONDS = 1.0
_LISTENS = "0A"
_READS = 3
_SOCKET = re.compile(r"socket:\[([0-9]+)\]")
_LOCAL = {"0100007F", "00000000", "0" * 32}  # 127.0.0.1, any of IPv4, any of both, as /proc/net has them


def check_ready(run: int, port: int) -> None:
    """Raise `UnavailableError` unless programs of the run with this pid, and no others, take connections at `port`."""
    if not set(_listening(port)):
        raise UnavailableError(f"nothing listens at 127.0.0.1:{port} yet")
    check_own(run, port)
    try:
        socket.create_connection(("127.0.0.1", port), _CONNECT_SECONDS).close()
    except OSError as e:
        raise UnavailableError(f"no connection is taken at 127.0.0.1:{port}: {e.strerror or e}") from e


def check_own(run: int, port: int) -> None:
    """Raise `UnavailableError` if anybody listens at `port` who is no program of the run.

    Programs that begin and end between two reads look like strangers, so a stranger is looked for again.
    """
    for _ in range(_READS):
        if set(_listening(port)) <= set(_sockets(run)):
            return
    raise UnavailableError(f"who listens at 127.0.0.1:{port} is no program of run {run}, or cannot be seen")


def _listening(port: int) -> Iterator[int]:
    """Name the sockets that listen at a port of this machine (proc(5), /proc/net/tcp), which has them first."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError), Path(f"/proc/self/net/{table}").open() as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                address, _, found = fields[1].rpartition(":")
                if fields[3] != _LISTENS:
                    break
                if int(found, 16) == port and address in _LOCAL:
                    yield int(fields[9])


def _sockets(run: int) -> Iterator[int]:
    """Name the sockets of all programs below a run."""
    for pid in _family(run):
        with suppress(OSError):
            for opened in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if found := _SOCKET.fullmatch(str(opened.readlink())):
                        yield int(found[1])


def _family(run: int) -> list[int]:
    found = [run]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in children.read_text().split()]
    return found
