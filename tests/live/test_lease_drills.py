"""Whatever fails, nothing serves after its lease: each failure once, with real processes, and once nothing fails."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.live import drill
from tests.live.drill import SECONDS, SLACK, boot_now, wait_for_text, wait_until
from tests.world import PROD

pytestmark = pytest.mark.slow

CLOCK = '''
"""The wall clock of this process, moved by as many seconds as the file says that LOCKGATE_TEST_CLOCK names."""
import datetime, os, pathlib
path, real = pathlib.Path(os.environ["LOCKGATE_TEST_CLOCK"]), datetime.datetime
class Moved(real):
    @classmethod
    def now(cls, zone=None):
        return cls.fromtimestamp(real.now(zone).timestamp() + float(path.read_text()), zone)
datetime.datetime = Moved
'''


cluster, theatre, stage = drill.cluster, drill.theatre, drill.stage


@pytest.fixture(params=["with an agent", "alone"])
def alone(request):
    return request.param == "alone"


def test_while_nothing_fails_it_serves_on(stage, alone):
    with stage.cast(agent=not alone):
        stage.check_goes_on()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_agents_death_ends_nothing_early_and_stretches_nothing(stage, number):
    with stage.cast() as (agent, _):
        since = boot_now()
        agent.send_signal(number)
        stage.check_ends_with_its_lease(since)


def test_an_agent_that_is_started_again_takes_back_what_runs(stage):
    with stage.cast() as (first, run):
        agent = first
        for number in (signal.SIGKILL, signal.SIGTERM):
            agent.send_signal(number)
            agent.wait(10)
            agent = stage.agent()
            stage.check_goes_on()
        assert '"serving": true' in stage.status()
        assert run.poll() is None


def test_a_run_that_holds_its_own_lease_hands_itself_over_to_an_agent(stage):
    with stage.cast(agent=False) as (_, run):
        agent = stage.agent()
        wait_for_text(run, "the agent of this host holds the lease from now on")
        stage.check_goes_on()

        since = boot_now()
        agent.kill()
        stage.check_ends_with_its_lease(since)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_or_hanging_server_grants_nothing(stage, alone, number):
    with stage.cast(agent=not alone):
        since = boot_now()
        os.kill(stage.server.pid, number)
        try:
            stage.check_ends_with_its_lease(since)
        finally:
            stage.kill_server()


def test_a_server_that_comes_back_in_time_changes_nothing(stage):
    with stage.cast():
        os.kill(stage.server.pid, signal.SIGSTOP)
        time.sleep(SECONDS / 3)
        os.kill(stage.server.pid, signal.SIGCONT)
        stage.check_goes_on()


def test_without_its_database_the_server_grants_nothing(stage, cluster):
    with stage.cast():
        since = boot_now()
        cluster.server.stop()
        try:
            stage.check_ends_with_its_lease(since)
        finally:
            cluster.server.start()


@pytest.mark.parametrize("how", ["cut", "stalls", "half"])
def test_a_cut_network_brings_no_lease(stage, how):
    with stage.cast():
        since = boot_now()
        if how == "cut":
            stage.wire.cut()
        stage.wire.mode = how
        stage.check_ends_with_its_lease(since)


def test_answers_that_are_held_back_stretch_nothing(stage):
    with stage.cast():
        stage.wire.delay = SECONDS * 0.5
        time.sleep(SECONDS)
        since = boot_now()
        stage.kill_server()
        assert stage.silence(SECONDS + 5) - since < SECONDS + SLACK


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_jumps_stretches_nothing(stage, tmp_path, hours):
    clock = tmp_path / "clock"
    clock.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "LOCKGATE_TEST_CLOCK": str(clock)}
    with stage.cast(env=environ):
        draft = tmp_path / "draft"
        draft.write_text(str(hours * 3600))
        draft.replace(clock)
        stage.check_goes_on()
        told = datetime.fromisoformat(json.loads(stage.status())["now"])
        assert abs((told - datetime.now(UTC)).total_seconds()) > 3500, "the clock of the agent did not jump"

        since = boot_now()
        stage.kill_server()
        stage.check_ends_with_its_lease(since)


def family(pid):
    """List a process and all below it."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in path.read_text().split()]
    return found


def test_a_host_that_was_asleep_longer_than_its_lease_serves_nothing_when_it_wakes(stage):
    with stage.cast() as (agent, run):
        everybody = [*family(agent.pid), *family(run.pid)]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        stage.kill_server()
        time.sleep(SECONDS + 0.5)
        woke = boot_now()
        for pid in reversed(everybody):  # the model server first: it runs until somebody looks at the clock
            os.kill(pid, signal.SIGCONT)
        assert stage.silence(5) - woke < SLACK


@pytest.mark.parametrize("offset", [-1000, 1000])
def test_a_run_whose_boot_clock_is_another_one_serves_nothing(stage, offset):
    if os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    agent = stage.agent()
    try:
        (stage.folder / "beats").unlink(missing_ok=True)
        before = ["unshare", "-T", "--boottime", str(offset), "--fork"]
        run = stage.program("run", "--home", stage.home, "--endpoint", PROD, before=before)
        assert run.wait(60) in (3, 6, 10), run.said.read_text()
        assert not (stage.folder / "beats").exists(), run.said.read_text()
        assert agent.poll() is None
    finally:
        stage.dismiss()


def test_a_hanging_run_is_no_reason_to_serve_on(stage):
    with stage.cast() as (_, run):
        since = boot_now()
        run.send_signal(signal.SIGSTOP)
        stage.check_ends_with_its_lease(since)


def test_a_run_that_is_killed_leaves_nothing(stage):
    with stage.cast() as (_, run):
        since = boot_now()
        run.kill()
        assert stage.silence(5) - since < SLACK
        wait_until(lambda: '"running": []' in stage.status(), 5)
