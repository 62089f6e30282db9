"""How much do all programs of a job take together? Asked by pid 1, which sees all of them, ten times a second.

Memory that is mapped, by the part that is each one's own; and what no limit of a process counts: locks on files, and
queues of sockets, as if all were full, also of those that nobody has open (they wait to be accepted, or travel in a
message). Processor time, with that of children that were taken in.
"""

import os
import resource

_QUEUE = 512 << 10  # SO_SNDBUF at its highest, and what TCP may keep here
_IDLE = 4 << 10
_MOST_LOCKS = 1 << 20  # bytes of /proc/locks: some 15,000 locks
_IN_PASSING = (b"03", b"06")  # SYN_RECV, TIME_WAIT: no sockets yet, or no more
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


def over(limits: dict[str, int]) -> str | None:
    """Name the limit that all of them together have passed."""
    pids = [f"/proc/{name}" for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    done = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.ru_utime + done.ru_stime + sum(map(_seconds, pids)) >= limits["cpu_seconds"]:
        return "cpu_seconds"
    left = limits["memory"] - _queues()
    if len(_read("/proc/locks", _MOST_LOCKS)) == _MOST_LOCKS:
        return "memory"
    if sum(map(_resident, pids)) > left and sum(map(_share, pids)) > left:
        return "memory"
    return None


def _queues() -> int:
    """Say how much may lie in the sockets of this world."""
    held = _QUEUE * _read("/proc/net/unix").count(b"\n")
    for name in ("tcp", "udp"):
        for line in _read(f"/proc/net/{name}").splitlines()[1:]:
            words = line.split()
            if words[3] not in _IN_PASSING:
                held += _IDLE if words[4] == b"00000000:00000000" else _QUEUE
    return held


def _read(path: str, most: int = -1) -> bytes:
    try:
        with open(path, "rb") as opened:
            return opened.read(most)
    except OSError:  # it ended, or hides
        return b""


def _seconds(pid: str) -> float:
    found = _read(f"{pid}/stat").rpartition(b") ")[2].split()
    return sum(map(int, found[11:15])) / _TICKS  # its own, and of those that it took in


def _resident(pid: str) -> int:
    """Say how much memory a program holds; what several share counts for each."""
    found = _read(f"{pid}/statm").split()
    return int(found[1]) * _PAGE if found else 0


def _share(pid: str) -> int:
    """Say how much memory is a program's part; if it hides that, all that it holds."""
    lines = _read(f"{pid}/smaps_rollup").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(b"Pss:")), _resident(pid))
