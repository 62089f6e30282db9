"""What does the agent of a host cost, with 200 endpoints on leases of 30 seconds?

A real agent, a real server over HTTP, and 200 runs that hold a connection to the agent as `lockgate run` does; the runs
start no model server, but each brings a passport that the agent judges. Its CPU is read from /proc over three renewals,
and its start not counted.
"""

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tests.world
from lockgate.app.issue_passport import passport_for
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.formats.names import Endpoint
from lockgate.loader.control import SOCKET, TakeBack, call, encode
from tests.live.company import Company, serving
from tests.world import World

ENDPOINTS = 200
SECONDS = 30
MOST = 5.0  # per cent of a core
COMMAND = "python -m bench agent"


def rows() -> list[dict[str, object]]:
    """Measure; one row."""
    tests.world.NOW = datetime.now(UTC).replace(microsecond=0)
    endpoints = [Endpoint.parse(f"prod/endpoint-{number}") for number in range(ENDPOINTS)]
    usual = tests.world.policy()
    ruled = replace(usual, endpoints={str(endpoint): tests.world.rules() for endpoint in endpoints})
    tests.world.policy = lambda _environment="prod": ruled
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder, ExitStack() as leaving:
        company = Company(Path(folder))
        runs = _activate(company.world, endpoints)
        home = company.home(leaving.enter_context(serving(company.world)))
        command = [sys.executable, "-m", "lockgate", "agent", "--home", str(home)]
        agent = leaving.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        leaving.callback(agent.kill)
        while not (home / SOCKET).exists():
            time.sleep(0.05)
        percent, renewals = _measure(agent.pid, home, runs, leaving)
    figure = f"{percent:.2f} % of a core, {renewals} renewals of each"
    what = f"agent with {ENDPOINTS} endpoints on leases of {SECONDS} s: CPU"
    ok = percent <= MOST and renewals >= 3
    return [{"what": what, "figure": figure, "must": f"at most {MOST:g} %", "ok": ok, "command": COMMAND}]


def _activate(world: World, endpoints: list[Endpoint]) -> list[TakeBack]:
    """Bring one release to every endpoint; return what a run there says to an agent."""
    release = world.register()
    world.attest(release)
    with pytest.MonkeyPatch.context() as patch:
        for endpoint in endpoints:
            patch.setattr(tests.world, "PROD", endpoint)
            world.approve(number := world.open(release))
            world.activate(number)
    tag, now = release.manifest.tag, datetime.now(UTC)
    found = []
    for endpoint in endpoints:
        state = world.memory.find(endpoint_subject(endpoint))
        assert isinstance(state, State)
        passport = passport_for(world.installation, endpoint)
        found.append(TakeBack(endpoint, release.digest, tag, state.epoch, SECONDS, 0, now, passport, now))
    return found


def _measure(pid: int, home: Path, runs: list[TakeBack], leaving: ExitStack) -> tuple[float, int]:
    """Let every run take itself back; return the agent's CPU in per cent, and how often each got a lease."""
    waiting = selectors.DefaultSelector()
    got: dict[socket.socket, int] = {}
    for run in runs:
        door = leaving.enter_context(call(home, 30))
        door.sendall(encode(run))
        waiting.register(door, selectors.EVENT_READ)
        got[door] = 0
    _listen(waiting, got, lambda: min(got.values()) > 1)  # by then all were judged
    before, began = _cpu(pid), time.monotonic()
    got = dict.fromkeys(got, 0)
    _listen(waiting, got, lambda: time.monotonic() - began > SECONDS + 2)
    return 100 * (_cpu(pid) - before) / (time.monotonic() - began), min(got.values())


def _listen(waiting: selectors.BaseSelector, got: dict[socket.socket, int], done) -> None:
    while not done():
        for ready, _ in waiting.select(0.2):
            door = ready.fileobj
            assert isinstance(door, socket.socket)
            got[door] += door.recv(1 << 16).count(b"leased/v1")


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
