"""What of its host does a model server see, and where may it write? What pid 1 builds before it starts one.

    an IPC namespace of its own     System V memory and semaphores, POSIX queues
    "only": /, read-only            all that was mounted there, /proc and /sys too; of /dev what it needs
    /tmp /var/tmp /dev/shm          one file system in memory, bounded, seen by nobody else
    what is kept, what is writable  where it was
    the home of the host            an empty folder lies over it, and over what other releases may write

All of it ends with the last program of the run: nothing is left for who comes next, and nobody beside it has a way in.
It imports the standard library and nothing else: see `pid_one`.
"""

import errno
import glob
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lockgate.loader.linux import (
    CLONE_NEWIPC,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    call,
    set_writable,
)

SHM, QUEUES = "/dev/shm", "/dev/mqueue"  # noqa: S108 - that is what it is called
_OWN = ("/tmp", "/var/tmp", SHM)  # noqa: S108 - that is what they are called
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_STANDARD = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
_BYTES_PER_INODE_SHIFT, _LEAST_INODES = 14, 256
_FLAGS = MS_NOSUID | MS_NODEV


@dataclass(frozen=True, slots=True)
class Walls:
    """How they are to be: `scratch` as in `core.scratch`, `hidden` without what is kept, or writable, in there.

    They take a pid namespace: where the server sees programs of its user, it sees what they see (proc(5), root). Where
    there is none, `needed` says why nothing may start; empty if it may all the same.
    """

    hidden: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    needed: str = ""
    scratch: str = "host"
    size: int = 1 << 30
    writable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


def raise_walls(walls: Walls) -> None:
    """Build them around this program, which is in a mount namespace of its own; raise `OSError` if one is missing."""
    hidden = [os.path.realpath(folder, strict=True) for folder in walls.hidden]
    if "/" in hidden:
        raise OSError(errno.EINVAL, "nothing can be hidden but a folder")
    call("unshare", CLONE_NEWIPC)
    _furnish(walls)
    for folder in hidden:
        if os.path.isdir(folder):  # noqa: PTH112 - it may lie where nothing of the host is
            _hide(folder, (*walls.kept, *walls.writable))
    os.chdir("/")  # it may have been somewhere else


def _furnish(walls: Walls) -> None:
    """Close the host to writing, as far as that is wanted, and give the server a place of its own."""
    strict = walls.scratch == "only"
    places = _places(walls.scratch)
    writable = _opened(walls.writable)
    kept, devices = _opened(walls.kept), _opened(_found(walls.devices)) if strict else {}
    try:
        for path in writable:
            _check_not_read_only(path)
        if strict:
            set_writable("/", allowed=False, recursive=True)
            _show({path: fd for path, fd in writable.items() if not _is_below(path, places)}, writable)
            _lay_out(devices)
        elif os.path.isdir(QUEUES):  # noqa: PTH112 - there may be none
            call("mount", b"lockgate", os.fsencode(QUEUES), b"mqueue", _FLAGS | MS_NOEXEC, None)
        _mount_scratch(places, walls.size)
        _show({path: fd for path, fd in (writable | kept).items() if _is_below(path, places)}, writable)
    finally:
        for descriptor in {*writable.values(), *kept.values(), *devices.values()}:
            os.close(descriptor)


def _places(scratch: str) -> list[str]:
    """List the folders that become its own; what leads to one of them by a link is one of them."""
    wanted = (SHM,) if scratch == "host" else _OWN
    if scratch != "host" and not os.path.isdir(_OWN[0]):  # noqa: PTH112 - that is the question
        raise OSError(errno.ENOENT, f"this host has no {_OWN[0]}")
    found = dict.fromkeys(os.path.realpath(place) for place in wanted)
    return [place for place in found if os.path.isdir(place)]  # noqa: PTH112 - there may be none


def _mount_scratch(places: list[str], size: int) -> None:
    """Lay folders of one new file system over `places`; the first one comes last, and covers the file system itself."""
    if not places:
        return
    disk, inodes = places[0], max(_LEAST_INODES, size >> _BYTES_PER_INODE_SHIFT)
    options = f"size={size},nr_inodes={inodes},mode=0755"
    call("mount", b"lockgate", os.fsencode(disk), b"tmpfs", _FLAGS, options.encode())
    opened = []
    for number, place in enumerate(places):
        folder = Path(disk, str(number))
        folder.mkdir()
        folder.chmod(0o1777)
        if place != os.path.realpath(SHM) and number == 0:
            (folder / "home").mkdir(0o700)
        opened.append((place, _open(str(folder))))
    for place, descriptor in reversed(opened):
        _bind(descriptor, place)
        os.close(descriptor)


def _lay_out(devices: Mapping[str, int]) -> None:
    """Leave of /dev what any program needs, and the devices that the host named."""
    call("mount", b"lockgate", b"/dev", b"tmpfs", MS_NOSUID | MS_NOEXEC, b"size=64k,mode=0755")
    for path, descriptor in devices.items():
        _put(descriptor, path)
    for name, which in _STANDARD.items():
        Path("/dev", name).symlink_to(f"/proc/self/fd{which}")
    Path(SHM).mkdir()
    set_writable("/dev", allowed=False)


def _show(opened: Mapping[str, int], writable: Mapping[str, int]) -> None:
    """Show what is open where it was; what may be written can be, and all else can not."""
    for path in sorted(opened):
        _put(opened[path], path)
        set_writable(path, allowed=path in writable)


def _put(descriptor: int, path: str) -> None:
    """Have something lie at `path` as well, where the way to it may have gone."""
    target = Path(path)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        target.mkdir(0o755, parents=True, exist_ok=True)
    else:
        target.parent.mkdir(0o755, parents=True, exist_ok=True)
        target.touch()
    _bind(descriptor, path)


def _hide(hidden: str, kept: Iterable[str]) -> None:
    """Lay an empty folder over the one that the server may not see; what is kept of it stays where it is."""
    below = sorted(path for path in map(os.path.realpath, kept) if path.startswith(f"{hidden}/"))
    opened = [(path, _open(path)) for path in below]
    call("mount", b"lockgate", os.fsencode(hidden), b"tmpfs", _FLAGS | MS_NOEXEC, b"size=64k,mode=0755")
    for path, descriptor in opened:
        _put(descriptor, path)
        os.close(descriptor)
    call("mount", None, os.fsencode(hidden), None, MS_REMOUNT | MS_RDONLY | _FLAGS | MS_NOEXEC, None)


def _found(patterns: Iterable[str]) -> list[str]:
    named = sorted({path for pattern in patterns for path in glob.glob(pattern)})  # noqa: PTH207 - by name, as it is written
    return [path for path in (*_DEVICES, *named) if os.path.realpath(path) == path and os.path.exists(path)]  # noqa: PTH110


def _opened(paths: Iterable[str]) -> dict[str, int]:
    return {real: _open(real) for real in sorted({os.path.realpath(path, strict=True) for path in paths})}


def _open(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _bind(descriptor: int, path: str) -> None:
    call("mount", b"/proc/self/fd/%d" % descriptor, os.fsencode(path), None, MS_BIND | MS_REC, None)


def _is_below(path: str, places: Iterable[str]) -> bool:
    return any(path.startswith(f"{place}/") for place in places)


def _check_not_read_only(path: str) -> None:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, f"{path} is to be written, and is read-only here")
