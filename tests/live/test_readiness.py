"""When is a model server ready? When a program of its own run takes connections at the port that the run names."""

import os
import socket
import subprocess
import sys

import pytest

from lockgate.errors import UnavailableError
from lockgate.loader.attendance import answers
from lockgate.loader.readiness import check_ready
from tests.live.serving import free_port

LISTENS = """
import socket, sys
door = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(door.getsockname()[1], flush=True)
sys.stdin.read()
"""
BELOW = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.fixture
def started():
    """Start a program that listens, below as many others as are asked for; give its first ancestor, and the port."""
    programs = []

    def start(address="127.0.0.1", *, below=0, program=LISTENS, port=0):
        command = [program, address, str(port)]
        for _ in range(below):
            command = [BELOW, *command]
        program = subprocess.Popen([sys.executable, "-c", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        programs.append(program)
        return program.pid, int(program.stdout.readline())

    yield start
    for program in programs:
        program.communicate()


@pytest.mark.parametrize("below", [0, 2])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_program_of_the_run_that_takes_connections_is_ready(started, address, below):
    check_ready(*started(address, below=below))
    check_ready(os.getpid(), started(address)[1])


def test_another_program_at_that_port_is_not_the_runs(started):
    one, _ = started()
    _, port = started()
    with pytest.raises(UnavailableError, match="is no program of run"):
        check_ready(one, port)


SHARES = LISTENS.replace("(sys.argv[1], 0)", "(sys.argv[1], int(sys.argv[2]))").replace(
    "family=", "reuse_port=True, family="
)


def test_a_port_that_somebody_else_shares_is_not_the_runs_from_then_on(started):
    """SO_REUSEPORT: the kernel gives each of both a part of the connections."""
    mine, port = started(program=SHARES)
    check_ready(mine, port)
    assert answers(mine, port, before=True)

    started(program=SHARES, port=port)
    with pytest.raises(UnavailableError, match="is no program of run"):
        check_ready(mine, port)
    assert not answers(mine, port, before=True)


def test_workers_of_a_run_may_share_its_port(started):
    _, port = started(program=SHARES)
    started(program=SHARES, port=port, below=1)
    check_ready(os.getpid(), port)


def test_a_run_that_answered_and_listens_no_more_is_nobody_elses(started):
    mine, _ = started()
    assert answers(mine, free_port(), before=True) and not answers(mine, free_port(), before=False)


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_who_listens_elsewhere_is_not_ready(started, address):
    with pytest.raises(UnavailableError, match="nothing listens"):
        check_ready(*started(address))


def test_who_takes_no_connection_is_not_ready(started):
    with pytest.raises(UnavailableError, match="no connection is taken"):
        check_ready(*started("::"))  # which is IPv6 only, here


@pytest.mark.parametrize("port", [-1, 0, 1 << 16, 1 << 64])
def test_what_is_no_port_is_not_ready(port):
    with pytest.raises(UnavailableError, match="nothing listens"):
        check_ready(os.getpid(), port)


def test_a_port_at_which_nobody_listens_is_not_ready():
    with pytest.raises(UnavailableError, match="nothing listens"):
        check_ready(os.getpid(), free_port())


def test_a_port_that_is_only_bound_is_not_ready():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(UnavailableError, match="nothing listens"):
            check_ready(os.getpid(), bound.getsockname()[1])


def test_a_run_that_is_gone_is_not_ready(started):
    _, port = started()
    with pytest.raises(UnavailableError, match="is no program of run"):
        check_ready(1 << 22, port)
