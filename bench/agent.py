"""What does the agent of a host cost, with 200 endpoints on leases of 30 seconds?

A real agent, a real server over HTTP, and 200 runs that hold a connection to the agent as `lockgate run` does; the runs
start no model server. The agent's CPU is read from /proc over three renewals, its start not counted.
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

import tests.world
from lockgate.core.endpoint import Activated
from lockgate.core.journal import endpoint_subject
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag
from lockgate.loader.control import SOCKET, TakeBack, call, encode
from tests.live.company import Company, serving
from tests.world import World

ENDPOINTS = 200
SECONDS = 30
MOST = 5.0  # per cent of a core
RELEASE, TAG = Digest.of(b"a release"), Tag.parse("magika@1.0.0")
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
        epochs = _activate(company.world, endpoints)
        home = company.home(leaving.enter_context(serving(company.world)))
        command = [sys.executable, "-m", "lockgate", "agent", "--home", str(home)]
        agent = leaving.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        leaving.callback(agent.kill)
        while not (home / SOCKET).exists():
            time.sleep(0.05)
        percent, renewals = _measure(agent.pid, home, epochs, leaving)
    figure = f"{percent:.2f} % of a core, {renewals} renewals of each"
    what = f"agent with {ENDPOINTS} endpoints on leases of {SECONDS} s: CPU"
    ok = percent <= MOST and renewals >= 3
    return [{"what": what, "figure": figure, "must": f"at most {MOST:g} %", "ok": ok, "command": COMMAND}]


def _activate(world: World, endpoints: list[Endpoint]) -> dict[Endpoint, int]:
    """Write into the log that every endpoint serves; return at which entry."""
    epochs = {}
    for endpoint in endpoints:
        with world.installation.ledger.transaction() as tx:
            tx.load(endpoint_subject(endpoint))
            event = Activated(endpoint, TAG, RELEASE, None, 1, RELEASE)
            receipt = tx.append([event], actor="dave", key=Digest.of(str(endpoint).encode()), at=world.now)
            epochs[endpoint] = receipt.first
    return epochs


def _measure(pid: int, home: Path, epochs: dict[Endpoint, int], leaving: ExitStack) -> tuple[float, int]:
    """Let every run take itself back; return the agent's CPU in per cent, and how often each got a lease."""
    waiting = selectors.DefaultSelector()
    got: dict[socket.socket, int] = {}
    for endpoint, epoch in epochs.items():
        door = leaving.enter_context(call(home, 30))
        door.sendall(encode(TakeBack(endpoint, RELEASE, TAG, epoch, SECONDS, 0, datetime.now(UTC))))
        waiting.register(door, selectors.EVENT_READ)
        got[door] = 0
    _listen(waiting, got, lambda: min(got.values()) > 0)
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
