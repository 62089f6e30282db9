"""Does a model server run as it was told to, and does all of it end when it must?"""

import json
import os
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from tests.live.inside import AS_ROOT, AS_USER, inside, start

HARMLESS = sum(1 << capability for capability in (0, 1, 3, 4, 5, 6, 7, 10, 14, 23))  # see capabilities(7)

SERVER = """
import json, os, signal, sys, time
out, how = sys.argv[2], sys.argv[3:]

def linger():
    time.sleep(60)
    os._exit(0)

def caught(number, frame):
    with open(out + "/caught", "a") as file:
        file.write(f"{number} ")
    if number == signal.SIGTERM:
        sys.exit(5)

if "deaf" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "listens" in how:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, caught)
if os.fork() == 0:
    linger()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        linger()
    os._exit(0)
os.wait()
facts = {
    "command": open("/proc/self/cmdline").read().split("\\0")[:-1],
    "env": open("/proc/self/environ").read().split("\\0")[:-1],
    "cwd": os.getcwd(),
    "stdin": os.readlink("/proc/self/fd/0"),
    "files": [int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")],
    "leads": os.getpgrp() == os.getpid() == os.getsid(0),
    "ignored": [line for line in open("/proc/self/status") if line.startswith(("SigIgn", "SigBlk"))],
    "capabilities": [int(line.split()[1], 16) for line in open("/proc/self/status") if line.startswith("Cap")],
    "seen": sum(name.isdigit() for name in os.listdir("/proc")),
}
with open(out + "/started.new", "w") as file:
    json.dump(facts, file)
os.rename(out + "/started.new", out + "/started")
if "leaves" in how:
    sys.exit(7)
while True:
    time.sleep(60)
"""

LAUNCH = """
def launch(*how, **more):
    command = [sys.executable, "-S", str(OUT / "server.py"), MARKER, str(OUT), *how]
    child = Child(command, {"LC_ALL": "C.UTF-8", "TOKEN": "s3cret"}, OUT, **more)
    while not (OUT / "started").exists():
        time.sleep(0.01)
    return child

def children():
    return [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
"""


@pytest.fixture(params=["as root", "as another user with private mounts", "as another user without"])
def case(request):
    if request.param == "as root" and os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    who = AS_ROOT if request.param == "as root" else AS_USER
    enter = "mounts()\n" if request.param.endswith("mounts") else ""
    with tempfile.TemporaryDirectory(prefix="lockgate-test-") as folder:
        Path(folder).chmod(0o777)
        (Path(folder) / "server.py").write_text(SERVER)
        yield Case(who, enter, Path(folder))


class Case:
    def __init__(self, who: str, enter: str, out: Path) -> None:
        self.who, self.out, self.marker = who, out, uuid.uuid4().hex
        self.told: dict = {}
        self.contained_by = "subreaper" if who == AS_USER and not enter else "pid-namespace"
        self._prelude = f"MARKER = {self.marker!r}\n{LAUNCH}\n{enter}"

    def run(self, code: str) -> dict:
        return inside(self._prelude + code, self.who, self.out)

    def start(self, code: str) -> subprocess.Popen[str]:
        program = start(self._prelude + code, self.who, self.out)
        assert program.stdout
        self.told = json.loads(program.stdout.readline())
        if "refused" in self.told:
            pytest.skip(self.told["refused"])
        return program

    def left(self, within_seconds: float = 0.0) -> int:
        """Count the programs of the server's family that are alive, after waiting for them to go."""
        ends_at = time.monotonic() + within_seconds
        while (count := len(self.alive())) and time.monotonic() < ends_at:
            time.sleep(0.02)
        return count

    def alive(self) -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if self.marker in path.read_text().split("\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found


STANDARD = (1 << 31) - 1  # signals 1 to 31: 32 and 33 belong to the C library, and make ignores them


def test_the_server_gets_exactly_what_it_was_given(case):
    told = case.run("""
kept, other = os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)
os.set_inheritable(other, True)
child = launch(pass_fds=[kept])
group = os.getpgid(child._program.pid) != os.getpgid(0)
tell(contained_by=child.contained_by, kept=kept, executable=sys.executable, group=group, code=child.stop(5))
""")
    found = json.loads((case.out / "started").read_text())

    assert told["group"], "Ctrl-C is for run alone, which says what becomes of the server"
    assert told["contained_by"] == case.contained_by
    assert found["command"] == [told["executable"], "-S", str(case.out / "server.py"), case.marker, str(case.out)]
    assert found["env"] == ["LC_ALL=C.UTF-8", "TOKEN=s3cret"]
    assert (found["cwd"], found["stdin"], found["leads"]) == (str(case.out), "/dev/null", True)
    assert sorted(found["files"]) == [0, 1, 2, told["kept"]]
    blocked, ignored = (int(line.split()[1], 16) & STANDARD for line in found["ignored"])
    assert (blocked, ignored) == (0, 0x01001000), "Python's own two, whatever we were started with"
    assert case.contained_by == "subreaper" or found["seen"] == 4


def test_the_server_keeps_only_harmless_capabilities(case):
    case.run("launch().stop(5)\ntell(done=True)")
    inheritable, permitted, effective, bounding, ambient = json.loads((case.out / "started").read_text())[
        "capabilities"
    ]

    assert inheritable == ambient == 0
    assert permitted == effective == (HARMLESS if case.who == AS_ROOT else 0)
    assert case.contained_by == "subreaper" or bounding == HARMLESS


@pytest.mark.parametrize(("how", "code"), [("", -15), ("deaf", -9), ("listens", 5)])
def test_stopping_leaves_nothing_of_the_family(case, how, code):
    told = case.run(f"""
child = launch({how!r})
tell(code=child.stop(0.3), again=child.wait(), children=children())
""")

    assert told == {"code": code, "again": code, "children": []}
    assert case.left() == 0


def test_a_server_that_leaves_by_itself_takes_its_family_along(case):
    told = case.run("""
child = launch("leaves")
tell(early=child.wait(0), code=child.wait(5), children=children(), stopped=child.stop(1))
""")

    assert told["code"] == told["stopped"] == 7
    assert told["children"] == []
    assert case.left() == 0


def test_a_server_that_runs_has_no_code(case):
    told = case.run("""
child = launch()
before = time.monotonic()
tell(code=child.wait(0.3), waited=time.monotonic() - before)
child.stop(1)
""")

    assert told["code"] is None
    assert 0.3 <= told["waited"] < 2


def test_the_family_dies_with_run_however_that_dies(case):
    with case.start("child = launch()\ntell(started=True)\ntime.sleep(60)") as program:
        family = case.left()
        program.kill()

    assert family == 3
    assert case.left(within_seconds=3) == 0


def test_the_server_dies_with_the_program_that_stands_over_it(case):
    with case.start("""
child = launch()
os.kill(child._program.pid, signal.SIGKILL)
tell(code=child.wait(5), children=children())
"""):
        left = case.left(within_seconds=0.5 if case.contained_by == "subreaper" else 3)
        for pid in case.alive():
            os.kill(pid, signal.SIGKILL)

    assert case.told == {"code": -9, "children": []}
    assert left == (2 if case.contained_by == "subreaper" else 0)  # a subreaper that is killed can kill no more


def test_the_deadline_kills_at_once_and_moves_when_it_is_moved(case):
    told = case.run("""
now = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
child = launch("deaf")
begun = now()
child.allow_until(begun + 300_000_000)
child.allow_until(begun + 800_000_000)
tell(code=child.wait(5), lived=(now() - begun) / 1e9)
""")

    assert told["code"] == -9
    assert 0.8 <= told["lived"] < 1.5
    assert case.left() == 0


def test_a_deadline_that_has_passed_kills_at_once(case):
    told = case.run("""
child = launch()
child.allow_until(0)
tell(code=child.wait(2))
""")

    assert told["code"] == -9


def test_the_deadline_holds_while_run_hangs(case):
    with case.start("""
child = launch()
child.allow_until(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 500_000_000)
tell(started=True)
os.kill(os.getpid(), signal.SIGSTOP)
""") as program:
        left = case.left(within_seconds=3)
        program.kill()

    assert left == 0


def test_signals_to_run_reach_the_server(case):
    with case.start("""
child = launch("listens")
with forwarding(child):
    tell(started=True)
    sys.exit(child.wait())
""") as program:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            program.send_signal(number)
            time.sleep(0.2)

    assert program.returncode == 5
    assert list(dict.fromkeys((case.out / "caught").read_text().split())) == ["1", "10", "15"]


def test_another_thread_may_stop_what_the_main_thread_waits_for(case):
    told = case.run("""
import threading
child = launch("deaf")
codes = []
threads = [threading.Thread(target=lambda: codes.append(child.stop(0.2))) for _ in range(3)]
for thread in threads:
    thread.start()
code = child.wait()
for thread in threads:
    thread.join()
tell(code=code, codes=codes)
""")

    assert told == {"code": -9, "codes": [-9, -9, -9]}


@pytest.mark.parametrize(
    ("command", "folder", "because"),
    [
        ("/nowhere/server", "/", "No such file"),
        ("/etc/passwd", "/", "Permission denied"),
        ("/bin/true", "/no", "No such"),
    ],
)
def test_what_cannot_be_started_is_said_and_leaves_nothing(case, command, folder, because):
    told = case.run(f"""
files = len(list(Path("/proc/self/fd").iterdir()))
try:
    Child([{command!r}], {{}}, Path({folder!r}))
except UnavailableError as e:
    tell(error=str(e), children=children(), more=len(list(Path("/proc/self/fd").iterdir())) - files)
""")

    assert because in told["error"]
    assert (told["children"], told["more"]) == ([], 0)


def test_a_server_is_started_by_the_main_thread(case):
    told = case.run("""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(1) as pool:
    tell(error=str(pool.submit(Child, ["/bin/true"], {}, Path("/")).exception()))
""")

    assert "would be killed" in told["error"]
