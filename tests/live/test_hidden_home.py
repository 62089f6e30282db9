"""Does a model server see the home of its host: keys, secrets of bindings, the agent's socket?"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tests.world
from lockgate.core.scratch import Scratch
from lockgate.formats.digest import Digest
from lockgate.loader.control import Ended
from lockgate.loader.hand_over import Handed
from lockgate.loader.opening import connect, open_release
from lockgate.loader.own_place import walls_of
from lockgate.loader.run import serve_release
from tests.live.company import Company, serving
from tests.live.inside import AS_ROOT, AS_USER, inside
from tests.world import PROD

PROBE = """
import ctypes, json, os, socket, sys
home, room = sys.argv[1:]
NEWNS, NEWUSER = 0x20000, 0x10000000
libc = ctypes.CDLL(None)

def reads(path):
    try:
        return open(path).read()
    except OSError:
        return None

def enters():
    door = socket.socket(socket.AF_UNIX)
    try:
        return door.connect(home + "/agent.sock") is None
    except OSError:
        return False

def writes():
    try:
        return bool(open(home + "/planted", "w"))
    except OSError:
        return False

def look():
    return {
        "key": reads(home + "/keys/database"), "by pid 1": reads("/proc/1/root" + home + "/keys/database"),
        "socket": enters(), "planted": writes(), "listed": sorted(os.listdir(home)),
    }

found = look()
found["model"], found["model below"] = reads(room + "/model.bin"), room.startswith(home)
libc.umount2(home.encode(), 2)
assert not libc.unshare(NEWUSER | NEWNS)
libc.umount2(home.encode(), 2)
libc.umount2(b"/proc", 2)
found["after trying"] = look()
print(json.dumps({"probed": found}), flush=True)
"""

HOST = """
import socket, tempfile
home = OUT / "home"
(home / "keys").mkdir(parents=True)
(home / "keys" / "database").write_text("secret of the administrator")
door = socket.socket(socket.AF_UNIX)
door.bind(str(home / "agent.sock"))
door.listen()
os.chdir(home)

def walls(*kept):
    return Walls((str(home),), tuple(map(str, kept)), f"the server would see the secrets in {home}")

def serve(room, walls):
    child = Child([sys.executable, "-c", PROBE, str(home), str(room)], {}, Path("/"), (), walls)
    tell(code=child.wait(30), contained_by=child.contained_by)
"""
NOTHING = {"key": None, "by pid 1": None, "socket": False, "planted": False}


@pytest.fixture(params=[AS_ROOT, AS_USER])
def who(request):
    if request.param != AS_USER and os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    return request.param


@pytest.fixture
def out():
    with tempfile.TemporaryDirectory(prefix="lockgate-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def probed(code, who, out):
    return inside(f"PROBE = {PROBE!r}\n{HOST}\n{code}", who, out)


def test_a_model_server_sees_nothing_of_the_home_of_its_host(who, out):
    facts = probed("serve(room_with_a_file(mounts()).path, walls())", who, out)

    found = facts.pop("probed")
    assert facts == {"code": 0, "contained_by": "pid-namespace"}
    assert (found.pop("model"), found.pop("model below")) == ("signed", False)
    assert found.pop("after trying") == found == {**NOTHING, "listed": []}


def test_what_is_kept_below_the_home_stays_and_nothing_beside_it(who, out):
    code = """
    entered = mounts()
    (home / "run").mkdir()
    tempfile.tempdir = str(home / "run")
    room = room_with_a_file(entered).path
    serve(room, walls(room, sys.prefix))
    """
    found = probed(code.replace("\n    ", "\n"), who, out)["probed"]

    assert (found.pop("model"), found.pop("model below")) == ("signed", True)
    assert found.pop("after trying") == found == {**NOTHING, "listed": ["run"]}


def test_a_model_server_from_which_nothing_is_hidden_does_see_it(who, out):
    found = probed("serve(room_with_a_file(mounts()).path, Walls())", who, out)["probed"]

    assert found["key"] == "secret of the administrator"
    assert found["socket"] and found["planted"] and "keys" in found["listed"]


def test_where_nothing_can_be_hidden_no_server_starts_that_must_not_see_it(out):
    code = """
    try:
        Child(["/bin/touch", str(OUT / "started")], {}, Path("/"), (), walls())
    except UnavailableError as e:
        tell(why=str(e))
    child = Child(["/bin/true"], {}, Path("/"), (), Walls((str(home),)))
    tell(code=child.wait(30), contained_by=child.contained_by)
    """
    facts = probed(code.replace("\n    ", "\n"), AS_USER, out)

    assert "would see the secrets in" in facts["why"] and not (out / "started").exists()
    assert (facts["code"], facts["contained_by"]) == (0, "subreaper")


@pytest.mark.skipif(os.geteuid() != 0, reason="elsewhere: needs a pid namespace, which root has")
def test_what_is_served_does_not_see_the_home_of_its_host(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    company = Company(tmp_path)
    company.serve(f"import os; raise SystemExit(len(os.listdir({str(tmp_path / 'host')!r})))")
    with serving(company.world) as url:
        host = company.host(url)
        connection = connect(host)
        opened = open_release(host, PROD, connection=connection, mounts=None)
        assert (host.home / "keys").exists()
        assert serve_release(host, opened, connection, 8500, print) == Ended(0, "the server ended")
        opened.files.close()


def test_what_knows_bindings_starts_nowhere_without_hiding_them(tmp_path):
    files, release, host = Handed("memfd", {}, None, ()), Digest.of(b"release"), Scratch("host")
    assert not walls_of(tmp_path, host, release, files).needed
    assert walls_of(tmp_path, host, release, files, (tmp_path / "bindings",)).needed
    (tmp_path / "bindings.toml").touch()
    assert walls_of(tmp_path, host, release, files).needed
