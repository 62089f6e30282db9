"""How soon is a whole release back, and does anybody ever see half of one?

A rollback is *warm* when the release to go back to still runs on its host, verified and leased, and has no traffic:
so it is until a rollout is promoted. Then the act only moves traffic. Everything is real: server, PostgreSQL,
agent, Envoy, two runs, and the signed act over HTTP. Each round has a change of its own, approved, and a candidate
that is started anew.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

import tests.world
from lockgate.core.endpoint import State
from lockgate.core.strategy import Pause, SetWeight
from lockgate.core.traffic import RELEASE_HEADER
from lockgate.drivers.envoy import open_gateway
from tests.calling import CANDIDATE, STABLE, free_address, split
from tests.contracts.cluster import Cluster
from tests.live.drill import short_leases, wait_until
from tests.live.gated import GatedStage
from tests.live.serving import speak
from tests.rolling import open_rollout, step
from tests.traffic import ERRORS, judged_by
from tests.upstream import Upstream
from tests.world import PROD

ROUNDS = int(os.environ.get("LOCKGATE_BENCH_ROLLBACKS", "100"))
INTERACTIONS, SWITCHES = 100_000, 200
IN_A_ROW, PATIENCE, MILLI = 30, 90, 1000
STRATEGY = judged_by(ERRORS, steps=(SetWeight(100), Pause(3000)))
COMMAND = "python -m bench rollback"


@dataclass
class Watching(threading.Thread):
    """One caller through the gateway, as fast as it is answered: when sent, when answered, by whom, how."""

    stage: GatedStage
    answers: list[tuple[float, float, str, int]] = field(default_factory=list)
    ended: bool = False

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        """Call."""
        line = self._line()
        while not self.ended:
            sent = time.monotonic()
            try:
                line.request("GET", f"/{PROD}/x")
                answer = line.getresponse()
                answer.read()
                release, status = answer.getheader(RELEASE_HEADER) or "", answer.status
            except (OSError, HTTPException):
                line, release, status = self._line(), "", 0
            self.answers.append((sent, time.monotonic(), release, status))
            time.sleep(0.002)

    def is_all(self, release: str) -> bool:
        """Ask whether the last so many answers are good ones of one release."""
        last = self.answers[-IN_A_ROW:]
        return len(last) == IN_A_ROW and all(by == release and status == 200 for _, _, by, status in last)

    def _line(self) -> HTTPConnection:
        return HTTPConnection(self.stage.address.host, self.stage.address.port, timeout=5)


def rows() -> list[dict[str, object]]:
    """Measure: three rows."""
    return [*_mixing(), *_going_back()]


def _mixing() -> list[dict[str, object]]:
    listen, switches = free_address(), 0
    parts = {str(release): f"{name}-weights+{name}-config+{name}-adapter" for release, name in
             ((STABLE, "stable"), (CANDIDATE, "candidate"))}  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as home,
        Upstream(parts[str(STABLE)]) as stable,
        Upstream(parts[str(CANDIDATE)]) as candidate,
    ):
        gateway = open_gateway(Path(home), listen=listen, seconds=60)
        try:
            gateway.show([split(stable, candidate, 50)], fence=1)
            asked = [sys.executable, "-m", "bench.pairs", str(listen.port), "/x", str(INTERACTIONS)]
            asked += [f"{release}={name}" for release, name in parts.items()]
            with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as callers:
                while callers.poll() is None:
                    switches += 1
                    gateway.show([split(stable, candidate, (100, 50, 0, 50)[switches % 4])], fence=switches + 1)
                    time.sleep(0.1)
                assert callers.stdout is not None
                whole, mixed, *each = map(int, callers.stdout.read().split())
        finally:
            gateway.close()
    what = f"interactions of two requests, {switches} switches: answers of mixed releases"
    figure = f"{mixed} of {whole + mixed:,} ({' and '.join(f'{n:,}' for n in each)} by each release)"
    ok = mixed == 0 and switches >= SWITCHES and whole >= INTERACTIONS and min(each) > 0
    return [_said(what, figure, f"0 of 100,000, {SWITCHES} switches", ok=ok)]


def _going_back() -> list[dict[str, object]]:
    with _stage() as stage:
        stage.agent()
        stage.run("--follow")
        release = stage.world.register("1.1.0", serve=stage.release.manifest.serve)
        stage.world.attest(release)
        watching = Watching(stage)
        watching.start()
        took = [_round(stage, watching, release) for _ in range(ROUNDS)]
        watching.ended = True
    stale, lost = [one for one, _ in took], sum(lost for _, lost in took)
    high = statistics.quantiles(stale, n=100, method="inclusive")[98]
    figure = f"median {statistics.median(stale):.0f} ms, p99 {high:.0f} ms, most {max(stale):.0f} ms"
    what = f"{ROUNDS} warm rollbacks of a whole release: act sent → last answer that was not the former release's"
    return [
        _said(what, figure, "p99 at most 1000 ms", ok=high <= 1000),
        _said(
            "the same: requests under way that were cut or refused", f"{lost} of {len(watching.answers):,}", "", ok=True
        ),
    ]


def _round(stage: GatedStage, watching: Watching, release: Any) -> tuple[float, int]:
    """Roll out to 100 %, go back; return for how many milliseconds something else answered, and what was lost."""
    world = stage.world
    world.now = datetime.now(UTC)
    number = open_rollout(world, release, STRATEGY)
    world.approve(number)
    world.activate(number)
    candidate = stage.program("run", "--home", stage.home, "--endpoint", PROD, "--port", "0", "--candidate")
    step(world, -1)
    _wait(lambda: watching.is_all(str(release.digest)))
    state: State = world.endpoint()
    assert state.stable is not None
    connection = speak(stage.port, "dave")
    connection.open_session()
    first, former = len(watching.answers), str(state.stable.release)
    intent = connection.intend("rollout.abort", PROD, before=state.stable.release, after=release.digest)
    began = time.monotonic()
    connection.act(f"/api/v1/endpoints/{PROD}/rollout/abort", intent)
    _wait(lambda: watching.is_all(former))
    assert candidate.wait(PATIENCE) == 10
    others = [one for one in watching.answers[first:] if one[1] > began and (one[2], one[3]) != (former, 200)]
    last = max((ended for _, ended, _, _ in others), default=began)
    return MILLI * (last - began), sum(status != 200 for *_, status in others)


@contextmanager
def _stage() -> Iterator[GatedStage]:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        short_leases(patch, 12)
        cluster = Cluster(Path(place) / "postgres")
        try:
            stage = GatedStage(Path(place), cluster.database()[1])
            stage.serve()
            yield stage
            stage.end()
        finally:
            cluster.remove()


def _wait(happened: Callable[[], bool]) -> None:
    wait_until(happened, PATIENCE)


def _said(what: str, figure: str, must: str, *, ok: bool) -> dict[str, object]:
    return {"what": what, "figure": figure, "must": must, "ok": ok if must else None, "command": COMMAND}
