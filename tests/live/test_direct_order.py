"""Does an order stop an endpoint when the server is away, and stay in force until a change ends it?"""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from lockgate.core.fleet import Fleet, Member
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.order import Order, open_receipt, reason_digest
from lockgate.core.trust import TRUST
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.live import drill
from tests.live.drill import SECONDS, boot_now, wait_for_text, wait_until
from tests.world import PROD, agreed, key

pytestmark = pytest.mark.slow
cluster, theatre, stage = drill.cluster, drill.theatre, drill.stage


def order(who="olivia", reason=None, signer=None, nonce="n" * 32, **changes):
    ends = datetime.now(UTC) + timedelta(days=7)
    said = Intent("endpoint.suspend", str(PROD), None, reason_digest(reason), Name(who), nonce, ends)
    return Order(sign_intent(replace(said, **changes), key(signer or who)), reason)


def send(stage, given):
    body = given if isinstance(given, bytes) else plain.encode(given)
    return urllib3.PoolManager(retries=False, timeout=20).request(
        "POST", f"http://127.0.0.1:{stage.control}/orders", body=body
    )


def typing(stage):
    """Give the command that olivia types, and the files that she keeps for that day."""
    folder = stage.folder / "olivia"
    folder.mkdir(exist_ok=True)
    (folder / "key.pem").write_bytes(key("olivia").pem)
    (folder / "root.json").write_bytes(plain.encode(stage.world.trust.root))
    (folder / "trust.json").write_bytes(agreed(stage.world.trust, TRUST))
    here = Member(Name("host-1"), f"http://127.0.0.1:{stage.control}", (PROD,), datetime.now(UTC))

    def typed(*more, members=(here,), ends=0, environ=None):
        (folder / "fleet.json").write_bytes(plain.encode(Fleet(Name("prod"), members, datetime.now(UTC))))
        files = [word for name in ("fleet", "trust", "root") for word in (f"--{name}", str(folder / f"{name}.json"))]
        speaker = [
            "--server",
            f"http://127.0.0.1:{stage.wire.port}",
            "--as",
            "olivia",
            "--key",
            str(folder / "key.pem"),
        ]
        command = [sys.executable, "-m", "lockgate", "shutdown", str(PROD), "--direct", *files, *speaker, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout

    return typed


@pytest.fixture
def shutdown(stage):
    yield typing(stage)
    stage.dismiss()
    stage.world.now = datetime.now(UTC)
    for path in (stage.home / "orders").glob("*"):
        path.unlink()
    if stage.world.endpoint().suspended:
        resume(stage)


def resume(stage):
    stage.world.now = datetime.now(UTC)
    number = stage.world.open(stage.release, resumes=True)
    stage.world.approve(number)
    stage.world.activate(number)


def test_an_order_stops_what_serves_at_once_and_until_a_change_that_resumes(stage, shutdown):
    with stage.cast(follow=True) as (agent, run):
        stage.kill_server()
        said = boot_now()
        told = shutdown("--reason", "it tells secrets")
        last = stage.silence(1)

        assert last < boot_now() and last - said < 20
        assert "magika@1.0.0" in told and "1 of 1 hosts keep the order" in told
        assert "the log does not record it yet" in told
        wait_for_text(run, "shut by order of olivia: it tells secrets")
        (kept,) = json.loads(stage.status())["orders"]
        assert (kept["endpoint"], kept["by"], kept["reason"], kept["recorded"]) == (
            str(PROD), "olivia", "it tells secrets", None,
        )  # fmt: skip

        agent.kill()
        agent.wait()
        next_agent = stage.agent()
        stage.serve()
        wait_for_text(next_agent, "is entry", 30)
        assert stage.world.endpoint().suspended
        wait_for_text(run, "denied: prod/magika is suspended", 30)

        resume(stage)
        wait_until(stage.is_serving, 40)
        assert json.loads(stage.status())["orders"] == []
        stage.check_goes_on(SECONDS)


def test_a_receipt_says_what_stopped_and_the_model_server_is_gone_when_it_comes(stage, shutdown):
    with stage.cast() as (_, run):
        given = order(reason="because")
        began = boot_now()
        answer = send(stage, given)
        took = boot_now() - began

        assert answer.status == 200
        receipt = open_receipt(answer.data, Name("host-1"), given, stage.world.trust, datetime.now(UTC))
        (stopped,) = receipt.stopped
        assert (stopped.release, stopped.ended, stopped.seconds_left) == (stage.release.digest, True, 0)
        assert stage.last_beat() <= boot_now() - 0.0 and stage.silence(1) < began + took
        assert run.wait(10) == 10

        again = open_receipt(send(stage, given).data, Name("host-1"), given, stage.world.trust, datetime.now(UTC))
        assert (again.kept_at, again.stopped) == (receipt.kept_at, ())


def test_of_a_run_that_does_not_answer_the_receipt_says_when_it_ends(stage, shutdown):
    with stage.cast() as (_, run):
        run.send_signal(signal.SIGSTOP)
        given = order()
        receipt = open_receipt(send(stage, given).data, Name("host-1"), given, stage.world.trust, datetime.now(UTC))
        (stopped,) = receipt.stopped
        assert not stopped.ended and 0 <= stopped.seconds_left <= SECONDS
        stage.silence(SECONDS + 2)


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (lambda: order(signer="mallory"), 422),
        (lambda: order("alice"), 409),
        (lambda: order("host-1"), 409),
        (lambda: order(expires=datetime.now(UTC)), 409),
        (lambda: order(object="dev/magika"), 409),
        (lambda: order(act="endpoint.roll-back"), 409),
        (lambda: replace(order(reason="a"), reason="b"), 409),
        (lambda: b"{", 422),
        (lambda: b"", 422),
        (lambda: b'{"type": "order/v1"}', 422),
        (lambda: b"x" * (65 << 10), 422),
    ],
)
def test_what_is_no_order_stops_nothing(stage, shutdown, bad, status):
    agent = stage.agent()
    found = send(stage, bad())
    assert found.status == status, found.data
    assert not list((stage.home / "orders").glob("*"))
    assert "SHUT" not in agent.said.read_text()


def test_an_order_for_another_endpoint_lets_this_one_serve(stage, shutdown):
    with stage.cast():
        assert send(stage, order(object="prod/other")).status == 200
        stage.check_goes_on(SECONDS)


def test_who_does_not_answer_is_named(stage, shutdown):
    with stage.cast():
        here = Member(Name("host-1"), f"http://127.0.0.1:{stage.control}", (PROD,), datetime.now(UTC))
        nobody = replace(here, node=Name("host-2"), control="http://127.0.0.1:1")
        hidden = replace(here, node=Name("host-3"), control=None)
        told = shutdown(members=(here, nobody, hidden), ends=6)
        assert "NO RECEIPT from host-2, host-3" in told and "1 of 3 hosts" in told
        assert "of the log records it" in told
        stage.silence(1)


def test_the_fleet_that_the_server_lists_is_one_that_orders_go_to(stage, shutdown, tmp_path):
    with stage.cast():
        (tmp_path / "key.pem").write_bytes(key("olivia").pem)
        speaker = ["--server", f"http://127.0.0.1:{stage.port}", "--as", "olivia", "--key", str(tmp_path / "key.pem")]
        command = [sys.executable, "-m", "lockgate", "fleet", "--output", str(tmp_path / "fleet.json"), *speaker]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

        assert "host-1" in done.stdout and str(PROD) in done.stdout
        (member,) = plain.decode(Fleet, (tmp_path / "fleet.json").read_bytes()).members
        assert (member.node, member.control) == (Name("host-1"), f"http://127.0.0.1:{stage.control}")
        assert member.endpoints == (PROD,)


def test_somebody_at_the_address_of_another_node_gives_no_receipt_that_counts(stage, shutdown):
    with stage.cast():
        other = Member(Name("host-2"), f"http://127.0.0.1:{stage.control}", (PROD,), datetime.now(UTC))
        told = json.loads(shutdown("--json", members=(other,), ends=6))
        assert told["silent"] == ["host-2"] and told["not_in_fleet"] == ["host-1"]


def test_who_waits_is_told_when_the_log_has_it(stage, shutdown):
    with stage.cast():
        stage.kill_server()
        stage.wire.mode = "cut"
        command = shutdown  # in a thread of its own, while the server comes back
        import threading

        said = []
        waiting = threading.Thread(target=lambda: said.append(command("--wait")))
        waiting.start()
        stage.silence(20)
        assert waiting.is_alive()
        stage.wire.mode = "passes"
        stage.serve()
        waiting.join(60)
        assert "of the log records it" in said[0]


def test_a_run_without_an_agent_obeys_what_is_kept(stage, shutdown):
    agent = stage.agent()
    assert send(stage, order(reason="once")).status == 200
    agent.kill()
    agent.wait()
    run = stage.program("run", "--home", stage.home, "--endpoint", PROD)
    assert run.wait(60) == 3
    assert "is suspended" in run.said.read_text() or "is shut on this host" in run.said.read_text()


def test_a_run_without_an_agent_obeys_an_order_that_its_server_does_not_know(stage, shutdown):
    with stage.cast(agent=False) as (_, run):
        host_orders = stage.home / "orders"
        from lockgate.core.order import open_order
        from lockgate.loader.host import open_host
        from lockgate.loader.order_book import OrderBook

        now = datetime.now(UTC)
        book = OrderBook(open_host(stage.home, now), now)
        book.keep(book.take(open_order(order(), stage.world.trust, now), now))
        assert list(host_orders.iterdir())
        assert run.wait(20) == 10
        stage.silence(1)
        again = stage.program("run", "--home", stage.home, "--endpoint", PROD)
        assert again.wait(60) == 3
        assert "is shut on this host by order of olivia" in again.said.read_text()


def test_an_order_that_was_spoilt_on_the_disk_is_obeyed(stage, shutdown):
    agent = stage.agent()
    stage.wire.mode = "cut"
    assert send(stage, order()).status == 200
    (path,) = (stage.home / "orders").iterdir()
    agent.kill()
    agent.wait()
    path.write_bytes(path.read_bytes()[:-3])
    stage.wire.mode = "passes"
    stage.agent()
    run = stage.program("run", "--home", stage.home, "--endpoint", PROD)
    assert run.wait(60) == 3
    assert "an order is kept in" in run.said.read_text()
    assert "cannot be read" in subprocess.run(
        [sys.executable, "-m", "lockgate", "agent", "--home", str(stage.home), "status"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
