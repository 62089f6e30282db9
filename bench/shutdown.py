"""How soon is a running stream cut, from a person's order to the last byte, on one node?

A real agent with its gateway, a real server over HTTP, and one endpoint for each cut. A model server in a process of
its own answers for all of them; the runs hold a connection to the agent as `lockgate run` does. For each endpoint
callers read tokens through the gateway, an order goes straight to the agent, and the clock runs until every caller has
read the end. Then the same with a thousand callers at once.
"""

import asyncio
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3

import tests.world
from lockgate.app.issue_passport import passport_for
from lockgate.core.endpoint import State
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.journal import endpoint_subject
from lockgate.core.order import Order, Receipt, open_receipt
from lockgate.core.traffic import Address
from lockgate.formats import plain
from lockgate.formats.names import Endpoint, Name
from lockgate.loader.agent_line import ask_standing
from lockgate.loader.control import SOCKET, Ended, TakeBack, call, encode
from tests.calling import Stream, free_address, until
from tests.calling import call as ask
from tests.live.company import Company, serving
from tests.upstream import Answering
from tests.world import World, key

CUTS, STREAMS, SECONDS = 120, 3, 300
CROWDS, CROWD = 8, 1000
COMMAND = "python -m bench shutdown"
MILLI = 1000
PATIENCE = 120


@dataclass(frozen=True)
class Host:
    """A host whose agent and gateway are up, and who its endpoints are."""

    gateway: Address
    control: Address
    world: World
    endpoints: list[Endpoint]


def rows() -> list[dict[str, object]]:
    """Measure; four rows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder, ExitStack() as leaving:
        host = _host(Path(folder), leaving)
        return [*_one_by_one(host, host.endpoints[:CUTS]), _crowds(host, host.endpoints[CUTS:])]


def _one_by_one(host: Host, endpoints: list[Endpoint]) -> list[dict[str, object]]:
    ended, newest, answered = [], [], []
    for number, endpoint in enumerate(endpoints):
        streams = [Stream(host.gateway, f"/{endpoint}/tokens") for _ in range(STREAMS)]
        ordered = time.monotonic()
        receipt = _order(host, endpoint, number)
        answered.append(MILLI * (time.monotonic() - ordered))
        assert receipt.gateway == "cut", receipt
        for stream in streams:
            until(lambda stream=stream: stream.ended_at)
        ended.append(MILLI * (max(stream.ended_at for stream in streams) - ordered))
        newest.append(MILLI * max(0.0, max(stream.newest for stream in streams) - ordered))
    what = f"{CUTS} direct orders, {STREAMS} running streams each, on a host with {len(host.endpoints)} endpoints"
    return [
        _row(f"{what}: ordered → the end of all of them for their callers", ended, p99=100),
        _row(f"{what}: ordered → the last token that came through was written", newest, p99=100),
        _row(f"{what}: ordered → receipt, on the disk", answered),
    ]


def _crowds(host: Host, endpoints: list[Endpoint]) -> dict[str, object]:
    ended = []
    for number, endpoint in enumerate(endpoints, CUTS):
        callers = [socket.create_connection((host.gateway.host, host.gateway.port)) for _ in range(CROWD)]
        for caller in callers:
            caller.sendall(f"GET /{endpoint}/words HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        for caller in callers:
            caller.settimeout(PATIENCE)
            assert (said := caller.recv(1 << 16)).startswith(b"HTTP/1.1 200"), said
        ordering = threading.Thread(target=_order, args=(host, endpoint, number))
        ordered = time.monotonic()
        ordering.start()
        ended.append(MILLI * (_all_ended(callers) - ordered))
        ordering.join()
    return _row(
        f"{CROWDS} direct orders, {CROWD:,} running streams each: ordered → the end of the last", ended, p99=500
    )


def _all_ended(callers: list[socket.socket]) -> float:
    """Read until each of them has come to its end; say when the last one had."""
    waiting = selectors.DefaultSelector()
    for caller in callers:
        waiting.register(caller, selectors.EVENT_READ)
    while waiting.get_map():
        for ready, _ in waiting.select():
            caller = ready.fileobj
            assert isinstance(caller, socket.socket)
            with suppress(ConnectionError):
                if caller.recv(1 << 16):
                    continue
            waiting.unregister(caller)
            caller.close()
    return time.monotonic()


def _host(folder: Path, leaving: ExitStack) -> Host:
    tests.world.NOW = datetime.now(UTC).replace(microsecond=0)
    endpoints = [Endpoint.parse(f"prod/endpoint-{number}") for number in range(CUTS + CROWDS)]
    rules = replace(tests.world.rules(), lease=replace(tests.world.rules().lease, seconds=SECONDS))
    ruled = replace(tests.world.policy(), endpoints={str(endpoint): rules for endpoint in endpoints})
    tests.world.policy = lambda _environment="prod": ruled
    company = Company(folder)
    ports = _model_servers(leaving)
    runs = _runs(company.world, endpoints, ports)
    home = company.home(leaving.enter_context(serving(company.world)))
    gateway, control = free_address(), free_address()
    with (home / "host.toml").open("a") as settings:
        settings.write(f'control = "{control}"\ngateway = "{gateway}"\n')
    command = [sys.executable, "-m", "lockgate.agent", str(home), "--insecure"]
    agent = leaving.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    leaving.callback(agent.kill)
    _until((home / SOCKET).exists)
    doors = [leaving.enter_context(call(home, PATIENCE)) for _ in runs]
    threading.Thread(target=_end_when_told, args=(doors,), daemon=True).start()
    for door, run in zip(doors, runs, strict=True):
        door.sendall(encode(run))
    _until(lambda: _routed(home) == CUTS + CROWDS)
    for endpoint in endpoints:
        _until(lambda endpoint=endpoint: ask(gateway, f"/{endpoint}/x")[0] == 200)
    return Host(gateway, control, company.world, endpoints)


def _end_when_told(doors: list[socket.socket]) -> None:
    """Say of every run that nothing is left of it as soon as it is told to stop; the streams go on."""
    waiting = selectors.DefaultSelector()
    for door in doors:
        waiting.register(door, selectors.EVENT_READ)
    with suppress(OSError):
        while True:
            for ready, _ in waiting.select():
                door = ready.fileobj
                assert isinstance(door, socket.socket)
                heard = door.recv(1 << 16)
                if not heard:
                    waiting.unregister(door)
                elif b"stop/v1" in heard:
                    door.sendall(encode(Ended(0, "told")))


def _model_servers(leaving: ExitStack) -> list[int]:
    """Start a process of ours that streams at as many ports as there are endpoints."""
    command = [sys.executable, "-m", "bench.shutdown", str(CUTS + CROWDS)]
    started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    leaving.enter_context(started)
    leaving.callback(started.kill)
    assert started.stdout is not None
    return [int(port) for port in started.stdout.readline().split()]


def _runs(world: World, endpoints: list[Endpoint], ports: list[int]) -> list[TakeBack]:
    """Bring one release to every endpoint; return what a run there says to an agent."""
    release = world.register()
    world.attest(release)
    with pytest.MonkeyPatch.context() as patch:
        for endpoint in endpoints:
            patch.setattr(tests.world, "PROD", endpoint)
            world.approve(number := world.open(release))
            world.activate(number)
    found = []
    for endpoint, port in zip(endpoints, ports, strict=True):
        state, now = world.memory.find(endpoint_subject(endpoint)), datetime.now(UTC)
        assert isinstance(state, State)
        passport = passport_for(world.installation, endpoint)
        whole = (endpoint, release.digest, release.manifest.tag, state.epoch, SECONDS, 0, now)
        found.append(TakeBack(*whole, passport, now, port=port))
    return found


def _routed(home: Path) -> int:
    gateway = ask_standing(home).gateway
    return len(gateway.routes) if gateway else 0


def _order(host: Host, endpoint: Endpoint, number: int) -> Receipt:
    ends = datetime.now(UTC) + timedelta(days=1)
    said = Intent("endpoint.suspend", str(endpoint), None, None, Name("olivia"), f"{number:032}", ends)
    order = Order(sign_intent(said, key("olivia")))
    answered = urllib3.PoolManager(retries=False).request(
        "POST", f"http://{host.control}/orders", body=plain.encode(order)
    )
    assert answered.status == 200, answered.data
    return open_receipt(answered.data, Name("host-1"), order, host.world.trust, datetime.now(UTC))


def _until(question: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not question():
        assert time.monotonic() < ends, "it never came true"
        time.sleep(0.2)


def _row(what: str, found: list[float], *, p99: float | None = None) -> dict[str, object]:
    middle, high = statistics.median(found), statistics.quantiles(found, n=100, method="inclusive")[98]
    figure = f"median {middle:.1f} ms, p99 {high:.1f} ms, most {max(found):.1f} ms"
    must = "" if p99 is None else f"p99 at most {p99:g} ms"
    return {"what": what, "figure": figure, "must": must, "ok": p99 is None or high <= p99, "command": COMMAND}


async def _stream_everywhere(many: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Answering, "127.0.0.1", 0, backlog=4096) for _ in range(many)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_stream_everywhere(int(sys.argv[1])))
