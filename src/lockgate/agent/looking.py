"""What do the programs of a run have open? Read out of /proc, from outside: nobody is asked, and nobody notices.

Files by device and inode, whatever they are called in which namespace, and files that are mapped to be written;
connections by where they lead. Standard input, output and error are not looked at: the logs of two runs may well be one
file. Neither are connections that others opened: the same caller may talk to both.
"""

import os
import re
import socket
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from lockgate.agent.holdings import Holding
from lockgate.agent.unix_peers import unix_peers
from lockgate.core.sharing import Open, Seen

_PROC = Path("/proc")
_STANDARD = ("0", "1", "2")
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_MAPPED = re.compile(r"[0-9a-f]+-[0-9a-f]+ .w.s [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(/.*)")
_ESTABLISHED, _LISTENING = "01", "0A"
_POSTGRES, _PORTS = 5432, {"https": 443, "http": 80}


def look(holding: Holding) -> Seen:
    """Look at everything that a run has started."""
    opened: set[Open] = set()
    peers, whole = _peers()
    for pid in programs_of(holding.channel.pid):
        try:
            opened.update(_open_of(_PROC / str(pid), peers))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError:
            whole = False
    return Seen(holding.claim.endpoint, holding.claim.release, frozenset(opened), granted(holding), whole)


def _peers() -> tuple[Mapping[str, str], bool]:
    try:
        return unix_peers(), True
    except OSError:
        return {}, False


def granted(holding: Holding) -> frozenset[str]:
    """List where the bindings of a run lead, as connections are called here."""
    return frozenset(where for access in holding.told.values() for where in _addresses(access.means))


def programs_of(run: int) -> Sequence[int]:
    """List the model server of a run and all that it started: everything below `pid_one`, which is ours.

    In a pid namespace `pid_one` is two programs: one that waits, and the first one in there (pid_namespaces(7)).
    """
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    ours = children.get(run, [])
    waiting = [one for pid in ours for one in children.get(pid, []) if _is_first(one)] or list(ours)
    found = []
    while waiting:
        more = children.get(waiting.pop(), [])
        found += more
        waiting += more
    return found


def _is_first(pid: int) -> bool:
    """Tell whether a program is the first one of a pid namespace below ours."""
    try:
        numbers = re.search(r"^NSpid:\s+(.+)$", (_PROC / str(pid) / "status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return numbers is not None and len(numbers[1].split()) > 1 and numbers[1].split()[-1] == "1"


def _open_of(program: Path, peers: Mapping[str, str]) -> Iterator[Open]:
    sockets: set[str] = set()
    for entry in (program / "fd").iterdir():
        if entry.name in _STANDARD:
            continue
        with suppress(FileNotFoundError):
            link = str(entry.readlink())
            if inode := _SOCKET.fullmatch(link):
                sockets.add(inode[1])
            else:
                yield from _file(program, entry, link)
    for line in (program / "maps").read_text(errors="replace").splitlines():
        if mapped := _MAPPED.fullmatch(line):
            device = os.makedev(int(mapped[1], 16), int(mapped[2], 16))
            yield Open("file", f"{device}:{mapped[3]}", mapped[4], writes=True)
    yield from _internet(program, sockets)
    yield from _local(sockets, peers)


def _file(program: Path, entry: Path, link: str) -> Iterator[Open]:
    about = entry.stat()
    if not stat.S_ISREG(about.st_mode) and not stat.S_ISFIFO(about.st_mode):
        return
    flags = re.search(r"^flags:\s*([0-7]+)", (program / "fdinfo" / entry.name).read_text(), re.MULTILINE)
    writes = flags is None or int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY
    yield Open("file", f"{about.st_dev}:{about.st_ino}", link, writes)


def _internet(program: Path, sockets: set[str]) -> Iterator[Open]:
    """Yield where the connections lead that this program opened itself (proc(5), /proc/net/tcp)."""
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with suppress(FileNotFoundError):
            rows = [line.split() for line in (program / "net" / name).read_text().splitlines()[1:]]
            entrances = {row[1].rpartition(":")[2] for row in rows if row[3] == _LISTENING and row[9] in sockets}
            for row in rows:
                if row[3] == _ESTABLISHED and row[9] in sockets and row[1].rpartition(":")[2] not in entrances:
                    where = _peer(row[2], family)
                    yield Open("connection", where, where, writes=True)


def _peer(text: str, family: socket.AddressFamily) -> str:
    host, _, port = text.partition(":")
    words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    address = socket.inet_ntop(family, packed)
    return f"{address.removeprefix('::ffff:')}:{int(port, 16)}"


def _local(sockets: set[str], peers: Mapping[str, str]) -> Iterator[Open]:
    """Yield which sockets with a name this program is connected to."""
    for inode in sockets & peers.keys():
        where = f"unix:{peers[inode]}"
        yield Open("connection", where, where, writes=True)


def _addresses(means: Mapping[str, object]) -> Iterator[str]:
    host, port, url = str(means.get("host", "")), str(means.get("port", "")), urlsplit(str(means.get("url", "")))
    if host.startswith("/"):
        yield f"unix:{host}/.s.PGSQL.{port or _POSTGRES}"
    elif host:
        yield from _resolved(host, port or _POSTGRES)
    if url.hostname:
        yield from _resolved(url.hostname, url.port or _PORTS.get(url.scheme, 0))


def _resolved(host: str, port: str | int) -> Iterator[str]:
    with suppress(OSError):
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            yield ":".join(str(part) for part in address[:2])
