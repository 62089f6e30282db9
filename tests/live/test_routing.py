"""Does what comes to the gateway of a host reach what holds a lease there, and nothing else, and not for longer?"""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3

from lockgate.core.order import open_receipt
from lockgate.drivers.envoy import TTL
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.calling import call
from tests.live import drill
from tests.live import gated as gated_stage
from tests.live.drill import boot_now, wait_until
from tests.live.gated import staged, wait_for_end
from tests.live.test_direct_order import order, resume, typing
from tests.world import PROD, key

pytestmark = pytest.mark.slow
cluster, gated = drill.cluster, gated_stage.gated

PATIENCE = 40
LEASE = 12  # seconds: an agent is started again within them


@pytest.fixture(scope="module")
def gated_theatre(cluster, tmp_path_factory):
    yield from staged(cluster, tmp_path_factory, seconds=LEASE)


def send(stage, given):
    answer = urllib3.PoolManager(retries=False, timeout=PATIENCE).request(
        "POST", f"http://127.0.0.1:{stage.control}/orders", body=plain.encode(given)
    )
    assert answer.status == 200, answer.data
    return open_receipt(answer.data, Name("host-1"), given, stage.world.trust, datetime.now(UTC))


def shut_down(stage, ends=0):
    """Give the command that olivia types; return what it answers."""
    path = stage.folder / "olivia.pem"
    path.write_bytes(key("olivia").pem)
    speaker = ["--server", f"http://127.0.0.1:{stage.port}", "--as", "olivia", "--key", str(path), "--json"]
    command = [sys.executable, "-m", "lockgate", "shutdown", str(PROD), *speaker]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == ends, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def forgotten(gated):
    """Lift what was ordered, when the test is done."""
    yield
    gated.dismiss()
    for path in (gated.home / "orders").glob("*"):
        path.unlink()
    gated.world.now = datetime.now(UTC)
    if gated.world.endpoint().suspended:
        resume(gated)


def envoys(agent):
    """List the Envoys below an agent."""
    found = []
    for children in Path(f"/proc/{agent.pid}/task").glob("*/children"):
        found += [int(pid) for pid in children.read_text().split()]
    return [pid for pid in found if "envoy" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_what_holds_a_lease_is_reached_and_counted(gated):
    with gated.cast():
        status, release, body = call(gated.address, "/prod/magika/score")
        assert (status, release) == (200, str(gated.release.digest)) and body.endswith(" /score")
        assert call(gated.address, "/prod/other/score")[0] == 404

        def counted():
            (routed,) = json.loads(gated.status())["gateway"]["routes"]
            return routed["weight"] == 100 and routed["requests"] > 3

        wait_until(counted, PATIENCE)


def test_an_order_cuts_a_stream_with_the_server_dead(gated, forgotten):
    with gated.cast():
        stream = gated.stream()
        gated.kill_server()
        receipt = send(gated, order(reason="it tells secrets"))
        wait_for_end(stream)

        assert receipt.gateway == "cut" and receipt.cut_at is not None
        assert [stopped.ended for stopped in receipt.stopped] == [True]
        assert call(gated.address, "/prod/magika/score")[0] == 503


def test_a_direct_order_cuts_a_stream_with_server_and_database_down(gated, cluster, forgotten):
    with gated.cast():
        stream = gated.stream()
        cluster.server.stop()
        gated.kill_server()
        try:
            told = typing(gated)("--reason", "it tells secrets")
            wait_for_end(stream)

            assert "1 of 1 hosts keep the order" in told and "the log does not record it yet" in told
            assert call(gated.address, "/prod/magika/score")[0] == 503
        finally:
            cluster.server.start()
            gated.serve()


def test_a_shutdown_by_way_of_the_server_cuts_a_stream(gated, forgotten):
    with gated.cast():
        stream = gated.stream()
        told = shut_down(gated)
        wait_for_end(stream)

        (halt,) = told["heard"]["halts"]
        assert (halt["node"], halt["gateway"], halt["cut_at"] is not None) == ("host-1", "cut", True)
        assert [stopped["tag"] for stopped in halt["stopped"]] == ["magika@1.0.0"] and told["heard"]["silent"] == []
        assert call(gated.address, "/prod/magika/score")[0] == 503


def test_who_says_nothing_after_a_shutdown_is_named(gated, forgotten):
    with gated.cast() as (agent, _):
        agent.send_signal(signal.SIGSTOP)
        told = shut_down(gated, ends=6)
        assert (told["heard"]["halts"], told["heard"]["silent"]) == ([], ["host-1"])
        gated.silence(PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_agent_the_gateway_ends_everything_and_another_agent_begins_again(gated, number):
    with gated.cast() as (agent, run):
        stream = gated.stream()
        since = boot_now()
        agent.send_signal(number)
        wait_for_end(stream)
        assert gated.silence(PATIENCE) - since < TTL + 1

        agent.kill()
        agent.wait()
        gated.agent()
        wait_until(gated.is_serving, PATIENCE, run)


def test_an_envoy_that_dies_comes_back_with_what_it_served(gated):
    with gated.cast() as (agent, run):
        (envoy,) = envoys(agent)
        stream = gated.stream()
        os.kill(envoy, signal.SIGKILL)
        wait_for_end(stream)
        since = boot_now()
        wait_until(lambda: gated.last_beat() > since, PATIENCE, run)
        assert envoys(agent) != [envoy]
