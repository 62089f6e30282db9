"""Does a hostile job get anything? Every attempt of `probes.py`, inside and, to show that it can succeed, outside."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import lockgate
from tests.live import probes

HERE = Path(__file__).parent
STRANGER = 12345
TOKEN = "a-token-of-the-runner"
SYSTEM_PYTHON = Path("/usr/bin/python3")
ELSEWHERE = "elsewhere: needs root, and a Python of 3.11 or newer that others may use"


@contextmanager
def host():
    """Give what a probe would like to reach, outside."""
    with ExitStack() as stack:
        folder, programs = (Path(tempfile.mkdtemp(prefix="lockgate-probes-")) for _ in range(2))
        for each in (folder, programs):
            stack.callback(shutil.rmtree, each)
            each.chmod(0o755)
        for name in ("model", "theirs"):
            (folder / name).mkdir()
            (folder / name / "weights").write_bytes(b"weights")
        (folder / "secret").write_text("hands off")
        shutil.copy(HERE / "probes.py", folder / "probes.py")
        shutil.copy(HERE / "caged.py", folder / "caged.py")
        kinds = (
            (socket.AF_INET, ("127.0.0.1", 0)),
            (socket.AF_UNIX, str(folder / "a.sock")),
            (socket.AF_UNIX, ""),
        )
        tcp, _, abstract = (stack.enter_context(listening(*kind)) for kind in kinds)
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        threading.Thread(target=answer, args=(udp,), daemon=True).start()
        victim = stack.enter_context(subprocess.Popen(["sleep", "600"], env={"TOKEN": TOKEN}))
        stack.callback(victim.kill)
        where = {
            "folder": folder,
            "programs": programs,
            "secret": folder / "secret",
            "input": folder / "theirs",
            "path": folder / "a.sock",
        }
        yield {name: str(place) for name, place in where.items()} | {
            "token backwards": TOKEN[::-1],
            "victim": victim.pid,
            "outsider": victim.pid,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": abstract.getsockname()[1:].decode(),
        }


@contextmanager
def listening(family, address):
    with socket.socket(family) as door:
        door.bind(address)
        door.listen()
        yield door


def answer(udp):
    while True:
        try:
            _, caller = udp.recvfrom(100)
            udp.sendto(b"answer", caller)
        except OSError:
            return


@pytest.fixture(scope="module")
def around():
    with host() as where:
        yield where


@pytest.fixture(scope="module")
def outside(around):
    """Try all of it without a sandbox, in mounts and a host name that may be spoiled."""
    kept, passed = os.pipe()
    environment = {"PATH": os.environ["PATH"], "PROBES": json.dumps(around)}
    program = [sys.executable, Path(around["folder"], "probes.py")]
    command = ["unshare", "--mount", "--uts", "--ipc", *program]
    done = subprocess.run(command, env=environment, capture_output=True, check=True, pass_fds=[passed])
    os.close(kept)
    os.close(passed)
    return json.loads(done.stdout)


def caged(around, job, *, by):
    """Run a job by the sandbox of root or of somebody else, who has a token in the environment."""
    command, environment = [sys.executable, HERE / "caged.py"], {"TOKEN": TOKEN, "PATH": os.environ["PATH"]}
    if by == "stranger":
        source = Path(around["programs"])
        if not (source / "lockgate").exists():
            shutil.copytree(Path(lockgate.__file__).parent, source / "lockgate", ignore=shutil.ignore_patterns("*.svg"))
        who = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
        command = [*who, SYSTEM_PYTHON, "-B", Path(around["folder"], "caged.py")]
        environment["PYTHONPATH"] = str(source)
    kept, passed = os.pipe()
    done = subprocess.run(
        command,
        input=json.dumps(job),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        pass_fds=[passed],
    )
    os.close(kept)
    os.close(passed)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def probing(around, *, by, **more):
    python = str(SYSTEM_PYTHON) if by == "stranger" else sys.executable
    inside = around | {"input": "/in/model", "victim": 1}
    job = {
        "command": [python, "/in/probes"],
        "inputs": {"model": f"{around['folder']}/model", "probes": f"{around['folder']}/probes.py"},
        "environment": {"PROBES": json.dumps(inside), "PATH": "/usr/bin:/bin"},
    }
    return caged(around, job | more, by=by)


def can_pass_as_stranger():
    if os.getuid() != 0 or not SYSTEM_PYTHON.exists():
        return False
    asked = [SYSTEM_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(asked, check=False).returncode == 0


PASSES = {
    "root": {"by": "root"},
    "root-with-ports": {"by": "root", "port": 8000, "hosts": ["example.com:443"]},
    "stranger": {"by": "stranger"},
}


@pytest.fixture(scope="module", params=PASSES)
def inside(around, request):
    if request.param == "stranger" and not can_pass_as_stranger():
        pytest.skip(ELSEWHERE)
    found = probing(around, **PASSES[request.param])
    assert found["code"] == 0, found
    return json.loads(found["said"].splitlines()[-1])


@pytest.mark.parametrize("name", probes.ATTEMPTS)
def test_an_attempt_succeeds_outside(outside, name):
    assert outside[name] == "done"


@pytest.mark.parametrize("name", probes.ATTEMPTS)
def test_an_attempt_is_stopped_inside(inside, name):
    assert inside[name].startswith("stopped")


def test_what_was_attempted_left_nothing_on_the_host(around, inside):
    (left,) = Path(around["folder"], "model").iterdir()

    assert left.read_bytes() == b"weights"


@pytest.mark.parametrize("by", ["root", "stranger"])
def test_programs_that_lie_where_the_disk_is_are_seen_and_cannot_be_written(around, by):
    if by == "stranger" and not can_pass_as_stranger():
        pytest.skip(ELSEWHERE)
    caged(around, {"command": ["/bin/true"]}, by="stranger" if can_pass_as_stranger() else "root")
    source = Path(around["programs"], "lockgate") if by == "stranger" else Path(lockgate.__file__).parent
    code = f"""
print(open('{source}/__init__.py').read()[:3], flush=True)
try: open('{source}/new', 'w')
except OSError as e: print(e.strerror, flush=True)
"""
    found = caged(around, {"command": [str(SYSTEM_PYTHON), "-c", code]}, by=by)

    assert found["said"].split("\n")[:2] in (['"""', "Read-only file system"], ['"""', "Permission denied"])
