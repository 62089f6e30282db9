"""What does a hostile job try? Each attempt raises when it is stopped; what returns has got what it wanted.

A program of its own: `python probes.py NAME…` tries one after the other, each in a child, and prints what came of it.
Where things are is said in the variable PROBES. Inside of the sandbox all must be stopped, outside none.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

WHERE = json.loads(os.environ.get("PROBES", "{}"))
LIBC = ctypes.CDLL(None, use_errno=True)
STOPPED = (1, 38)  # EPERM, ENOSYS: the call never arrived; every other answer comes from behind the filter
NEWUSER = 0x1000_0000
HELD = [path.name for path in Path("/proc/self/fd").iterdir() if int(path.name) > 2 and path.exists()]
ATTEMPTS: dict = {}


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def call(number, *arguments):
    result = LIBC.syscall(ctypes.c_long(number), *(a if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments))
    if result < 0 and ctypes.get_errno() in STOPPED:
        raise OSError(ctypes.get_errno(), f"call {number}")
    return result


def arrives(name, number, *arguments):
    ATTEMPTS[name] = lambda: call(number, *arguments)


if os.uname().machine == "x86_64":
    arrives("ptrace", 101, 0, 0, 0, 0)
    arrives("process_vm_readv", 310, os.getpid(), 0, 1, 0, 1, 0)
    arrives("keyctl", 250, 0, -3, 0)
    arrives("add_key", 248, b"user\0", b"probe\0", b"x", 1, -3)
    arrives("request_key", 249, b"user\0", b"nothing\0", 0, -3)
    arrives("bpf", 321, 0, 0, 0)
    arrives("perf_event_open", 298, 0, 0, -1, -1, 0)
    arrives("userfaultfd", 323, 0xFFFF)
    arrives("io_uring_setup", 425, 1, 0)
    arrives("memfd_create", 319, b"x\0", 1)
    arrives("pidfd_getfd", 438, 0, 0, 0)
    arrives("reboot", 169, 0, 0, 0, 0)
    arrives("open_by_handle_at", 304, -100, 0, 0)
    arrives("quotactl", 179, 0, 0, 0, 0)
    arrives("unshare", 272, 0xFFFF_FFFF)
    arrives("setns", 308, 0, 0)
    arrives("clone3", 435, 0, 0)
    arrives("clone_user_namespace", 56, NEWUSER | 0x200, 0, 0, 0, 0)  # CLONE_FS does not go with it: EINVAL
    arrives("mount", 165, 0, 0, 0, 0, 0)
    arrives("mount_setattr", 442, -100, 0, 0, 0, 0)
    arrives("fsopen", 430, 0, 0)
    arrives("pivot_root", 155, 0, 0)
    arrives("chroot", 161, 0)
    arrives("shmget", 29, 0, 4096, 0o1600)
    arrives("mq_open", 240, b"probe\0", 0x40, 0o600, 0)
    arrives("personality_without_aslr", 135, 0x0040000)


@attempt
def read_a_secret():
    return Path(WHERE["secret"]).read_bytes()


@attempt
def read_the_home_of_the_host():
    return list(Path(WHERE["folder"]).iterdir())


@attempt
def write_beside_an_input():
    Path(WHERE["input"], "more").write_text("x")


@attempt
def alter_an_input():
    with Path(WHERE["input"], "weights").open("r+b") as file:
        file.write(b"x")


@attempt
def make_a_device():
    path = Path("/tmp/probe-device")
    try:
        os.mknod(path, 0o20666, os.makedev(1, 1))
    finally:
        path.unlink(missing_ok=True)


@attempt
def open_the_kernel_log():
    os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)


@attempt
def find_a_token_in_an_environment():
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if WHERE["token backwards"][::-1].encode() in path.read_bytes():
                return path
        except OSError:
            pass
    raise PermissionError("nobody shows it")


@attempt
def write_memory_of_another():
    os.open(f"/proc/{WHERE['victim']}/mem", os.O_RDWR)


@attempt
def write_own_memory_as_a_file():
    os.open("/proc/self/mem", os.O_RDWR)


@attempt
def look_through_the_root_of_another():
    return list(Path(f"/proc/{WHERE['victim']}/root").iterdir())


@attempt
def signal_a_program_of_the_host():
    os.kill(WHERE["outsider"], 0)


@attempt
def call_over_tcp():
    socket.create_connection(("127.0.0.1", WHERE["tcp"]), timeout=5).close()


@attempt
def ask_over_udp_as_dns_does():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(2)
        asking.sendto(b"example", ("127.0.0.1", WHERE["udp"]))
        return asking.recv(100)


@attempt
def call_an_abstract_socket():
    with socket.socket(socket.AF_UNIX) as calling:
        calling.connect(f"\0{WHERE['abstract']}")


@attempt
def call_a_socket_by_its_path():
    with socket.socket(socket.AF_UNIX) as calling:
        calling.connect(WHERE["path"])


@attempt
def open_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)


@attempt
def open_packets():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


@attempt
def open_ipv6():
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM)


@attempt
def open_raw_ip():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)


@attempt
def become_root():
    os.setuid(0)


@attempt
def have_a_capability():
    held = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Cap")]
    if not any(int(word, 16) for word in held):
        raise PermissionError("none")


@attempt
def gain_privileges_by_a_file():
    if "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        raise PermissionError("no new privileges")


@attempt
def push_into_a_terminal():
    try:
        fcntl.ioctl(0, 0x5412, b"x")
    except OSError as e:
        if e.errno in STOPPED:
            raise


@attempt
def push_into_a_terminal_with_high_bits():
    request = ctypes.c_ulong(0x1_0000_5412)
    if LIBC.ioctl(0, request, b"x") < 0 and ctypes.get_errno() in STOPPED:
        raise OSError(ctypes.get_errno(), "TIOCSTI")


@attempt
def execute_what_it_wrote():
    path = Path("/tmp/probe-program")
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    subprocess.run([path], check=True)


@attempt
def use_an_inherited_descriptor():
    if not HELD:
        raise PermissionError("none")


@attempt
def change_the_core_pattern():
    os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)


@attempt
def look_at_control_groups():
    return list(Path("/sys/fs/cgroup").iterdir())


@attempt
def build_another_sandbox():
    command = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "--", "/bin/true"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


@attempt
def say_something_of_32_bits():
    """Call by the other table of the processor; the filter kills whoever tries."""
    if os.uname().machine != "x86_64":
        raise PermissionError("none here")
    code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20 (getpid of i386); int 0x80; ret
    LIBC.mmap.restype = ctypes.c_void_p
    at = LIBC.mmap(None, 4096, 7, 0x22, -1, 0)
    ctypes.memmove(at, code, len(code))
    if ctypes.CFUNCTYPE(ctypes.c_int)(at)() != os.getpid():
        raise PermissionError("not its number")


@attempt
def say_something_of_x32():
    LIBC.syscall(ctypes.c_long(0x4000_0000 | 39))  # a kernel may not know them; the filter kills whoever tries


def outcome(function):
    """Try in a child: a probe may be killed for what it does."""
    told, tell = os.pipe()
    if child := os.fork():
        os.close(tell)
        said = os.read(told, 500).decode()
        os.close(told)
        _, status = os.waitpid(child, 0)
        return said or f"stopped by signal {signal.Signals(os.waitstatus_to_exitcode(status) * -1).name}"
    os.close(told)
    try:
        function()
        said = "done"
    except Exception as e:  # noqa: BLE001 - whatever stops it
        said = f"stopped: {type(e).__name__}: {e}"
    os.write(tell, said.encode()[:500])
    os._exit(0)


if __name__ == "__main__":
    print(json.dumps({name: outcome(ATTEMPTS[name]) for name in sys.argv[1:] or ATTEMPTS}))
