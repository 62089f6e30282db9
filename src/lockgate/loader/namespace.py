"""Where may verified files lie, so that nobody else sees or changes them?

    unshare ── private mount namespace ── tmpfs, filled by us ── seal: read-only ── the child, without CAP_SYS_ADMIN

As root a mount namespace is enough; anybody else gets a user namespace around it, under their own user id. The files
exist in memory only, and the mount is seen by `run` and its children alone. The whole program moves, so this comes
first, while there is one thread: another thread would stay outside (unshare(2)).
"""

import errno
import fcntl
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lockgate.errors import UnavailableError
from lockgate.loader.linux import (
    CAP_SETPCAP,
    CAP_SYS_ADMIN,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    call,
    capabilities,
    prctl,
    set_capabilities,
)

_MNT_DETACH = 2
_TMPFS_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2


@dataclass(frozen=True, slots=True)
class PrivateMounts:
    """Proof that this program is in a mount namespace of its own; only `enter_private_mounts` gives one."""

    as_root: bool

    def room(self, size: int) -> "Room":
        """Mount an empty tmpfs that holds `size` bytes; raise `UnavailableError` if the kernel will not."""
        return Room.mount(size)


@dataclass(frozen=True, slots=True)
class Room:
    """A private directory in memory: filled by us, sealed, then opened by the child."""

    path: Path
    _below: int

    @classmethod
    def mount(cls, size: int) -> Self:
        """Mount it on an empty directory, which is kept locked so that cleaners of old files leave it alone."""
        path = Path(tempfile.mkdtemp(prefix="lockgate-model-"))
        below = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(below, fcntl.LOCK_SH)
        room = cls(path, below)
        try:
            _mount_tmpfs(path, size)
        except OSError as e:
            room._forget()
            raise UnavailableError(f"cannot mount a tmpfs of {size} bytes: {e.strerror}") from e
        return room

    def seal(self) -> None:
        """Make the files read-only for everybody, us included; a writer that is still there is an error."""
        flags = MS_REMOUNT | MS_RDONLY | _TMPFS_FLAGS
        try:
            call("mount", None, os.fsencode(self.path), None, flags, None)
        except OSError as e:
            raise UnavailableError(f"cannot make {self.path} read-only: {e.strerror}") from e
        assert os.statvfs(self.path).f_flag & os.ST_RDONLY, "the kernel said read-only"

    def close(self) -> None:
        """Take the directory away; who still has files of it open keeps those."""
        with suppress(OSError):
            call("umount2", os.fsencode(self.path), _MNT_DETACH)
        self._forget()

    def _forget(self) -> None:
        os.close(self._below)
        with suppress(OSError):
            self.path.rmdir()


def enter_private_mounts() -> PrivateMounts:
    """Move this program into a private mount namespace; raise `UnavailableError` that says what is missing.

    Call it once, before the first thread. Whoever starts children afterwards starts them inside.
    """
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"a mount namespace is entered by one thread; there are {threads}"
    as_root = bool(capabilities()[0] >> CAP_SYS_ADMIN & 1)
    try:
        _unshare(as_root=as_root)
        call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    except OSError as e:
        missing = "CAP_SYS_ADMIN" if os.getuid() == 0 else "unprivileged user namespaces"
        raise UnavailableError(f"no private mounts here ({e.strerror}): the kernel refuses {missing}") from e
    return PrivateMounts(as_root)


def _unshare(*, as_root: bool) -> None:
    if as_root:
        call("unshare", CLONE_NEWNS)
        return
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    Path("/proc/self/setgroups").write_bytes(b"deny")
    Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (gid, gid))
    Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (uid, uid))
    _hand_on(CAP_SETPCAP, CAP_SYS_ADMIN)


def _hand_on(*wanted: int) -> None:
    """Let these capabilities survive exec by a user who is not root, so that pid 1 can give them up itself."""
    effective, permitted, inheritable = capabilities()
    set_capabilities(effective, permitted, inheritable | sum(1 << capability for capability in wanted))
    for capability in wanted:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _mount_tmpfs(path: Path, size: int) -> None:
    """Mount without swapping where the kernel lets us, so that no plaintext reaches a disk."""
    options = f"size={size},mode=0755"
    for more in (",noswap", ""):
        try:
            call("mount", b"lockgate", os.fsencode(path), b"tmpfs", _TMPFS_FLAGS, (options + more).encode())
        except OSError as e:
            if not more or e.errno not in (errno.EINVAL, errno.EPERM):
                raise
        else:
            return
