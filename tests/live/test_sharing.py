"""Is it seen from outside what the programs of two releases share, and nothing else? With real programs."""

import os
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from lockgate.agent.looking import look
from lockgate.core.sharing import shared
from lockgate.formats.names import Name
from lockgate.loader.control import Access
from tests.agent.runs import CANDIDATE, STABLE, Silent, run
from tests.world import NOW

pytestmark = pytest.mark.live

# A run starts `pid_one`, which starts the model server, which starts the program that holds something.
HOLDS = """
import ctypes, mmap, os, socket, subprocess, sys
kind, where = sys.argv[1:3]
if kind.isdecimal():
    below = str(int(kind) - 1) if kind != "1" else sys.argv[3]
    sys.exit(subprocess.call([sys.executable, "-c", os.environ["HOLDS"], below, where, sys.argv[3]]))
if kind == "write": held = open(where, "a")
if kind == "read": held = open(where)
if kind == "same-name": held = os.open(where + "/cache", os.O_RDWR | os.O_CREAT)
if kind == "own-memory": held = os.memfd_create("cache")
if kind == "fifo": held = os.open(where, os.O_RDWR)
if kind == "map":
    file = os.open(where, os.O_RDWR)
    held = mmap.mmap(file, 4096); os.close(file)
if kind == "tcp": host, port = where.split(":"); held = socket.create_connection((host, int(port)))
if kind == "unix": held = socket.socket(socket.AF_UNIX); held.connect(where)
if kind == "listen":
    held = socket.create_server(("127.0.0.1", int(where)), reuse_port=True); held.accept
print("held", flush=True)
sys.stdin.read()
"""


class Programs:
    def __init__(self):
        self.all = []

    def start(self, kind, where):
        command = [sys.executable, "-c", HOLDS, "3", str(where), kind]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        program = subprocess.Popen(command, env={"HOLDS": HOLDS}, text=True, **pipes)
        self.all.append(program)
        assert program.stdout.readline() == "held\n"
        return Silent(program.pid)

    def end(self):
        for program in self.all:
            program.communicate()


@pytest.fixture
def programs():
    programs = Programs()
    yield programs
    programs.end()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory() as folder:  # short: the name of a socket is
        yield folder


def held_by(programs, mine, theirs):
    runs = [run(STABLE), run(CANDIDATE)]
    for each, (kind, where) in zip(runs, (mine, theirs), strict=True):
        each.channel = programs.start(kind, where)
    return runs


def found(runs):
    return [(one.medium, one.name) for one in shared(look(each) for each in runs)]


@pytest.mark.parametrize("kinds", [("write", "write"), ("write", "read"), ("map", "read"), ("map", "map")])
def test_a_file_that_one_of_them_writes_is_seen(programs, folder, kinds):
    path = f"{folder}/cache"
    Path(path).write_bytes(bytes(4096))

    assert found(held_by(programs, *((kind, path) for kind in kinds))) == [("file", path)]


def test_a_pipe_with_a_name_is_seen(programs, folder):
    os.mkfifo(f"{folder}/pipe")

    assert found(held_by(programs, ("fifo", f"{folder}/pipe"), ("fifo", f"{folder}/pipe"))) == [
        ("file", f"{folder}/pipe")
    ]


def test_a_connection_to_the_same_server_is_seen_and_not_when_it_was_granted(programs):
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
        runs = held_by(programs, ("tcp", where), ("tcp", where))
        assert found(runs) == [("connection", where)]

        means = {"host": "localhost", "port": server.getsockname()[1]}
        runs[0].told[Name("memory")] = Access(Name("memory"), "redis", "l", NOW + timedelta(hours=1), means)
        assert not found(runs)


@pytest.mark.parametrize(("port", "granted"), [("5432", True), ("5433", False)])
def test_a_connection_to_the_same_socket_is_seen_and_not_when_it_was_granted(programs, folder, port, granted):
    path = f"{folder}/.s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        runs = held_by(programs, ("unix", path), ("unix", path))
        accepted = [server.accept() for _ in runs]
        assert found(runs) == [("connection", f"unix:{path}")]

        means = {"host": folder, "port": port}
        access = Access(Name("memory"), "postgres", "l", NOW + timedelta(hours=1), means)
        runs[0].told[Name("memory")] = access
        assert bool(found(runs)) is not granted
        for line, _ in accepted:
            line.close()


@pytest.mark.parametrize("kind", ["read", "own-memory"])
def test_what_nobody_writes_or_each_has_for_itself_is_nothing(programs, kind):
    assert not found(held_by(programs, (kind, __file__), (kind, __file__)))


def test_a_file_of_the_same_name_elsewhere_is_another(programs, folder):
    with tempfile.TemporaryDirectory() as other:
        assert not found(held_by(programs, ("same-name", folder), ("same-name", other)))


def test_one_caller_may_talk_to_both(programs):
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as server:
            ports.append(server.getsockname()[1])
    runs = held_by(programs, *(("listen", port) for port in ports))
    lines = [socket.create_connection(("127.0.0.1", port)) for port in ports]

    assert not found(runs)
    for line in lines:
        line.close()


def test_a_run_that_has_ended_shares_nothing(programs, folder):
    runs = held_by(programs, ("write", f"{folder}/cache"), ("write", f"{folder}/cache"))
    programs.end()

    assert not found(runs)
