"""How much do all programs of a job take together? Asked by pid 1, which sees all of them, ten times a second.

Memory that is mapped, by the part that is each one's own; and what may lie in the queues of sockets, which no limit of
a process counts: every socket as if it were full. Processor time, with that of children that were taken in.
"""

import os
import resource

OPEN_FILES = 512
"""Descriptors that a program may have."""

_QUEUE = 512 << 10  # SO_SNDBUF at its highest, and what TCP may keep here
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


def over(limits: dict[str, int]) -> str | None:
    """Name the limit that all of them together have passed."""
    pids = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    done = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.ru_utime + done.ru_stime + sum(map(_seconds, pids)) >= limits["cpu_seconds"]:
        return "cpu_seconds"
    tables = [table for pid in pids for table in _tables(pid)]
    if sum(map(_resident, pids)) + _QUEUE * sum(map(len, tables)) <= limits["memory"]:
        return None
    if sum(map(_share, pids)) + _QUEUE * _sockets(tables) > limits["memory"]:
        return "memory"
    return None


def _read(pid: str, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as opened:
            return opened.read()
    except OSError:  # it ended, or hides
        return b""


def _seconds(pid: str) -> float:
    found = _read(pid, "stat").rpartition(b") ")[2].split()
    return sum(map(int, found[11:15])) / _TICKS  # its own, and of those that it took in


def _resident(pid: str) -> int:
    """Say how much memory a program holds; what several share counts for each."""
    found = _read(pid, "statm").split()
    return int(found[1]) * _PAGE if found else 0


def _share(pid: str) -> int:
    """Say how much memory is a program's part; if it hides that, all that it holds."""
    lines = _read(pid, "smaps_rollup").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(b"Pss:")), _resident(pid))


def _tables(pid: str) -> list[list[str]]:
    """List the descriptors of each thread, which may have a table of its own; a hidden table counts as a full one."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            folder = f"/proc/{pid}/task/{thread}/fd"
            try:
                found.append([f"{folder}/{name}" for name in os.listdir(folder)])
            except PermissionError:
                found.append([f"{folder}/{number}" for number in range(OPEN_FILES)])
    except OSError:  # it ended
        pass
    return found


def _sockets(tables: list[list[str]]) -> int:
    """Count the sockets, each once, whoever has it open."""
    found = set()
    for path in (path for table in tables for path in table):
        try:
            kind = os.readlink(path)
        except PermissionError:
            kind = f"socket:{path}"
        except OSError:
            continue
        if kind.startswith("socket:"):
            found.add(kind)
    return len(found)
