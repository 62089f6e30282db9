"""Does a release that was replaced finish what it began, and nothing else, and do callers stay with one release?"""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lockgate.core.release import Serve
from lockgate.core.strategy import Pause, SetWeight
from tests.calling import call
from tests.core.strategies import STICKY
from tests.live import drill
from tests.live import gated as gated_stage
from tests.live.drill import SLACK, wait_until
from tests.live.gated import TALKS, staged, wait_for_end
from tests.live.test_direct_order import resume
from tests.live.test_routing import shut_down
from tests.rolling import begin as begin_rollout
from tests.rolling import order, rollout, step
from tests.world import PROD

pytestmark = pytest.mark.slow
cluster, gated = drill.cluster, gated_stage.gated

PATIENCE = 60
LEASE = 20  # seconds
PATH = "/prod/magika/score"
STEPS = (SetWeight(20), Pause(300), SetWeight(50), Pause(), SetWeight(100), Pause(60))
TRIED = replace(STICKY, steps=STEPS)


@pytest.fixture(scope="module")
def gated_theatre(cluster, tmp_path_factory):
    yield from staged(cluster, tmp_path_factory, seconds=LEASE)


def candidate(stage, version):
    """Let a candidate begin, and run it beside the stable release; return its digest."""
    command = ("{python}", "-c", TALKS, str(stage.folder / version), "{file:weights/model.onnx}", "{port}")
    stage.world.now = datetime.now(UTC)
    begin_rollout(stage.world, version, TRIED, serve=Serve(command, {}))
    stage.program("run", "--home", stage.home, "--endpoint", PROD, "--port", "0", "--candidate")
    found = rollout(stage.world).candidate.release
    wait_until(lambda: answered(stage, x_release=str(found)) == str(found), PATIENCE)
    return found


def answered(stage, **headers):
    return call(stage.address, PATH, **headers)[1]


def weigh(stage, at_least):
    """Go on by hand until the candidate has so much; return when its gateway knows."""
    while rollout(stage.world).weight < at_least:
        stage.world.now = datetime.now(UTC)
        step(stage.world, rollout(stage.world).step)
    weight = rollout(stage.world).weight
    wait_until(lambda: f'"weight":{weight}' in stage.status().replace(" ", ""), PATIENCE)


def test_a_promotion_cuts_nothing_and_gives_the_former_release_nothing_new(gated):
    with gated.cast():
        former = gated.release.digest
        stream = gated.stream()  # before a candidate has a share, which a controller may give it at once
        new = candidate(gated, "1.1.0")
        gated.world.now = datetime.now(UTC)
        order(gated.world, "promote")
        promoted_at = time.monotonic()
        wait_until(lambda: call(gated.address, PATH, x_release=str(former))[0] == 404, PATIENCE)

        assert {answered(gated) for _ in range(20)} == {str(new)}
        seen = time.monotonic()
        wait_until(lambda: stream.newest > seen, PATIENCE)
        assert stream.ended_at is None
        wait_for_end(stream, LEASE + PATIENCE)
        assert stream.newest - promoted_at < LEASE + SLACK
        assert {answered(gated) for _ in range(20)} == {str(new)}


def test_a_shutdown_cuts_what_is_finishing_at_once(gated):
    with gated.cast():
        former = gated.world.endpoint().stable.release
        stream = gated.stream()
        candidate(gated, "1.2.0")
        gated.world.now = datetime.now(UTC)
        order(gated.world, "promote")
        promoted_at = time.monotonic()
        wait_until(lambda: call(gated.address, PATH, x_release=str(former))[0] == 404, PATIENCE)
        assert stream.ended_at is None

        shut_down(gated)
        wait_for_end(stream)
        assert stream.ended_at - promoted_at < LEASE * 0.6, "its lease was not over yet"
    gated.world.now = datetime.now(UTC)
    resume(gated)


def test_callers_stay_with_a_release_and_go_over_only_once(gated):
    with gated.cast():
        new = str(candidate(gated, "1.3.0"))
        chosen = []
        for weight in (20, 50):
            weigh(gated, weight)
            answers = [{answered(gated, x_user=f"user {n}") for _ in range(3)} for n in range(60)]
            assert all(len(each) == 1 for each in answers)
            chosen.append({n for n, each in enumerate(answers) if each == {new}})

        assert set() < chosen[0] < chosen[1] < set(range(60))
