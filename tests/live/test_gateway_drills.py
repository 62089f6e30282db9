"""Whatever fails, nothing is answered through the gateway after the lease: each failure once, one after the other."""

import os
import signal
from contextlib import contextmanager

import pytest

from tests.live import drill
from tests.live import gated as gated_stage
from tests.live.drill import SECONDS, SLACK, boot_now, wait_until
from tests.live.test_lease_drills import CLOCK

pytestmark = pytest.mark.slow
cluster, gated_theatre, gated = drill.cluster, gated_stage.gated_theatre, gated_stage.gated

PATIENCE = 60


@contextmanager
def killed(stage, _):
    stage.kill_server()
    yield
    stage.serve()


@contextmanager
def stopped(stage, _):
    os.kill(stage.server.pid, signal.SIGSTOP)
    yield
    stage.kill_server()
    stage.serve()


@contextmanager
def partitioned(stage, _):
    stage.wire.mode = "stalls"
    yield
    stage.wire.cut()
    stage.wire.mode = "passes"


@contextmanager
def without_database(_, cluster):
    cluster.server.stop()
    yield
    cluster.server.start()


def test_nothing_is_answered_through_the_gateway_after_the_lease(gated, cluster):
    with gated.cast(follow=True):
        for fault in (killed, stopped, partitioned, without_database):
            wait_until(gated.is_serving, PATIENCE)
            since = boot_now()
            with fault(gated, cluster):
                last = gated.silence(SECONDS + PATIENCE)
                assert last - since < SECONDS + SLACK, fault.__name__
        wait_until(gated.is_serving, PATIENCE)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_jumps_stretches_nothing_at_the_gateway(gated, tmp_path, hours):
    clock = tmp_path / "clock"
    clock.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "LOCKGATE_TEST_CLOCK": str(clock)}
    with gated.cast(env=environ):
        draft = tmp_path / "draft"
        draft.write_text(str(hours * 3600))
        draft.replace(clock)
        gated.check_goes_on(2)

        since = boot_now()
        gated.kill_server()
        assert gated.silence(SECONDS + PATIENCE) - since < SECONDS + SLACK
