"""Is a job that takes too much held? Each greed against a small limit and, to show that it can succeed, a large one."""

import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockgate.drivers.bubblewrap import outer
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator.sandbox import Job, Limits
from tests.live.test_sandbox_probes import ELSEWHERE, SYSTEM_PYTHON, caged, can_pass_as_stranger, host

MIB = 1 << 20
FORKS = """
import os, time
made = 0
try:
    for _ in range(100):
        if os.fork() == 0: time.sleep(60); os._exit(0)
        made += 1
except OSError: pass
print(made, flush=True)
"""
ALLOCATES = "held = bytearray(300 << 20); print('held')"
ALLOCATE_TOGETHER = """
import os, time
ready, tell = os.pipe()
wait, go = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(go)
        held = bytearray(os.urandom(1 << 20)) * 60
        os.write(tell, b'!')
        os._exit(len(os.read(wait, 1)))
for _ in range(8): os.read(ready, 1)
time.sleep(2)
os.close(go)
for _ in range(8): assert os.wait()[1] == 0
print('held')
"""
QUEUES = """
import os, socket, time
for _ in range(4):
    if os.fork() == 0: break
held = []
try:
    while len(held) < 100:
        held.append(socket.socketpair())
        for end in held[-1]:
            end.setblocking(False)
            try:
                while True: end.send(bytes(1 << 16))
            except BlockingIOError: pass
except OSError: pass
time.sleep(3)
"""
QUEUES_OF_NOBODY = """
import os, socket, time
held = []
for each in range(4):
    door = socket.socket(socket.AF_UNIX); door.bind(f'/tmp/{each}'); door.listen(4096); held.append(door)
    for _ in range(100):
        caller = socket.socket(socket.AF_UNIX); caller.connect(f'/tmp/{each}'); caller.setblocking(False)
        try:
            while True: caller.send(bytes(1 << 16))
        except BlockingIOError: caller.close()
time.sleep(3)
"""
LOCKS = """
import fcntl, os, time
file = os.open('/tmp/locked', os.O_CREAT | os.O_RDWR)
for at in range(80_000, 0, -2): fcntl.lockf(file, fcntl.LOCK_EX, 1, at)
time.sleep(3)
"""
FILLS = """
import sys
try:
    for i in range(64):
        with open(f'/tmp/{i}', 'wb') as file: file.write(bytes(1 << 20))
    print('filled')
except OSError as e: print(e.strerror)
"""
FILLS_ALL = FILLS.replace("f'/tmp/{i}'", "['/tmp', '/out', '/dev/shm'][i % 3] + f'/{i}'")
MAKES_FILES = """
made = 0
try:
    for made in range(40_000): open(f'/tmp/{made}', 'w').close()
except OSError: pass
print(made)
"""
SPARSE = """
import os, signal
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.truncate(os.open('/out/huge', os.O_CREAT | os.O_RDWR), 1 << 40)
"""
SPARSE_TOGETHER = """
import os
for i in range(20): os.truncate(os.open(f'/out/{i}', os.O_CREAT | os.O_RDWR), 10 << 20)
"""
BURNS = "while True: pass"
BURN_TOGETHER = """
import os, time
while True:
    if os.fork() == 0:
        end = time.process_time() + 0.3
        while time.process_time() < end: pass
        os._exit(0)
    os.wait()
"""


def run(code, **limits):
    return Bubblewrap().run(Job((sys.executable, "-c", code), limits=Limits(**{"seconds": 120, **limits})))


@pytest.mark.parametrize(("processes", "most"), [(20, 20), (300, 100)])
def test_a_fork_storm(processes, most):
    found = run(FORKS, processes=processes)

    assert found.code == 0
    assert (most - 1 <= int(found.said) <= most) if most < 100 else int(found.said) == 100


@pytest.mark.parametrize(("memory", "said"), [(200 * MIB, b"MemoryError"), (800 * MIB, b"held")])
def test_one_that_allocates(memory, said):
    assert said in run(ALLOCATES, memory=memory).said


@pytest.mark.parametrize(("memory", "why"), [(300 * MIB, "memory"), (2048 * MIB, None)])
def test_many_that_allocate_together(memory, why):
    found = run(ALLOCATE_TOGETHER, memory=memory)

    assert found.why == why
    assert (b"held" in found.said) == (why is None)


@pytest.mark.parametrize(("code", "memory", "why"), [
    (QUEUES, 100 * MIB, "memory"),
    (QUEUES, 2048 * MIB, None),
    (QUEUES_OF_NOBODY, 100 * MIB, "memory"),
    (QUEUES_OF_NOBODY, 2048 * MIB, None),
    (LOCKS, 2048 * MIB, "memory"),
])  # fmt: skip
def test_memory_that_no_program_has_mapped(monkeypatch, code, memory, why):
    monkeypatch.setattr(outer, "make_group", lambda _: None)

    assert run(code, memory=memory).why == why


@pytest.mark.parametrize("code", [FILLS, FILLS_ALL])
@pytest.mark.parametrize(("disk", "said"), [(40 * MIB, b"No space left on device"), (100 * MIB, b"filled")])
def test_a_full_disk(code, disk, said):
    assert run(code, disk=disk).said.strip() == said


def test_a_storm_of_files():
    assert 10_000 < int(run(MAKES_FILES).said) < 20_000


@pytest.mark.parametrize(("output", "why"), [(MIB, "output"), (8 * MIB, None)])
def test_endless_output(output, why):
    found = run("import sys\nfor _ in range(4096): sys.stdout.write('x' * 1023 + '\\n')", output=output)

    assert found.why == why
    assert len(found.said) == 1 << 16


def test_output_without_end():
    assert run("while True: print('x' * 10_000)", output=MIB).why == "output"


def test_a_huge_sparse_file():
    found = run(SPARSE, disk=40 * MIB)

    assert (found.why, found.files) == ("disk", {"huge": b""})


@pytest.mark.parametrize(("disk", "why", "files"), [(100 * MIB, "disk", 0), (300 * MIB, None, 20)])
def test_many_sparse_files(disk, why, files):
    found = run(SPARSE_TOGETHER, disk=disk)

    assert (found.why, len(found.files)) == (why, files)


@pytest.mark.parametrize("code", [BURNS, BURN_TOGETHER])
def test_a_processor_that_is_burnt(code):
    assert run(code, cpu_seconds=1).why == "cpu_seconds"


def test_one_that_sleeps_past_its_time():
    found = run("import time; print('begun', flush=True); time.sleep(600)", seconds=3)

    assert (found.code, found.why) == (-9, "seconds")


def test_one_that_stays_below_its_limits_has_none_of_this():
    found = run("print('done')")

    assert (found.code, found.why, found.said) == (0, None, b"done\n")


@pytest.mark.skipif(not can_pass_as_stranger(), reason=ELSEWHERE)
@pytest.mark.parametrize(("code", "limits", "why"), [
    (ALLOCATE_TOGETHER, {"memory": 300 * MIB}, "memory"),
    (ALLOCATE_TOGETHER, {"memory": 2048 * MIB}, None),
    (BURN_TOGETHER, {"cpu_seconds": 1}, "cpu_seconds"),
    (SPARSE_TOGETHER, {"disk": 100 * MIB}, "disk"),
])  # fmt: skip
def test_somebody_without_control_groups_holds_it_too(code, limits, why):
    with host() as around:
        found = caged(
            around, {"command": [str(SYSTEM_PYTHON), "-c", code], "limits": {"seconds": 120} | limits}, by="stranger"
        )

    assert found["why"] == why
    assert "cgroup" not in found["isolation"]


@pytest.mark.skipif(not can_pass_as_stranger(), reason=ELSEWHERE)
def test_a_fork_storm_of_a_stranger():
    with host() as around:
        job = {"command": [str(SYSTEM_PYTHON), "-c", FORKS], "limits": {"processes": 20}}
        found = caged(around, job, by="stranger")

    assert 19 <= int(found["said"]) <= 20


def alive(mark):
    """Find programs of the host whose command says `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def patiently(question):
    end = time.monotonic() + 60
    while not (answer := question()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return answer


def leaves_an_orphan(mark):
    return f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    orphan = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'])
    os._exit(0)
os.wait()
"""


def test_an_orphan_does_not_outlive_its_job():
    mark = f"orphan-of-{os.getpid()}"
    job = Job((sys.executable, "-c", leaves_an_orphan(mark) + "while True: pass"), limits=Limits(seconds=60), port=8000)

    with Bubblewrap().serve(job):
        patiently(lambda: alive(mark))
    assert not alive(mark)


def test_a_job_dies_with_whoever_runs_it():
    import json
    import subprocess

    from tests.live.test_sandbox_probes import HERE

    mark = f"left-alone-by-{os.getpid()}"
    job = {"command": [sys.executable, "-c", "import time; time.sleep(600)", mark]}
    with subprocess.Popen([sys.executable, HERE / "caged.py"], stdin=subprocess.PIPE, text=True) as runner:
        assert runner.stdin is not None
        runner.stdin.write(json.dumps(job))
        runner.stdin.close()
        patiently(lambda: alive(mark))
        runner.kill()
    patiently(lambda: not alive(mark))


STALLS = """
import os, socket, time
door = socket.socket(); door.bind(('127.0.0.1', 8000)); door.listen(0)
callers = [socket.socket() for _ in range(6)]
for caller in callers:
    caller.setblocking(False); caller.connect_ex(('127.0.0.1', 8000))
print('full', flush=True)
while not os.path.exists('/tmp/never'):
    time.sleep(3)
    if os.fork() == 0: held = bytearray(os.urandom(1 << 20)) * 60; time.sleep(600)
"""


def test_a_job_that_answers_nobody_is_watched_all_the_same(monkeypatch):
    monkeypatch.setattr(outer, "make_group", lambda _: None)
    job = Job((sys.executable, "-c", STALLS), limits=Limits(seconds=60, memory=200 * MIB), port=8000)

    with Bubblewrap(allow=frozenset({"cgroup"})).serve(job) as served:
        patiently(lambda: b"full" in served._cell._said)
        with ExitStack() as callers:
            for _ in range(3):
                caller = callers.enter_context(socket.socket(socket.AF_UNIX))
                caller.connect(str(served.socket))
                caller.sendall(b"x")
            found = served._cell.wait()

    assert found.why == "memory"
