"""How soon does the gateway obey, what does it lose, and what does it cost?

A real Envoy between callers at a steady rate and two model servers, each in a process of its own. While they call, all
traffic goes over from one release to the other and back. Then streams are cut, and one caller asks with and without it.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.core.traffic import Address
from lockgate.drivers.envoy import EnvoyGateway, open_gateway
from tests.calling import CANDIDATE, ENDPOINT, STABLE, Stream, free_address, split, until
from tests.upstream import Upstream

SWITCHES, RATE, PAUSE = 300, 1000, 0.1
CUTS, STREAMS = 15, 20
TURNS, ASKED = 20, 200
COMMAND = "python -m bench gateway"
MILLI = 1000


@dataclass
class Stage:
    """The gateway, and what stands behind it."""

    gateway: EnvoyGateway
    listen: Address
    stable: Upstream
    candidate: Upstream
    fence: int = 0

    def give(self, weight: int, **more: object) -> float:
        """Give the candidate this weight; return when that was decided."""
        self.fence += 1
        decided = time.monotonic()
        self.gateway.show([split(self.stable, self.candidate, weight, **more)], fence=self.fence)
        return decided


def rows() -> list[dict[str, object]]:
    """Measure; eight rows."""
    with _stage() as stage:
        return [*_switching(stage), *_cutting(stage), *_asking(stage)]


@contextmanager
def _stage() -> Iterator[Stage]:
    listen = free_address()
    with tempfile.TemporaryDirectory() as home, Upstream("stable") as stable, Upstream("candidate") as candidate:
        gateway = open_gateway(Path(home), listen=listen, seconds=60)
        try:
            yield Stage(gateway, listen, stable, candidate)
        finally:
            gateway.close()


def _switching(stage: Stage) -> list[dict[str, object]]:
    stage.give(0)
    seconds = int(SWITCHES * PAUSE) + 5
    asked = [sys.executable, "-m", "bench.open_loop", str(stage.listen.port), "/prod/magika/x", str(RATE), str(seconds)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()
        time.sleep(1)
        switches, acked = [], []
        for number in range(SWITCHES):
            weight = 100 if number % 2 == 0 else 0
            decided = stage.give(weight)
            switches.append((decided, str(CANDIDATE if weight else STABLE)))
            acked.append(MILLI * (time.monotonic() - decided))
            time.sleep(max(0.0, decided + PAUSE - time.monotonic()))
        calls = [line.split() for line in load.stdout.read().splitlines()]
    answers = [(float(sent), float(ended), release) for sent, ended, release, status in calls if status == "200"]
    stale, first = _obeyed(switches, answers)
    lost = len(calls) - len(answers)
    per_second = len(calls) / seconds
    what = f"{SWITCHES} switches at {per_second:,.0f} requests/s"
    return [
        _row(f"{what}: decided → first answer that obeys", first, median=5, p99=50),
        _row(f"{what}: decided → last request that did not obey yet", stale, median=5, p99=50),
        _row(f"{what}: decided → acknowledged", acked),
        _said(f"{what}: requests lost", f"{lost} of {len(calls):,}", "0", ok=lost == 0),
    ]


def _obeyed(
    switches: list[tuple[float, str]], answers: list[tuple[float, float, str]]
) -> tuple[list[float], list[float]]:
    """Say for each switch when the last request was sent that got the old release, and when the new one first came."""
    stale, first = [], []
    for (decided, release), (later, _) in zip(switches, [*switches[1:], (switches[-1][0] + PAUSE, "")], strict=True):
        during = [each for each in answers if decided <= each[0] and each[1] < later]  # what ends later may obey that
        old = [sent for sent, _, by in during if by != release]
        stale.append(MILLI * (max(old, default=decided) - decided))
        first.append(MILLI * (min(ended for _, ended, by in answers if by == release and ended > decided) - decided))
    return stale, first


def _cutting(stage: Stage) -> list[dict[str, object]]:
    ended, newest = [], []
    for _ in range(CUTS):
        stage.give(0)
        streams = [Stream(stage.listen) for _ in range(STREAMS)]
        stage.fence += 1
        decided = time.monotonic()
        stage.gateway.cut(ENDPOINT, fence=stage.fence)
        for stream in streams:
            until(lambda stream=stream: stream.ended_at)
            ended.append(MILLI * (stream.ended_at - decided))
            newest.append(MILLI * max(0.0, stream.newest - decided))
    what = f"{CUTS} cuts of {STREAMS} streams"
    return [
        _row(f"{what}: decided → ended for the caller", ended, p99=100),
        _row(f"{what}: decided → the last token that came through was written", newest, p99=100),
    ]


def _asking(stage: Stage) -> list[dict[str, object]]:
    stage.give(0)
    what = "one caller, one connection: the gateway adds, p50"
    plain = _added(stage, what, "x-nobody")
    stage.give(0, stable=STABLE, sticky_by="x-user", rollout=1)
    before = stage.gateway.counts()
    sticky = _added(stage, f"{what}, where it judges users", "x-user")
    assert stage.gateway.counts() != before
    return [plain, sticky]


def _added(stage: Stage, what: str, header: str) -> dict[str, object]:
    direct, through = [], []
    for turn in range(TURNS):
        caller = f"{header}: user {turn}"
        direct += _ask(stage.stable.address, "/x", caller)
        through += _ask(stage.listen, "/prod/magika/x", caller)
    added = MILLI * (statistics.median(through) - statistics.median(direct))
    figure = f"{added:.2f} ms ({MILLI * statistics.median(direct):.2f} ms without it)"
    return _said(what, figure, "at most 0.3 ms", ok=added <= 0.3)


def _ask(address: Address, path: str, header: str) -> list[float]:
    request = f"POST {path} HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    took = []
    with socket.create_connection((address.host, address.port)) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(ASKED):
            began = time.perf_counter()
            caller.sendall(request)
            assert caller.recv(1 << 16).startswith(b"HTTP/1.1 200")
            took.append(time.perf_counter() - began)
    return took[ASKED // 10 :]


def _row(what: str, found: list[float], *, median: float | None = None, p99: float | None = None) -> dict[str, object]:
    middle, high = statistics.median(found), statistics.quantiles(found, n=100, method="inclusive")[98]
    figure = f"median {middle:.1f} ms, p99 {high:.1f} ms, most {max(found):.1f} ms"
    limits = [(middle, median, "median"), (high, p99, "p99")]
    must = ", ".join(f"{name} at most {most:g} ms" for _, most, name in limits if most is not None)
    return _said(what, figure, must, ok=all(most is None or value <= most for value, most, _ in limits))


def _said(what: str, figure: str, must: str, *, ok: bool) -> dict[str, object]:
    return {"what": what, "figure": figure, "must": must, "ok": ok if must else None, "command": COMMAND}
