"""How is Linux asked for what Python has no word for? Namespaces, mounts, capabilities, by its C library.

It imports the standard library and nothing else: `pid_one` needs it, between fork and the model.
"""

import ctypes
import errno
import os
import struct
from functools import cache

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x0002_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP = 1, 4, 23, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAP_SETPCAP, CAP_SYS_ADMIN = 8, 21
KEPT_BY_ROOT = frozenset({0, 1, 3, 4, 5, 6, 7, 10, 14, 23})
"""chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service, ipc_lock, sys_nice (capabilities(7))."""

_MOUNT_SETATTR, _ATTRIBUTES, _MOUNT_ATTR_RDONLY = 442, struct.Struct("=4Q"), 1
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _SCOPES, _ABSTRACT_SOCKETS = 444, 446, struct.Struct("=3Q"), 1
_PR_SET_SECCOMP, _FILTER, _ALLOWED, _NO_SUCH_CALL = 22, 2, 0x7FFF_0000, 0x0005_0000 | errno.ENOSYS
_LOAD, _IS, _AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06
_KEY_CALLS = {"x86_64": (0xC000_003E, (248, 249, 250)), "aarch64": (0xC000_00B7, (217, 218, 219))}
_FOREIGN_CALLS = 0x4000_0000
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x2008_0522


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | None) -> int:
    """Call the C library's `name`; raise `OSError` when it fails."""
    plain = [ctypes.c_ulong(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(getattr(_libc(), name)(*plain))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """Set or ask an attribute of this program (prctl(2))."""
    return call("prctl", option, value, third, 0, 0)


def set_writable(path: str, *, allowed: bool, recursive: bool = False) -> None:
    """Let the mount at `path` be written, or not, whatever its file system lets (mount_setattr(2), Linux 5.12)."""
    on, off = (0, _MOUNT_ATTR_RDONLY) if allowed else (_MOUNT_ATTR_RDONLY, 0)
    wanted, flags = _ATTRIBUTES.pack(on, off, 0, 0), _AT_RECURSIVE if recursive else 0
    call("syscall", _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, wanted, _ATTRIBUTES.size)


def capabilities() -> tuple[int, int, int]:
    """Read the effective, permitted and inheritable sets of this thread (capget(2))."""
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    if _libc().capget(header, sets) < 0:
        raise OSError(ctypes.get_errno(), "capget")
    return tuple(sets[i] | sets[i + 3] << 32 for i in range(3))  # type: ignore[return-value]  # three, by range(3)


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """Replace the sets of this thread (capset(2))."""
    low = [value & 0xFFFF_FFFF for value in (effective, permitted, inheritable)]
    high = [value >> 32 for value in (effective, permitted, inheritable)]
    if _libc().capset((ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)(*low, *high)) < 0:
        raise OSError(ctypes.get_errno(), "capset")


def give_up_privileges() -> None:
    """Give up, for good, what could undo the seal on the files: this program and all that it will ever start.

    Nothing inheritable means nothing ambient (capabilities(7)). A new user namespace gives every capability back, but
    only over mounts that are locked (mount_namespaces(7)).
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in set(range(_LAST_CAPABILITY + 1)) - KEPT_BY_ROOT:
        _drop(capability)
    kept = sum(1 << capability for capability in KEPT_BY_ROOT)
    effective, permitted, _ = capabilities()
    set_capabilities(effective & kept, permitted & kept, 0)


def leave_keyrings() -> None:
    """Have no keyrings of the kernel, for good: those of a user are one place for all that it runs (keyrings(7)).

    After `give_up_privileges`. A call by another architecture's numbers does not exist either.
    """
    machine = os.uname().machine
    if machine not in _KEY_CALLS:
        raise OSError(errno.ENOSYS, f"nobody knows how {machine} calls for keyrings")
    architecture, calls = _KEY_CALLS[machine]
    steps = [(_LOAD, 0, 0, 4), (_IS, 0, len(calls) + 3, architecture), (_LOAD, 0, 0, 0)]
    steps.append((_AT_LEAST, len(calls) + 1, 0, _FOREIGN_CALLS))
    steps += [(_IS, len(calls) - at, 0, number) for at, number in enumerate(calls)]
    steps += [(_ANSWER, 0, 0, _ALLOWED), (_ANSWER, 0, 0, _NO_SUCH_CALL)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    pointer = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(program)))
    prctl(_PR_SET_SECCOMP, _FILTER, ctypes.addressof(pointer))


def leave_abstract_sockets() -> None:
    """Reach no abstract socket that others have made, where the kernel can forbid it (landlock(7), Linux 6.12)."""
    try:
        ruleset = call("syscall", _LANDLOCK_CREATE, _SCOPES.pack(0, 0, _ABSTRACT_SOCKETS), _SCOPES.size, 0)
    except OSError as e:
        if e.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.E2BIG, errno.EINVAL):
            return
        raise
    call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _drop(capability: int) -> None:
    try:
        if prctl(PR_CAPBSET_READ, capability):
            prctl(PR_CAPBSET_DROP, capability)
    except OSError as e:
        unknown_to_this_kernel = e.errno == errno.EINVAL
        # Without CAP_SETPCAP the bounding set stays; it gives nothing to a user who is not root and has no new privs.
        if not unknown_to_this_kernel and os.getuid() == 0:
            raise
