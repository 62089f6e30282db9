"""How does a test run a program that enters namespaces, under each kind of user?

Entering a namespace moves the whole program, so each test runs its own: it is what `lockgate run` would be.
"""

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

import lockgate

SOURCES = Path(lockgate.__file__).parents[1]

PRELUDE = """
import ctypes, json, os, signal, sys, time
from pathlib import Path
from lockgate.errors import UnavailableError
from lockgate.loader import linux
from lockgate.loader.walls import Walls
from lockgate.loader.namespace import enter_private_mounts
from lockgate.loader.supervise import Child, forwarding

OUT = Path(sys.argv[1])

def tell(**facts):
    print(json.dumps(facts), flush=True)

def mounts():
    try:
        return enter_private_mounts()
    except UnavailableError as e:
        tell(refused=str(e))
        raise SystemExit

def room_with_a_file(mounts):
    room = mounts.room(1 << 20)
    (room.path / "model.bin").write_bytes(b"signed")
    room.seal()
    return room
"""

AS_ROOT = "as root"
ROOT_WITHOUT_ADMIN = "as root without CAP_SYS_ADMIN"
AS_USER = "as another user"


def runnable_by_others() -> str:
    """Find a Python that another user may start: ours may lie in a home directory."""
    for python in (sys.executable, "/usr/bin/python3"):
        ask = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            subprocess.run(ask, user=65534, group=65534, extra_groups=[], check=True, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python 3.11 that another user may start")


def start(code: str, who: str, out: Path) -> subprocess.Popen[str]:
    python: str = sys.executable
    user: dict = {}
    if who == AS_USER and os.geteuid() == 0:
        python, user = runnable_by_others(), {"user": 65534, "group": 65534, "extra_groups": []}
    lines = PRELUDE
    if who == ROOT_WITHOUT_ADMIN:
        lines += "effective, permitted, inheritable = linux.capabilities()\n"
        lines += "linux.set_capabilities(effective & ~(1 << 21), permitted & ~(1 << 21), inheritable)\n"
    env = {"PYTHONPATH": f"{SOURCES}:{sysconfig.get_path('purelib')}", "PATH": os.environ["PATH"], "TMPDIR": str(out)}
    command = [python, "-B", "-c", lines + textwrap.dedent(code), str(out)]
    return subprocess.Popen(command, env=env, cwd="/", stdout=subprocess.PIPE, text=True, **user)


def inside(code: str, who: str, out: Path) -> dict:
    with start(code, who, out) as program:
        told, _ = program.communicate(timeout=60)
    assert program.returncode == 0, told
    facts = {name: fact for line in told.splitlines() for name, fact in json.loads(line).items()}
    if "refused" in facts:
        pytest.skip(facts["refused"])
    return facts
