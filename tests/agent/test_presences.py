"""Does an agent say what runs on its host, neither more nor less?"""

import os
import socket
import subprocess
import sys

import pytest

from lockgate.agent.presences import Roll
from lockgate.core.presence import Run
from tests.agent.runs import CANDIDATE, STABLE, Silent, run

READY = Run(STABLE.endpoint, STABLE.release, STABLE.epoch, ready=True)
STARTING = Run(STABLE.endpoint, STABLE.release, STABLE.epoch, ready=False)


def judged(kind=STABLE, **changes):
    found = run(kind)
    found.edition, found.channel = 0, Silent(os.getpid())
    found.port = None  # which nobody else has
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_a_run_that_was_judged_and_answers_is_ready():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert Roll().call([judged(answers=False, port=server.getsockname()[1])]) == (READY,)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"answers": False, "port": None}, (STARTING,)),
        ({"edition": None}, (STARTING,)),
        ({"serving": False}, ()),
        ({"channel": Silent(1 << 30)}, ()),
    ],
    ids=["listens nowhere", "not judged by this agent", "not started", "its program is gone"],
)
def test_a_run_that_is_less_than_that_is_not(changes, found):
    assert Roll().call([judged(**changes)]) == found


def test_who_listens_at_the_port_of_a_run_must_be_a_program_of_it():
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = judged(answers=False, port=server.getsockname()[1], channel=Silent(program.pid))
        assert Roll().call([mine]) == (STARTING,)
    program.communicate()


def test_a_run_that_was_stopped_runs_until_it_has_ended():
    roll, stopped = Roll(), judged()
    assert roll.call([stopped]) == (READY,)

    assert roll.call([]) == (STARTING,), "it was told to stop, and takes its time"
    stopped.ended.set()
    assert roll.call([]) == ()


def test_two_runs_of_one_release_are_named_once_and_two_releases_each():
    found = Roll().call([judged(answers=False, port=None), judged(), judged(CANDIDATE)])

    assert found == (READY, Run(CANDIDATE.endpoint, CANDIDATE.release, CANDIDATE.epoch, ready=True))
