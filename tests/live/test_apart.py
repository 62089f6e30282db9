"""Can one release leave something on its host that the next one beside it finds? With real programs, and the kernel."""

import os
import tempfile
import uuid
from pathlib import Path

import pytest

from tests.live.inside import AS_ROOT, AS_USER, inside

pytestmark = pytest.mark.live

# Every way is tried by both: the first one leaves a word, and waits; the second one looks whether it is there.
PROBE = r"""
import ctypes, json, os, socket, sys, time
from contextlib import suppress
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
role, word, out, public = sys.argv[1:5]
KEY, HOME, MAKES = int(word[:7], 16), os.environ["HOME"], 0o1666

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "no")
    return result

def file(path):
    def leave():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as left:
            left.write(word)
    def find():
        with open(path) as left:
            found = left.read()
        with suppress(OSError):
            os.unlink(path)
        return found
    return leave, find

def memory():
    def leave():
        ctypes.memmove(libc.shmat(checked(libc.shmget(KEY, 4096, MAKES)), None, 0), word.encode(), len(word))
    def find():
        made = checked(libc.shmget(KEY, 0, 0))
        found = ctypes.string_at(libc.shmat(made, None, 0), len(word)).decode()
        libc.shmctl(made, 0, None)
        return found
    return leave, find

class Sent(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_long), ("text", ctypes.c_char * 64)]

def queue():
    def leave():
        checked(libc.msgsnd(checked(libc.msgget(KEY, MAKES)), ctypes.byref(Sent(1, word.encode())), 64, 0))
    def find():
        made, got = checked(libc.msgget(KEY, 0)), Sent()
        checked(libc.msgrcv(made, ctypes.byref(got), 64, 0, 0o4000))
        libc.msgctl(made, 0, None)
        return got.text.decode()
    return leave, find

def semaphore():
    def leave():
        checked(libc.semget(KEY, 1, MAKES))
    def find():
        checked(libc.semctl(checked(libc.semget(KEY, 1, 0)), 0, 0))
        return word
    return leave, find

def posix_queue():
    name = b"/left-" + word.encode()
    def leave():
        queue = checked(libc.mq_open(name, os.O_RDWR | os.O_CREAT, 0o666, None))
        checked(libc.mq_send(queue, word.encode(), len(word), 0))
    def find():
        got = ctypes.create_string_buffer(65536)
        checked(libc.mq_receive(checked(libc.mq_open(name, os.O_RDWR)), got, 65536, None))
        libc.mq_unlink(name)
        return got.value.decode()
    return leave, find

ADD, KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
USER_KEYRING, SEARCH, READ, UNLINK = -4, 10, 11, 9

def kernel_key():
    name = b"left-" + word.encode()
    def leave():
        checked(libc.syscall(ADD, b"user", name, word.encode(), len(word), USER_KEYRING))
    def find():
        key = checked(libc.syscall(KEYCTL, SEARCH, USER_KEYRING, b"user", name, 0))
        got = ctypes.create_string_buffer(64)
        checked(libc.syscall(KEYCTL, READ, key, got, 64, 0))
        libc.syscall(KEYCTL, UNLINK, key, USER_KEYRING)
        return got.value.decode()
    return leave, find

def log():
    def leave():
        print(word, flush=True)
    def find():
        said = os.read(os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK), 1 << 16).decode()
        return word if word in said else None
    return leave, find

held = []

def abstract_socket():
    name = "\0left-" + word
    def leave():
        held.append(socket.socket(socket.AF_UNIX))
        held[0].bind(name)
        held[0].listen()
    def find():
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(name)
        return word
    return leave, find

WAYS = {
    **{folder: file(f"{folder}/left-{word}") for folder in ("/tmp", "/var/tmp", "/dev/shm")},
    "HOME": file(f"{HOME}/left-{word}"), "a cache": file(f"{HOME}/.cache/left/{word}"),
    "a folder of the host": file(f"{public}/{word}"), "the folder of the other": file(f"{out}/../leave/{word}"),
    "System V memory": memory(), "System V queue": queue(), "System V semaphore": semaphore(),
    "POSIX queue": posix_queue(), "kernel key": kernel_key(), "log": log(), "abstract socket": abstract_socket(),
}

def tried(act):
    try:
        return act()
    except OSError:
        return None

if role == "leave":
    for leave, _ in WAYS.values():
        tried(leave)
    open(out + "/left", "w").close()
    while not os.path.exists(out + "/over"):
        time.sleep(0.01)
else:
    with open(out + "/found", "w") as told:
        json.dump([way for way, (_, find) in WAYS.items() if tried(find) == word], told)
"""

RUNS = """
import subprocess

log = os.open(OUT / "log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
told = os.dup(1)
os.dup2(log, 1)

def tell(**facts):
    os.write(told, json.dumps(facts).encode() + b"\\n")

def begun(role, scratch):
    own, public = OUT / "releases" / role, OUT / "public"
    for folder in (own, public):
        folder.mkdir(exist_ok=True, parents=True)
    command = [sys.executable, "-c", PROBE, role, WORD, str(own), str(public)]
    env = {"HOME": "/tmp/home" if scratch in ("only", "own") else str(OUT / "public")}
    if scratch is None:
        return subprocess.Popen(command, env=env)
    shown = ((), ()) if scratch == "host" else ((str(own.parent),), (str(own),))
    walls = Walls(hidden=shown[0], scratch=scratch, size=8 << 20, writable=shown[1])
    return Child(command, env, Path("/"), (), walls)

def beside(scratch):
    first = begun("leave", scratch)
    while not (OUT / "releases" / "leave" / "left").exists():
        time.sleep(0.01)
    tell(code=begun("find", scratch).wait(60), found=json.loads((OUT / "releases" / "find" / "found").read_text()))
    (OUT / "releases" / "leave" / "over").touch()
    tell(first=first.wait(60))
"""
IN_FILES = ["/tmp", "/var/tmp", "HOME", "a cache", "a folder of the host", "the folder of the other"]
IN_ALL = ["/tmp", "/var/tmp", "/dev/shm", *IN_FILES[2:]]
IN_THE_KERNEL = ["System V memory", "System V queue", "System V semaphore", "POSIX queue"]
BESIDES = ["kernel key", "log", "abstract socket"]


@pytest.fixture(params=[AS_ROOT, AS_USER])
def who(request):
    if request.param != AS_USER and os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    return request.param


@pytest.fixture
def out():
    with tempfile.TemporaryDirectory(prefix="lockgate-test-", dir="/var") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def played(code, who, out):
    return inside(f"PROBE, WORD = {PROBE!r}, {uuid.uuid4().hex!r}\n{RUNS}\n{code}", who, out)


@pytest.mark.parametrize(
    ("scratch", "found"),
    [("only", []), ("own", ["a folder of the host"]), ("host", [*IN_FILES, *BESIDES])],
    ids=str,
)
def test_of_what_one_release_leaves_the_other_finds_no_more_than_its_host_allows(who, out, scratch, found):
    assert played(f"mounts()\nbeside({scratch!r})", who, out) == {"code": 0, "first": 0, "found": found}


def test_without_walls_it_finds_all_of_it(who, out):
    assert played("beside(None)", who, out) == {"code": 0, "first": 0, "found": [*IN_ALL, *IN_THE_KERNEL, *BESIDES]}


WRITES = r"""
import ctypes, json, os, sys
own, public, room, kept = sys.argv[1:5]
libc = ctypes.CDLL(None, use_errno=True)
RDONLY, REMOUNT, BIND, DETACH, NEWNS, NEWUSER = 1, 32, 4096, 2, 0x20000, 0x10000000

def opens(path, flags):
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError:
        return False
    return True

def written():
    made = [folder for folder in ("/", "/etc", "/dev", "/run", "/home", public, room, kept, os.path.dirname(own), own,
                                  "/tmp", "/var/tmp", "/dev/shm", "/tmp/home")
            if opens(folder + "/made", os.O_WRONLY | os.O_CREAT)]
    opened = [path for path in ("/etc/hostname", "/proc/sys/kernel/domainname", "/proc/self/comm", room + "/model.bin",
                                public + "/there", sys.executable, "/dev/null", "/dev/urandom")
              if opens(path, os.O_WRONLY)]
    return made + opened

def unlocked():
    for path in (b"/", b"/proc", b"/dev", public.encode(), b"/tmp", own.encode()):
        libc.mount(None, path, None, REMOUNT | BIND, None)
        libc.umount2(path, DETACH)
    return written()

found = {"written": written(), "unlocked": unlocked()}
libc.unshare(NEWUSER | NEWNS)
found["in a namespace of its own"] = unlocked()
found["devices"] = sorted(os.listdir("/dev"))
print(json.dumps(found), flush=True)
"""
ITS_OWN = ["/tmp", "/var/tmp", "/dev/shm", "/tmp/home"]
NEEDED = ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]


def test_what_a_host_closes_stays_closed_whatever_is_tried(who, out):
    found = inside(
        f"""
        import tempfile
        WRITES, own, public = {WRITES!r}, OUT / "own", OUT / "public"
        room = room_with_a_file(mounts()).path
        for folder in (own, public):
            folder.mkdir()
        (public / "there").touch()
        kept = tempfile.mkdtemp(dir="/tmp")
        walls = Walls(kept=(str(room), kept, sys.prefix), scratch="only", size=8 << 20, writable=(str(own),))
        command = [sys.executable, "-c", WRITES, str(own), str(public), str(room), kept]
        tell(code=Child(command, {{"PATH": "/usr/bin"}}, room, (), walls).wait(60))
        os.rmdir(kept)
        """,
        who,
        out,
    )

    allowed = [str(out / "own"), *ITS_OWN, "/dev/null", "/dev/urandom"]
    assert found == {
        "written": allowed,
        "unlocked": allowed,
        "in a namespace of its own": allowed,
        "devices": NEEDED,
        "code": 0,
    }


USES = r"""
import json, os, subprocess, sys, tempfile
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory

def doubles(name):
    memory = SharedMemory(name)
    memory.buf[0] *= 2

def fills(folder, most):
    with open(folder + "/large", "wb") as large:
        try:
            for _ in range(most):
                large.write(bytes(1 << 20))
        except OSError as e:
            return e.strerror
        finally:
            os.unlink(folder + "/large")

def crowds(most):
    try:
        for number in range(most):
            open(f"/var/tmp/{number}", "w").close()
    except OSError as e:
        return e.strerror

memory = SharedMemory(create=True, size=4096)
memory.buf[0] = 21
workers = get_context("fork").Pool(2)
workers.map(doubles, [memory.name])
found = {"shared within": memory.buf[0], "bounded": [fills(place, 64) for place in ("/tmp", "/dev/shm", "/var/tmp")]}
workers.close(); workers.join(); memory.close(); memory.unlink()
with open(os.environ["HOME"] + "/compiled", "w") as compiled:
    compiled.write("#!/bin/sh\necho runs")
os.chmod(compiled.name, 0o700)
found["started"] = subprocess.check_output([compiled.name], text=True).strip()
found["temporary"] = tempfile.gettempdir()
found["inodes"] = crowds(1 << 20)
print(json.dumps(found), flush=True)
"""


@pytest.mark.parametrize("scratch", ["only", "own"])
def test_a_model_server_has_a_place_of_its_own_that_does_for_its_workers_and_is_bounded(who, out, scratch):
    found = inside(
        f"""
        mounts()
        walls = Walls(scratch={scratch!r}, size=8 << 20)
        tell(code=Child([sys.executable, "-c", {USES!r}], {{"HOME": "/tmp/home"}}, Path("/"), (), walls).wait(60))
        """,
        who,
        out,
    )

    full = "No space left on device"
    assert found == {
        "shared within": 42,
        "bounded": [full] * 3,
        "started": "runs",
        "temporary": "/tmp",
        "inodes": full,
        "code": 0,
    }


@pytest.mark.parametrize(
    ("walls", "because"),
    [
        ('Walls(scratch="only", writable=("/nowhere",))', "No such file"),
        ('Walls(scratch="only", writable=(str(room),))', "is read-only here"),
        ('Walls(("/",))', "nothing can be hidden"),
        ('Walls(("/nowhere",))', "No such file"),
    ],
)
def test_where_a_wall_cannot_be_built_nothing_starts(who, out, walls, because):
    facts = inside(
        f"""
        room = room_with_a_file(mounts()).path
        try:
            Child(["/bin/touch", str(OUT / "started")], {{}}, Path("/"), (), {walls})
        except UnavailableError as e:
            tell(why=str(e))
        """,
        who,
        out,
    )

    assert because in facts["why"] and not (out / "started").exists()
