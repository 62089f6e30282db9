"""Is everything told that matters, by a real server that is killed in between, to a receiver that is sometimes down?"""

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
import urllib3

from lockgate.drivers.postgres import Postgres
from lockgate.formats.names import Name
from lockgate.wiring import create
from tests.live.serving import free_port, speak, start
from tests.receivers import Receiver
from tests.world import PROD, World, trust


class Prod(World):
    """A founded installation with a release in service, whose server can be started, killed and started again."""

    def __init__(self, log, conninfo, folder):
        super().__init__(log=log)
        self.now = datetime.now(UTC)
        self.release = self.serve("1.0.0")
        self.conninfo, self.folder, self.port, self.ears = conninfo, folder, free_port(), free_port()
        self.server = None

    def up(self):
        self.server = start(self.conninfo, self.port, self.folder, (f"json://127.0.0.1:{self.ears}/hook",))

    def kill(self):
        self.server.kill()
        self.server.join(30)

    def act(self, times=1):
        """Shut the endpoint down and take it back into service, again and again."""
        for _ in range(times):
            self.now = datetime.now(UTC)
            self.shut_down()
            number = self.open(self.release, resumes=True)
            self.approve(number)
            self.activate(number)

    def public(self, path):
        return (
            urllib3.PoolManager(retries=False, timeout=10).request("GET", f"http://127.0.0.1:{self.port}{path}").json()
        )


@pytest.fixture
def prod(postgres_database, tmp_path):
    postgres = Postgres(postgres_database[1], trust().origin, connections=4)
    world = Prod(postgres, postgres_database[1], tmp_path)
    yield world
    if world.server is not None:
        world.kill()
    postgres.close()


def wait_for(condition, seconds=30):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it does not happen"
        time.sleep(0.05)


def entries(receiver):
    """List what was told but that the way back is damaged: no file of these releases lies in the store."""
    told = [text for text in receiver.texts if "would go back" not in text]
    return [int(re.search(r"\(entry (\d+),", text)[1]) for text in told]


def told_of(world):
    """List the entries of the log that are shutdowns, or changes that wait for approval since it serves."""
    found = enumerate(world.memory.entries(0, world.memory.size()))
    return [index for index, entry in found if b'"endpoint.suspended/v1"' in entry or b'"change.opened/v1"' in entry][
        1:
    ]


def test_an_order_given_over_http_is_told_once_and_in_order(prod):
    with Receiver(prod.ears) as receiver:
        prod.up()
        olivia = speak(prod.port, "olivia")
        olivia.act(f"/api/v1/endpoints/{PROD}/shutdown", olivia.intend("endpoint.suspend", PROD))
        wait_for(lambda: receiver.texts)
        number = prod.open(prod.release, resumes=True)
        prod.approve(number)
        prod.activate(number)
        prod.act(5)
        wait_for(lambda: len(receiver.texts) >= 12)
        time.sleep(1.5)  # nothing is told again

        assert entries(receiver) == told_of(prod)
        assert receiver.texts[0].startswith(f"olivia shut {PROD} down (entry ")
        assert receiver.bodies[0]["title"] == "Lockgate prod: shutdown"
        assert prod.public("/readyz") == {"status": "ready", "notifications": "told"}
        prod.now = datetime.now(UTC)
        prod.shut_down()
        prod.open(prod.release, resumes=True)
        wait_for(lambda: any("of 2 pieces of evidence 2 pass; it waits for" in text for text in receiver.texts))


@pytest.mark.slow
def test_a_server_that_is_killed_between_events_leaves_none_out(prod):
    with Receiver(prod.ears) as receiver:
        prod.up()
        for _ in range(6):
            prod.act(3)
            time.sleep(0.2)
            prod.kill()
            prod.act()  # while nobody serves
            prod.up()
        wait_for(lambda: set(entries(receiver)) >= set(told_of(prod)), 60)
        time.sleep(1.5)

        told = entries(receiver)
        assert sorted(set(told)) == told_of(prod)
        assert [entry for n, entry in enumerate(told) if entry not in told[:n]] == told_of(prod)
        assert len(told) - len(set(told)) <= 6  # at most the one that a kill found on its way


@pytest.mark.slow
def test_a_receiver_that_is_down_for_a_while_is_told_everything_later_and_no_request_waits(prod):
    prod.up()
    prod.act(3)
    wait_for(lambda: prod.public("/readyz").get("notifications") == "1 of 1 channels do not answer")
    began = time.monotonic()
    olivia = speak(prod.port, "olivia")
    olivia.act(f"/api/v1/endpoints/{PROD}/shutdown", olivia.intend("endpoint.suspend", PROD))
    assert time.monotonic() - began < 5
    metrics = speak(prod.port, "ann").fetch("/metrics").decode()
    assert re.search(r'lockgate_notification_failing\{channel="json-[0-9a-f]{8}"\} 1\n', metrics)
    assert "hook" not in metrics

    with Receiver(prod.ears) as receiver:
        wait_for(lambda: len(receiver.texts) >= 7, 60)
        assert entries(receiver) == told_of(prod)
        wait_for(lambda: prod.public("/readyz").get("notifications") == "told")


@pytest.fixture
def lockgate(tmp_path):
    create(tmp_path, Name("prod"))

    def say(*words, **environ):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
        command = [sys.executable, "-m", "lockgate", *words]
        return subprocess.run(
            command,
            env={**clean, "LOCKGATE_HOME": str(tmp_path), **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    return say


def test_a_test_message_reaches_everybody_or_says_whom_not(lockgate, tmp_path):
    port = free_port()
    with Receiver(port) as receiver:
        with (tmp_path / "lockgate.toml").open("a") as settings:
            settings.write(f'notify = ["json://127.0.0.1:{port}/one", "json://127.0.0.1:{port}/two"]\n')
        done = lockgate("notify")
        assert done.returncode == 0, done.stderr
        assert len(receiver.texts) == 2

    silent = lockgate("notify")
    assert silent.returncode == 6
    assert "2 of 2 did not take the message: json-" in silent.stderr
    assert str(port) not in silent.stderr


def test_addresses_come_from_a_file_that_nobody_else_may_read(lockgate, tmp_path):
    port = free_port()
    addresses = tmp_path / "addresses"
    addresses.write_text(f"# who is told\njson://127.0.0.1:{port}\n\n")
    addresses.chmod(0o600)
    with (tmp_path / "lockgate.toml").open("a") as settings:
        settings.write('notify_file = "addresses"\n')

    with Receiver(port) as receiver:
        assert lockgate("notify").returncode == 0
        assert len(receiver.texts) == 1
        addresses.chmod(0o644)
        refused = lockgate("notify")
    assert refused.returncode == 4
    assert "others may read" in refused.stderr
    assert lockgate("notify", LOCKGATE_NOTIFY="json://127.0.0.1:1").returncode == 4
    addresses.unlink()
    assert lockgate("notify").returncode == 6


def test_nobody_to_tell_is_said(lockgate):
    done = lockgate("notify")

    assert done.returncode == 4
    assert "names nobody" in done.stderr
