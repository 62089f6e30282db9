"""Does an endpoint hold what the policy names, with its lease, and lose it with everything else, whatever is down?"""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

import tests.world
from lockgate.core.binding import Bound, Holder
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.order import Order, open_receipt
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.bound import Desk, in_trouble
from tests.bound_servers import PASSWORD, Redis
from tests.live import drill
from tests.live.drill import Stage, short_leases, wait_for_text, wait_until
from tests.live.serving import speak
from tests.world import PROD, key

pytestmark = pytest.mark.slow
cluster, stage = drill.cluster, drill.stage

REMEMBERS = """
import json, os, pathlib, sys, time
import redis
folder = pathlib.Path(os.environ["BINDINGS"])
def enter():
    means = json.loads((folder / "memory.json").read_text())["means"]
    return means, redis.Redis(means["host"], means["port"], username=means["user"], password=means["password"])
means, memory = enter()
with open(sys.argv[1], "a") as beats:
    while True:
        try:
            memory.incr(means["prefix"] + "beats")
        except redis.RedisError:
            means, memory = enter()
        print(time.clock_gettime(time.CLOCK_BOOTTIME), file=beats, flush=True)
        time.sleep(0.02)
"""
HELD = {Name("memory"): Bound("redis"), Name("crm"): Bound("webhook")}


@pytest.fixture(scope="module")
def memory():
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def desk():
    with Desk() as desk:
        yield desk


@pytest.fixture(scope="module")
def theatre(cluster, memory, desk, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        short_leases(patch, 15)  # long enough for an agent to be started again meanwhile
        rules = replace(tests.world.rules(), bindings=HELD)
        patch.setattr(tests.world, "rules", lambda: rules)
        folder = tmp_path_factory.mktemp("stage")
        stage = Stage(folder, cluster.database()[1], REMEMBERS, {"BINDINGS": "{bindings}"})
        know(stage.home, memory, desk)
        yield stage
        stage.end()


def know(home, memory, desk):
    (home / "secret").write_text(PASSWORD)
    (home / "bindings.toml").write_text(f"""
[memory]
kind = "redis"
address = "127.0.0.1:{memory.port}"
user = "binder"
password_file = "secret"

[crm]
kind = "webhook"
url = "{desk.url}/"
probe_url = "{desk.url}/"
private = true
""")
    for name in ("secret", "bindings.toml"):
        (home / name).chmod(0o600)


def login(stage):
    return Holder(PROD, Name("host-1"), stage.release.digest).login


def is_in(stage, memory, desk):
    return login(stage) in desk.tokens and any(
        line.startswith(f"user {login(stage)} on ") for line in memory.admin().acl_list()
    )


def shown(stage):
    """Say what the server shows as held: names, and how many sessions are open."""
    found = speak(stage.port, "olivia").get(f"/api/v1/endpoints/{PROD}/bindings")
    return {(tie["name"], tie["sessions"]) for node in found["nodes"] for tie in node["ties"]}


def order(stage):
    ends = datetime.now(UTC) + timedelta(days=1)
    said = Intent("endpoint.suspend", str(PROD), None, None, Name("olivia"), str(time.time_ns()).zfill(32), ends)
    given = Order(sign_intent(said, key("olivia")))
    answer = urllib3.PoolManager(retries=False, timeout=20).request(
        "POST", f"http://127.0.0.1:{stage.control}/orders", body=plain.encode(given)
    )
    return open_receipt(answer.data, Name("host-1"), given, stage.world.trust, datetime.now(UTC))


def resume(stage):
    for path in (stage.home / "orders").glob("*"):
        path.unlink()
    stage.world.now = datetime.now(UTC)
    if not stage.world.endpoint().suspended:
        stage.world.shut_down()
    number = stage.world.open(stage.release, resumes=True)
    stage.world.approve(number)
    stage.world.activate(number)


def test_what_the_policy_names_is_held_with_the_lease_and_cut_by_an_order_with_the_server_down(stage, memory, desk):
    with stage.cast():
        assert is_in(stage, memory, desk)
        first = desk.calls[-1].until
        wait_until(lambda: desk.calls[-1].until > first, 30)
        token = desk.tokens[login(stage)]
        wait_until(lambda: shown(stage) == {("crm", None), ("memory", 1)}, 30)
        stage.kill_server()

        began = datetime.now(UTC)
        receipt = order(stage)

        assert {str(one.name): one.state for one in receipt.bindings} == {"crm": "cut", "memory": "cut"}
        assert all(one.probed_at - began < timedelta(seconds=5) for one in receipt.bindings)
        assert not is_in(stage, memory, desk) and token not in desk.tokens.values()
        assert not [client for client in memory.admin().client_list() if client["user"] == login(stage)]
        stage.silence(20)
    stage.serve()
    resume(stage)


def test_what_hangs_lies_or_is_down_is_named_in_time_and_tried_until_it_is_cut(stage, memory, desk):
    with stage.cast() as (agent, _):
        with in_trouble(desk, "lies"):
            began = time.monotonic()
            receipt = order(stage)
            took = time.monotonic() - began

            states = {str(one.name): one.state for one in receipt.bindings}
            assert states == {"crm": "open", "memory": "cut"} and took < 5
            wait_for_text(agent, "ALARM: crm is open at prod/magika")
            heard = lambda: {  # noqa: E731
                one["name"]: one["state"]
                for halt in speak(stage.port, "olivia").get("/api/v1/fleet")["halts"]
                for one in halt["halt"]["bindings"] or ()
            }
            wait_until(lambda: heard() == {"crm": "open", "memory": "cut"}, 30)
        wait_until(lambda: heard() == {"crm": "cut", "memory": "cut"}, 30)
        wait_until(lambda: not json.loads(stage.status())["trouble"], 30)  # a line that was just closed is another
        assert not desk.tokens
    resume(stage)


def test_by_way_of_the_server_everything_is_cut_too_and_the_hosts_say_so(stage, memory, desk):
    with stage.cast():
        assert is_in(stage, memory, desk)
        stage.world.now = datetime.now(UTC)
        stage.world.shut_down()

        wait_until(lambda: not is_in(stage, memory, desk), 30)
        stage.silence(20)
    resume(stage)


def test_an_agent_that_is_started_again_takes_over_what_runs_hold_and_cuts_what_none_holds(stage, memory, desk):
    with stage.cast() as (agent, run):
        agent.kill()
        agent.wait()
        told = len(desk.calls)
        stage.agent()
        wait_until(lambda: len(desk.calls) > told, 60)
        assert {call.act for call in desk.calls[told:]} == {"grant"} and is_in(stage, memory, desk)
        wait_until(stage.is_serving, 30, run)

        run.kill()
        run.wait()
        wait_until(lambda: not is_in(stage, memory, desk), 60)


def test_nobody_serves_it_without_an_agent_or_on_a_host_that_does_not_know_all_of_it(stage, memory, desk):
    run = stage.program("run", "--home", stage.home, "--endpoint", PROD)
    assert run.wait(60) == 3
    assert "may hold crm, memory, so it is served through an agent only" in run.said.read_text()

    known, before = stage.home / "bindings.toml", dict(desk.tokens)
    written = known.read_text()
    known.write_text(written[: written.index("[crm]")])
    stage.agent()
    run = stage.program("run", "--home", stage.home, "--endpoint", PROD)
    assert run.wait(60) == 3
    assert "this host does not know how to reach crm" in run.said.read_text()
    known.write_text(written)
    assert desk.tokens.keys() <= before.keys(), "somebody was let in"
