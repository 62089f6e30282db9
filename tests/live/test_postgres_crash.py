"""Is everything that was acknowledged there after PostgreSQL was killed, and nothing half done?"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lockgate.app.ports import Receipt
from lockgate.core.journal import read_fact
from lockgate.drivers.embedded_postgres import OWNER
from lockgate.drivers.postgres import Postgres
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from tests.contracts.cluster import new_cluster, run
from tests.contracts.samples import SOURCE, append, at_endpoint, digest, suspended
from tests.live.logs import check

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from lockgate.drivers.postgres import Postgres
from lockgate.errors import UnavailableError
from tests.contracts.samples import *
log = Postgres(sys.argv[1], SOURCE, connections=1)
number = 0
try:
    while True:
        key = digest((sys.argv[2], number := number + 1))
        events = suspended(f"w{sys.argv[2]}"), activated(f"w{sys.argv[2]}"), denied()
        receipt = append(log, *events, key=key, keep=[key.raw])
        print(key.hex, receipt.first, receipt.stop, flush=True)
except UnavailableError:
    log.close()
"""


@pytest.fixture
def cluster():
    cluster = new_cluster()
    yield cluster
    cluster.remove()


def test_what_was_acknowledged_survives_a_kill_under_load(cluster):
    owner, app = cluster.database()
    survivor = Postgres(app, SOURCE)
    append(survivor, suspended("before"))
    writers = [start_writer(app, who) for who in range(3)]
    while survivor.size() < 100 or not all(survivor.find(at_endpoint(f"w{who}")) for who in range(3)):
        time.sleep(0.05)

    kill(cluster)
    told = [line.split() for each in writers for line in each.communicate(timeout=60)[0].splitlines()]
    with pytest.raises(UnavailableError):
        survivor.find(at_endpoint("before"))
    cluster.server.start()

    assert [each.returncode for each in writers] == [0] * 3
    entries = list(survivor.entries(0, survivor.size()))
    assert len(told) > 30
    for key, first, stop in told:
        assert survivor.receipt(Digest(key)) == Receipt(int(first), int(stop))
    receipts = run(owner, "SELECT digest, first, stop FROM append_key ORDER BY first")
    assert [n for _, first, stop in receipts for n in range(first, stop)] == list(range(len(entries)))
    for key, first, stop in receipts[1:]:
        assert {read_fact(entry)[0].intent for entry in entries[first:stop]} == {Digest(key.hex())}
        assert stop - first == 3
        assert survivor.document(Digest.of(key)) == key
    assert len(told) <= len(receipts) - 1 <= len(told) + len(writers)
    check(survivor)
    append(survivor, suspended("after"), key=digest("after"))
    survivor.close()


def start_writer(app, who):
    command = [sys.executable, "-c", WRITER, app, str(who)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def kill(cluster):
    """Kill the server and each of its processes, as a power cut does."""
    postmaster = int((cluster.server.data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGSTOP)
    listed = subprocess.run(["ps", "--ppid", str(postmaster), "-o", "pid="], capture_output=True, text=True, check=True)
    for each in [*(int(child) for child in listed.stdout.split()), postmaster]:
        os.kill(each, signal.SIGKILL)
    assert len(listed.stdout.split()) > 5


def test_a_server_that_is_down_is_told_within_seconds(cluster):
    _, app = cluster.database()
    log = Postgres(app, SOURCE, patience=1)
    cluster.server.stop()

    started = time.monotonic()
    for question in (log.size, lambda: append(log, suspended("x"), key=digest("x"))):
        with pytest.raises(UnavailableError):
            question()
    assert time.monotonic() - started < 10

    with pytest.raises(UnavailableError):
        Postgres(app, SOURCE)
    assert cluster.server.start() == cluster.server.conninfo(OWNER)
    assert append(log, suspended("x"), key=digest("x")).first == 0
    log.close()


def test_a_server_that_is_no_longer_the_primary_says_nothing(cluster):
    _, app = cluster.database()
    log = Postgres(app, SOURCE, patience=1)
    append(log, suspended("x"))
    cluster.server.stop()
    (cluster.server.data / "standby.signal").touch()
    cluster.server.start()

    with pytest.raises(UnavailableError, match="is a standby"):
        Postgres(app, SOURCE)
    for question in (log.size, lambda: log.find(at_endpoint("x"))):
        with pytest.raises(UnavailableError):
            question()
    log.close()
