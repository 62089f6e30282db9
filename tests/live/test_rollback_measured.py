"""How long does a rollback take, from the act to the former release at the gateway of every host, and who says so?"""

import json
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException

import pytest

from lockgate.core.journal import read_fact
from lockgate.core.release import Serve
from lockgate.core.restoration import Restored
from lockgate.core.traffic import Address
from tests.calling import call
from tests.live import drill
from tests.live import gated as gated_stage
from tests.live.drill import Stage, wait_until
from tests.live.gated import TALKS, staged
from tests.live.serving import free_port
from tests.world import PROD, key

pytestmark = pytest.mark.slow
cluster, gated_theatre, gated = drill.cluster, gated_stage.gated_theatre, gated_stage.gated
PATIENCE = 120


def command(stage, *words):
    """Give a command as dave; return the code and what it said."""
    path = stage.folder / "dave.pem"
    path.write_bytes(key("dave").pem)
    speaker = ["--server", f"http://127.0.0.1:{stage.port}", "--as", "dave", "--key", str(path), "--json"]
    line = [sys.executable, "-m", "lockgate", *words, *speaker]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_a_rollback_is_seen_at_the_gateway_and_its_time_is_in_the_log(gated):
    world = gated.world
    world.now = datetime.now(UTC)
    serve = Serve(("{python}", "-c", TALKS, "latest", "{file:weights/model.onnx}", "{port}"), {})
    former = world.endpoint().stable
    latest = world.serve("1.1.0", serve=serve)
    gated.agent()
    run = gated.run("--follow")
    wait_until(lambda: gated.caller.release == str(latest.digest), PATIENCE, run)

    code, told = command(gated, "rollback", str(PROD), "--wait")
    assert gated.caller.release == str(former.release), "it said so, and it was not so"
    assert code == 0 and told["release"] == str(former.release)
    assert 0 < told["restoration"]["milliseconds"] < 60_000 == told["restoration"]["window_seconds"] * 1000
    (done,) = [
        event
        for _, event in map(read_fact, world.memory.entries(0, world.memory.size()))
        if isinstance(event, Restored)
    ]
    assert (done.rollback, done.milliseconds) == (told["entry"], told["restoration"]["milliseconds"])
    assert [str(node) for node in done.nodes] == ["host-1"]


class Bare(Stage):
    """A stage whose host has no gateway: it serves as long as its model server answers at its port."""

    def __init__(self, folder, conninfo):
        self.model = Address("127.0.0.1", free_port())
        super().__init__(folder, conninfo, program=TALKS)

    def is_serving(self):
        return self.answered() is not None

    def answered(self):
        with suppress(OSError, HTTPException):
            return call(self.model, "/")[2].split()[0]
        return None


@pytest.fixture
def bare(cluster, tmp_path_factory):
    yield from staged(cluster, tmp_path_factory, Bare)


@pytest.mark.parametrize("agent", [True, False], ids=["agent", "alone"])
def test_a_rollback_is_seen_on_a_host_without_a_gateway(bare, agent):
    world = bare.world
    world.now = datetime.now(UTC)
    bare.serve()
    former, version = world.endpoint().stable, f"1.{1 + agent}.0"
    world.serve(version, serve=Serve(("{python}", "-c", TALKS, version, "{file:weights/model.onnx}", "{port}"), {}))
    if agent:
        bare.agent()
    run = bare.program("run", "--home", bare.home, "--endpoint", PROD, "--port", str(bare.model.port), "--follow")
    wait_until(lambda: bare.answered() == version, PATIENCE, run)
    wait_until(lambda: [one for one in bare.log.voices(PROD) if any(it.ready for it in one.runs)], PATIENCE, run)

    code, told = command(bare, "rollback", str(PROD), "--wait")
    assert bare.answered() == str(bare.folder / "beats"), "it said so, and it was not so"
    assert code == 0 and told["release"] == str(former.release)
    assert 0 < told["restoration"]["milliseconds"] < 60_000 == told["restoration"]["window_seconds"] * 1000
