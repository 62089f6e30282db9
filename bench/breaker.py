"""How soon is everything shut when a rule of the policy does it? From the alert of a detector to the last receipt.

Everything is real: server, PostgreSQL, agent, Envoy, a run, the signed alert over HTTP, and the halt that the host
signs once its run is gone and nothing goes through its gateway. Each round is resumed by an approved change.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tests.world
from lockgate.cli import awaiting
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from tests.contracts.cluster import Cluster
from tests.guarded import CRITICAL
from tests.live.drill import short_leases
from tests.live.gated import GatedStage
from tests.live.serving import speak
from tests.world import PROD

ROUNDS, PATIENCE, MILLI = 15, 60, 1000
COMMAND = "python -m bench breaker"


def rows() -> list[dict[str, object]]:
    """Measure: one row."""
    with _stage() as stage:
        stage.agent()
        took = [_round(stage, number) for number in range(ROUNDS)]
    figure = f"median {statistics.median(took):.0f} ms, most {max(took):.0f} ms of {ROUNDS}"
    what = "a breaker: critical alert sent → the host's signed word that run and gateway are shut is heard"
    return [{"what": what, "figure": figure, "must": "at most 500 ms", "ok": max(took) <= 500, "command": COMMAND}]


def _round(stage: GatedStage, number: int) -> float:
    run = stage.run("--follow")
    guard, dave = speak(stage.port, "guard"), speak(stage.port, "dave")
    guard.open_session()
    dave.open_session()
    event: dict[str, Json] = {
        "specversion": "1.0", "id": f"bench-{number}", "source": "bench", "type": "alert/v1", "subject": str(PROD),
        "data": {"kind": "security", "severity": "critical"},
    }  # fmt: skip
    intent = guard.intend("alert.raise", PROD, after=Digest.of(canonical.encode(event)))
    began = time.monotonic()
    guard.act("/api/v1/alerts", intent, event=event)
    heard = awaiting.await_halts(PROD, began, dave)
    took = MILLI * (time.monotonic() - began)
    assert heard is not None and heard.halts and not heard.silent, "a host says nothing"
    run.kill()
    run.wait(PATIENCE)
    _resume(stage)
    return took


def _resume(stage: GatedStage) -> None:
    world = stage.world
    world.now = datetime.now(UTC)
    number = world.open(stage.release, resumes=True)
    world.approve(number)
    world.activate(number)


@contextmanager
def _stage() -> Iterator[GatedStage]:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        short_leases(patch, 12)
        guarded = replace(tests.world.rules(), breakers=(CRITICAL,))
        patch.setattr(tests.world, "rules", lambda: guarded)
        patch.setattr(awaiting, "_AGAIN_SECONDS", 0.02)
        cluster = Cluster(Path(place) / "postgres")
        try:
            stage = GatedStage(Path(place), cluster.database()[1])
            stage.serve()
            yield stage
            stage.end()
        finally:
            cluster.remove()
