"""Do the stable release and the candidate serve side by side on one host, and does each of them end for itself?"""

import json

import pytest

from lockgate.cli.severed_rows import held_rows
from lockgate.core.release import Serve
from tests.live import drill
from tests.live.drill import SECONDS, boot_now, wait_for_text, wait_until
from tests.live.serving import speak
from tests.rolling import open_rollout, order
from tests.world import PROD

pytestmark = pytest.mark.slow
cluster, stage = drill.cluster, drill.stage


class SharingStage(drill.Stage):
    """A stage on whose host nothing keeps two releases apart but a look."""

    def scratch(self):
        return 'scratch = "host"'


@pytest.fixture(scope="module")
def theatre(cluster, tmp_path_factory):
    yield from drill.played(SharingStage, cluster, tmp_path_factory)


def begin(stage, version, into=None):
    """Let a candidate begin that beats in a file of its own, or in this one; return that."""
    world, beats = stage.world, into or stage.folder / f"beats-{version}"
    command = ("{python}", "-c", drill.BEATS, str(beats), "{file:weights/model.onnx}", "{port}")
    release = world.register(version, serve=Serve(command, {}))
    world.attest(release)
    number = open_rollout(world, release)
    world.approve(number)
    world.activate(number)
    return beats


def last_beat(beats):
    lines = beats.read_text().splitlines() if beats.exists() else []
    return float(lines[-2]) if len(lines) > 1 else 0.0


def both(stage, beats, version):
    """Serve both, and see that both do."""
    stable = stage.run("--port", "8501")
    candidate = stage.program("run", "--home", stage.home, "--endpoint", PROD, "--port", "8502", "--candidate")
    wait_for_text(candidate, f"admitted magika@{version}")
    assert f"as a candidate at {PROD}" in candidate.said.read_text()
    wait_until(lambda: last_beat(beats) > boot_now() - 0.5, 60, candidate)
    return stable, candidate


def goes_on(stage, last):
    """See that something serves longer than the lease that it had."""
    since = boot_now()
    wait_until(lambda: last() > since + SECONDS * 1.5, SECONDS * 10)


@pytest.mark.parametrize("agent", [True, False], ids=["with an agent", "alone"])
def test_an_aborted_candidate_is_stopped_and_the_stable_release_goes_on(stage, agent):
    version = "1.1.0" if agent else "1.2.0"
    beats = begin(stage, version)
    if agent:
        stage.agent()
    stable, candidate = both(stage, beats, version)
    if agent:
        running = json.loads(stage.status())["running"]
        assert {one["tag"] for one in running} == {"magika@1.0.0", f"magika@{version}"}

    order(stage.world, "abort")
    assert candidate.wait(60) == 10 and "serves magika@1.0.0, not " in candidate.said.read_text()
    goes_on(stage, stage.last_beat)
    assert stable.poll() is None


def test_what_both_keep_in_one_file_is_seen_and_told(stage):
    beats = begin(stage, "1.4.0", into=stage.folder / "beats")
    agent = stage.agent()
    both(stage, beats, "1.4.0")

    wait_for_text(agent, "releases side by side share what they should not")
    olivia = speak(stage.port, "olivia")
    wait_until(lambda: olivia.get(f"/api/v1/endpoints/{PROD}/bindings")["nodes"], 60)
    shown = olivia.get(f"/api/v1/endpoints/{PROD}/bindings")
    (node,) = shown["nodes"]
    assert [(one["medium"], one["name"]) for one in node["shared"]] == [("file", str(beats))]
    assert [line for line in held_rows(shown) if line.startswith("ALARM: on host-1")]
    order(stage.world, "abort")
    wait_for_text(agent, "sharing: fine again")


def test_a_candidate_that_is_promoted_goes_on_and_what_was_stable_is_stopped(stage):
    beats = begin(stage, "1.3.0")
    stage.agent()
    stable, candidate = both(stage, beats, "1.3.0")

    stage.world.revoke("ci")  # which makes hosts judge again what runs
    goes_on(stage, lambda: last_beat(beats))
    assert stable.poll() is None and candidate.poll() is None
    order(stage.world, "promote")
    assert stable.wait(60) == 10
    goes_on(stage, lambda: last_beat(beats))
    assert candidate.poll() is None
    refused = stage.program("run", "--home", stage.home, "--endpoint", PROD, "--candidate")
    assert refused.wait(60) == 3 and f"no rollout is in flight at {PROD}" in refused.said.read_text()
