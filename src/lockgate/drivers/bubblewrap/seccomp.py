"""Which calls to the kernel may a job make? A filter in classic BPF, for x86_64 and aarch64.

The calls that exist are a list that is known up to `_NEWEST`. What may break out, look elsewhere, hold memory that
nobody counts or touch the machine is refused by name; whatever came later does not exist, as far as a job can tell.
Calls of another architecture, and the x32 ones, kill (seccomp(2), `struct seccomp_data`).
"""

import struct
from collections.abc import Sequence

_LD, _JEQ, _JGT, _JSET, _RET = 0x20, 0x15, 0x25, 0x45, 0x06
_KILL, _ALLOW, _ERRNO = 0x8000_0000, 0x7FFF_0000, 0x0005_0000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
_X32 = 0x4000_0000
_NEWEST = 462  # mseal, Linux 6.10
_MACHINES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

_REFUSED = """
# other programs
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272, process_madvise 440 440,
process_mrelease 448 448, pidfd_getfd 438 438
# namespaces, mounts, roots
unshare 272 97, setns 308 268, mount 165 40, umount2 166 39, move_mount 429 429, open_tree 428 428, fsopen 430 430,
fsconfig 431 431, fsmount 432 432, fspick 433 433, mount_setattr 442 442, pivot_root 155 41, chroot 161 51,
name_to_handle_at 303 264, open_by_handle_at 304 265, statmount 457 457, listmount 458 458, fanotify_init 300 262,
fanotify_mark 301 263
# parts of the kernel where escapes were found
bpf 321 280, perf_event_open 298 241, userfaultfd 323 282, keyctl 250 219, add_key 248 217, request_key 249 218,
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, modify_ldt 154 -,
remap_file_pages 216 234, vmsplice 278 75, mbind 237 235, set_mempolicy 238 237, migrate_pages 256 238,
move_pages 279 239, set_mempolicy_home_node 450 450, lsm_get_self_attr 459 459, lsm_set_self_attr 460 460,
lsm_list_modules 461 461
# the machine
kexec_load 246 104, kexec_file_load 320 294, reboot 169 142, swapon 167 224, swapoff 168 225, quotactl 179 60,
quotactl_fd 443 443, sethostname 170 161, setdomainname 171 162, init_module 175 105, finit_module 313 273,
syslog 103 116, delete_module 176 106, create_module 174 -, get_kernel_syms 177 -, query_module 178 -, iopl 172 -,
ioperm 173 -, acct 163 89, settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266, adjtimex 159 171,
vhangup 153 58, nfsservctl 180 42, lookup_dcookie 212 18, _sysctl 156 -, uselib 134 -, ustat 136 -, sysfs 139 -,
sync 162 81, syncfs 306 267
# memory that no limit counts while nobody has it mapped
shmget 29 194, shmat 30 196, shmctl 31 195, shmdt 67 197, semget 64 190, semctl 66 191, semop 65 193,
semtimedop 220 192, msgget 68 186, msgctl 71 187, msgsnd 69 189, msgrcv 70 188, mq_open 240 180, mq_unlink 241 181,
mq_timedsend 242 182, mq_timedreceive 243 183, mq_notify 244 184, mq_getsetattr 245 185
"""  # name, number on x86_64, number on aarch64
_UNKNOWN = """
# programs ask for these first, and have another way: flags in memory that no filter reads; memory that nobody counts
clone3 435 435, memfd_create 319 279, memfd_secret 447 447
"""
_CLONE, _SOCKET, _SOCKETPAIR, _IOCTL, _PERSONALITY = (56, 220), (41, 198), (53, 199), (16, 29), (135, 92)

_NAMESPACES = 0x7E02_0000  # CLONE_NEWNS … CLONE_NEWNET (clone(2))
_TERMINAL = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCCONS": 0x541D, "TIOCSETD": 0x5423}
_AF_UNIX, _AF_INET = 1, 2
_PLAIN_PERSONALITIES = (0, 0xFFFF_FFFF)


def program(machine: str, *, inet: bool) -> bytes | None:
    """Assemble the filter; None for a machine that has none. `inet` allows IPv4 sockets, for a world of its own."""
    if machine not in _MACHINES:
        return None
    which = list(_MACHINES).index(machine)
    lines = [
        *(_load(_ARCHITECTURE), _jump(_JEQ, _MACHINES[machine], 1, 0), _ret(_KILL)),
        *(_load(_NUMBER), _jump(_JSET, _X32, 0, 1), _ret(_KILL)),
    ]
    lines += [line for number in _numbers(_REFUSED, which) for line in _refuse(number, _EPERM)]
    lines += [line for number in _numbers(_UNKNOWN, which) for line in _refuse(number, _ENOSYS)]
    lines += [_jump(_JGT, _NEWEST, 0, 1), _ret(_ERRNO | _ENOSYS)]
    lines += _if(_CLONE[which], 0, [_jump(_JSET, _NAMESPACES, 0, 1), _ret(_ERRNO | _EPERM)])
    families = (_AF_UNIX, _AF_INET) if inet else (_AF_UNIX,)
    lines += _if(_SOCKET[which], 0, _only(families, _EAFNOSUPPORT))
    lines += _if(_SOCKETPAIR[which], 0, _only((_AF_UNIX,), _EAFNOSUPPORT))
    lines += _if(_PERSONALITY[which], 0, _only(_PLAIN_PERSONALITIES, _EPERM))
    lines += _if(_IOCTL[which], 1, [line for request in _TERMINAL.values() for line in _refuse(request, _EPERM)])
    return b"".join([*lines, _ret(_ALLOW)])


def _numbers(table: str, which: int) -> list[int]:
    rows = ",".join(line for line in table.splitlines() if line and not line.startswith("#"))
    found = [row.split()[1 + which] for row in rows.split(",") if row.strip()]
    return [int(number) for number in found if number != "-"]


def _if(number: int, argument: int, then: Sequence[bytes]) -> list[bytes]:
    """Judge one call by the lower half of an argument, which is what the kernel reads of an `int`."""
    body = [_load(_ARGUMENT + 8 * argument), *then, _ret(_ALLOW)]
    return [_jump(_JEQ, number, 0, len(body)), *body]


def _only(values: Sequence[int], error: int) -> list[bytes]:
    last = len(values) - 1
    return [*(_jump(_JEQ, value, last - i + 1, 0) for i, value in enumerate(values)), _ret(_ERRNO | error)]


def _refuse(value: int, error: int) -> list[bytes]:
    return [_jump(_JEQ, value, 0, 1), _ret(_ERRNO | error)]


def _load(offset: int) -> bytes:
    return _line(_LD, 0, 0, offset)


def _ret(verdict: int) -> bytes:
    return _line(_RET, 0, 0, verdict)


def _jump(kind: int, value: int, if_true: int, if_false: int) -> bytes:
    return _line(kind, if_true, if_false, value)


def _line(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """Write one `struct sock_filter`."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
