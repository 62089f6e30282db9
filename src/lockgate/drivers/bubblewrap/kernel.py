"""Which calls to the kernel have no name in Python?

The numbers are those of x86_64 and aarch64 alike: everything here is younger than the split of their tables.
"""

import ctypes
import errno
import os
import struct
from functools import cache

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 1, 2, 4, 8, 0x1000
MNT_DETACH = 2

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV, _ATTR_IDMAP = 1, 2, 4, 0x10_0000
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x2008_0522
_LAST_CAPABILITY = 63


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | None) -> int:
    """Call the C library's `name`; raise `OSError` when it fails."""
    plain = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(getattr(_libc(), name)(*plain))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int = 0, third: int = 0) -> None:
    """Set an attribute of this program (prctl(2))."""
    call("prctl", option, value, third, 0, 0)


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount a file system, or a folder a second time (mount(2))."""
    names = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    call("mount", *names, flags, options.encode() if options else None)


def empty_bounding_set() -> None:
    """Let nothing that starts from here get a capability back (capabilities(7))."""
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as e:
            if e.errno != errno.EINVAL:
                raise
            break  # the last one that this kernel knows is behind us


def give_up_capabilities() -> None:
    """Empty the sets of this program, and take no privileges from files."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    call("capset", struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24))
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: bytes) -> None:
    """Install a seccomp filter over this thread and all that it will start."""
    lines = ctypes.create_string_buffer(program, len(program))
    shown = struct.pack("@HP", len(program) // 8, ctypes.addressof(lines))
    pointer = ctypes.create_string_buffer(shown, len(shown))
    prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(pointer))


def copy_of_mount(path: str, user_namespace: int | None) -> int:
    """Make a read-only mount of `path` that is nowhere yet, owners mapped by `user_namespace` (mount_setattr(2))."""
    found = hold_mount(path)
    flags = _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV
    wanted = struct.pack("=QQQQ", flags | (0 if user_namespace is None else _ATTR_IDMAP), 0, 0, user_namespace or 0)
    try:
        call("syscall", _MOUNT_SETATTR, found, b"", _AT_EMPTY_PATH, wanted, len(wanted))
    except OSError:
        os.close(found)
        raise
    return found


def hold_mount(path: str) -> int:
    """Take hold of what is mounted at `path`, as it is, to attach it elsewhere (open_tree(2))."""
    return call("syscall", _OPEN_TREE, _AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | os.O_CLOEXEC)


def attach_mount(found: int, target: str) -> None:
    """Put such a mount over `target` (move_mount(2))."""
    call("syscall", _MOVE_MOUNT, found, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)


def landlock_version() -> int:
    """Ask which Landlock this kernel has; 0 for none (landlock(7))."""
    try:
        return call("syscall", _LANDLOCK_CREATE, None, 0, 1)
    except OSError:
        return 0


def landlock_ruleset(files: int, network: int, scopes: int) -> int:
    """Make a set of rules that governs these kinds of access."""
    attributes = struct.pack("=QQQ", files, network, scopes)
    return call("syscall", _LANDLOCK_CREATE, attributes, len(attributes), 0)


def landlock_allow_below(ruleset: int, folder: int, access: int) -> None:
    """Allow access to everything below an open folder."""
    call("syscall", _LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", access, folder), 0)


def landlock_allow_port(ruleset: int, port: int, access: int) -> None:
    """Allow access to a TCP port."""
    call("syscall", _LANDLOCK_ADD, ruleset, 2, struct.pack("=QQ", access, port), 0)


def landlock_restrict(ruleset: int) -> None:
    """Put this thread, and all that it will start, under a set of rules."""
    call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
