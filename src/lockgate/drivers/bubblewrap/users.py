"""Who is a job, seen from outside? As root: a user that exists nowhere else. Else: the user who started it.

bubblewrap maps `nobody` to whoever starts it. Root would be root to the kernel then, whose programs no limit counts, so
root makes the user namespace itself: in it `nobody` is a user number that owns nothing, and the inputs are shown by
mounts that map their owner to it (mount_setattr(2), MOUNT_ATTR_IDMAP), so files of mode 0400 can be read.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lockgate.drivers.bubblewrap import kernel
from lockgate.drivers.bubblewrap.inner import NOBODY
from lockgate.errors import UnavailableError

_LAST, _SPREAD = 0x7000_0000, 0x1000


def stranger() -> int | None:
    """Choose a user number that owns nothing; None for somebody who cannot act for others."""
    if os.geteuid() != 0:
        return None
    ranges = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    first, _, count = max(ranges, key=lambda each: each[2])
    return None if count < _SPREAD else min(first + count, _LAST) - 1 - os.getpid() % (_SPREAD - 1)


def namespaces(number: int) -> list[int]:
    """Make two user namespaces: one to live in, and one that says who owns the inputs."""
    maps = (f"0 0 1\n{NOBODY} {number} 1\n", f"0 {number} 1\n")
    with ExitStack() as stack:
        dwellers = [stack.enter_context(_dweller()) for _ in maps]
        return [_namespace(dweller, lines) for dweller, lines in zip(dwellers, maps, strict=True)]


def shown(path: Path, owner: int) -> int:
    """Make a read-only mount of an input, its owner mapped."""
    try:
        return kernel.copy_of_mount(str(path), owner)
    except OSError:  # a file system that cannot map owners shows its files to those whom their mode allows
        return kernel.copy_of_mount(str(path), None)


@contextmanager
def _dweller() -> "Iterator[subprocess.Popen[bytes]]":
    """Start somebody in a user namespace of its own, who waits there until it is open."""
    command = ["unshare", "--user", "sh", "-c", "echo; read -r line"]
    try:
        dweller = subprocess.Popen(command, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as e:
        raise UnavailableError(f"no namespaces: cannot run {command[0]}: {e.strerror}; install util-linux") from e
    assert dweller.stdin is not None
    with dweller, dweller.stdin:
        yield dweller


def _namespace(dweller: "subprocess.Popen[bytes]", lines: str) -> int:
    """Give a user namespace its map, and return it open; nobody lives in it afterwards."""
    assert dweller.stdout is not None
    if not dweller.stdout.readline():
        raise UnavailableError("no namespaces: this root may make no user namespace (a container without that right?)")
    for kind in ("uid_map", "gid_map"):
        Path(f"/proc/{dweller.pid}/{kind}").write_text(lines)
    return os.open(f"/proc/{dweller.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
