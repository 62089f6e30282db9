"""Is a model server shut in with files that it cannot change?"""

import errno
import fcntl
import json
import os
import tempfile
from pathlib import Path

import pytest

from tests.live.inside import AS_ROOT, AS_USER, ROOT_WITHOUT_ADMIN, inside, start

PROBE = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
room, mountpoint = sys.argv[1] + "/model.bin", sys.argv[1].encode()
REMOUNT, BIND, NEWUSER, NEWNS = 32, 4096, 0x10000000, 0x20000

def attempt(act):
    try:
        act()
    except OSError as e:
        return e.errno
    return 0

def kernel(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def write():
    with open(room, "r+b", buffering=0) as file:
        file.write(b"altered")

def ways(where):
    return {
        f"{where}write": attempt(write),
        f"{where}unlink": attempt(lambda: os.unlink(room)),
        f"{where}create": attempt(lambda: os.close(os.open(room + "2", os.O_CREAT | os.O_WRONLY))),
        f"{where}remount": attempt(lambda: kernel("mount", None, mountpoint, None, REMOUNT, None)),
        f"{where}remount bind": attempt(lambda: kernel("mount", None, mountpoint, None, REMOUNT | BIND, None)),
        f"{where}unmount": attempt(lambda: kernel("umount2", mountpoint, 2)),
    }

with open(room, "rb") as file:
    content = file.read().decode()
found = ways("")
found["enter the mounts of pid 1"] = attempt(lambda: kernel("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
uid, out = os.getuid(), open(sys.argv[2], "w")
found["new user namespace"] = attempt(lambda: kernel("unshare", NEWUSER | NEWNS))
if not found["new user namespace"]:
    attempt(lambda: os.write(os.open("/proc/self/uid_map", os.O_WRONLY), f"{uid} {uid} 1".encode()))
    found["capabilities there"] = "CapEff:\t0000000000000000" not in open("/proc/self/status").read()
    found |= ways("in a new user namespace: ")
found["content"] = content
with open("/proc/self/status") as status:
    found["no new privileges"] = "NoNewPrivs:\\t1" in status.read()
json.dump(found, out)
"""


@pytest.fixture(params=[AS_ROOT, ROOT_WITHOUT_ADMIN, AS_USER])
def who(request):
    if request.param != AS_USER and os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    return request.param


@pytest.fixture
def out():
    with tempfile.TemporaryDirectory(prefix="lockgate-test-") as folder:
        Path(folder).chmod(0o777)
        (Path(folder) / "probe.py").write_text(PROBE)
        yield Path(folder)


def test_the_server_reads_the_files_and_cannot_change_them(who, out):
    facts = inside(
        """
        room = room_with_a_file(mounts())
        child = Child([sys.executable, str(OUT / "probe.py"), str(room.path), str(OUT / "found")], {}, Path("/"))
        tell(code=child.wait(30), contained_by=child.contained_by)
        room.close()
        """,
        who,
        out,
    )
    found = json.loads((out / "found").read_text())

    assert facts == {"code": 0, "contained_by": "pid-namespace"}
    assert found.pop("content") == "signed"
    assert found.pop("no new privileges")
    assert found.pop("new user namespace") == 0
    assert found.pop("capabilities there")
    assert len(found) == 13
    assert all(found.values()), found


def test_the_probe_does_change_them_where_nothing_is_given_up(who, out):
    inside(
        """
        import subprocess
        room = room_with_a_file(mounts())
        subprocess.run([sys.executable, str(OUT / "probe.py"), str(room.path), str(OUT / "found")])
        room.close()
        tell(done=True)
        """,
        who,
        out,
    )
    found = json.loads((out / "found").read_text())

    assert [found[way] for way in ("remount", "create", "unmount")] == [0, errno.EROFS, 0]


def test_nobody_outside_sees_the_files(who, out):
    with start(
        """
        room = room_with_a_file(mounts())
        tell(path=str(room.path), seen=sorted(os.listdir(room.path)), uid=os.getuid())
        time.sleep(60)
        """,
        who,
        out,
    ) as program:
        assert program.stdout
        facts = json.loads(program.stdout.readline())
        if "refused" in facts:
            pytest.skip(facts["refused"])
        seen_outside = list(Path(facts["path"]).iterdir())
        below = os.open(facts["path"], os.O_RDONLY)
        with pytest.raises(BlockingIOError):  # what cleaners of old files ask before they remove a directory
            fcntl.flock(below, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(below)
        program.kill()

    assert facts["seen"] == ["model.bin"]
    assert facts["uid"] == (65534 if who == AS_USER and os.geteuid() == 0 else os.geteuid())
    assert seen_outside == []


def test_a_room_is_as_small_as_it_was_ordered_and_goes_when_closed(who, out):
    facts = inside(
        """
        room = mounts().room(1 << 20)
        try:
            (room.path / "large").write_bytes(bytes(2 << 20))
        except OSError as e:
            tell(error=e.strerror)
        writer = open(room.path / "writer", "wb")
        try:
            room.seal()
        except UnavailableError as e:
            tell(writer=str(e))
        writer.close()
        room.seal()
        room.close()
        tell(left=room.path.exists())
        """,
        who,
        out,
    )

    assert facts["error"] == "No space left on device"
    assert "read-only: mount: Device or resource busy" in facts["writer"]
    assert not facts["left"]


def test_a_program_with_threads_does_not_enter(who, out):
    facts = inside(
        """
        import threading
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
        try:
            enter_private_mounts()
        except AssertionError as e:
            tell(error=str(e))
        """,
        who,
        out,
    )

    assert facts["error"] == "a mount namespace is entered by one thread; there are 2"


def test_files_are_handed_over_in_a_sealed_room(who, out):
    facts = inside(
        """
        from lockgate.formats.digest import Digest
        from lockgate.formats.oms import FileDigest
        from lockgate.loader.hand_over import hand_over
        from lockgate.loader.source import DirectorySource
        (OUT / "weights/deep").mkdir(parents=True)
        (OUT / "weights/deep/a.bin").write_bytes(b"signed" * 999)
        (OUT / "weights/evil.pkl").write_bytes(b"x")
        file = FileDigest("deep/a.bin", Digest.of(b"signed" * 999))
        handed = hand_over({"weights": [file]}, DirectorySource(OUT), mounts(), lambda count: None)
        child = Child(["/bin/grep", "-q", "signed", handed.paths["weights/deep/a.bin"]], {}, Path("/"))
        below = sorted(handed.directory.rglob("*"))
        sealed = bool(os.statvfs(handed.directory).f_flag & os.ST_RDONLY)
        seen = {str(path.relative_to(handed.directory)): oct(path.stat().st_mode) for path in below}
        tell(how=handed.how, code=child.wait(10), seen=seen, sealed=sealed)
        handed.close()
        """,
        who,
        out,
    )

    assert facts["how"] == "tmpfs"
    assert facts["sealed"]
    assert facts["code"] == 0
    assert facts["seen"] == {"weights": "0o40755", "weights/deep": "0o40755", "weights/deep/a.bin": "0o100444"}


def test_nothing_spreads_to_a_host_that_shares_its_mounts(out):
    if os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    facts = inside(
        """
        linux.call("unshare", linux.CLONE_NEWNS)
        linux.call("mount", b"none", b"/", None, linux.MS_REC | 1 << 20, None)
        host = os.getpid()
        Child(["/bin/true"], {}, Path("/")).wait()
        own = int(os.readlink("/proc/self"))
        told, tell_host = os.pipe()
        if not os.fork():
            os.write(tell_host, str(room_with_a_file(mounts()).path).encode())
            time.sleep(0.5)
            os._exit(0)
        tell(own=own == host, seen=os.listdir(os.read(told, 4096)))
        """,
        AS_ROOT,
        out,
    )

    assert facts == {"own": True, "seen": []}
