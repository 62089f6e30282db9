import os
import random
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.core.change import Content
from lockgate.core.journal import read_fact
from lockgate.drivers.postgres import Postgres
from lockgate.errors import ConflictError, DeniedError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.live.serving import free_port, insist, speak, start
from tests.world import PROD, World, trust

KILLS = 300 if os.environ.get("LOCKGATE_SOAK") else 30


class Prod(World):
    """A founded installation with two attested releases, whose server can be started."""

    def __init__(self, log, conninfo, folder):
        super().__init__(log=log)
        self.now = datetime.now(UTC)
        self.releases = [self.serve("1.0.0"), self.register("1.1.0")]
        self.attest(self.releases[1])
        self.conninfo, self.folder, self.port = conninfo, folder, free_port()


@pytest.fixture
def prod(postgres_database, tmp_path):
    postgres = Postgres(postgres_database[1], trust().origin, connections=4)
    world = Prod(postgres, postgres_database[1], tmp_path)
    yield world
    world.now = datetime.now(UTC)
    world.check()
    postgres.close()


class Client:
    """Somebody who opens, approves and carries out changes over HTTP, and writes down every receipt."""

    def __init__(self, world, stopped, *, withdraws):
        self.world, self.stopped, self.withdraws = world, stopped, withdraws
        self.receipts = {}
        self.people = {who: speak(world.port, who) for who in ("alice", "bob", "carol", "dave")}

    def act(self, who, path, act, object_, *, before=None, after=None, **body):
        """Sign one intent and send it until there is an answer; the receipt never changes."""
        connection = self.people[who]
        intent = connection.intend(act, object_, before=before, after=after, lasts=timedelta(minutes=30))
        answer = insist(lambda: connection.act(path, intent, **body), self.stopped)
        if answer is not None:
            self.receipts[intent.digest] = (answer["first"], answer["stop"])
        return answer

    def live(self):
        """Do one change after another."""
        number = 0
        while not self.stopped.is_set():
            number += 1
            try:
                self.one(self.world.releases[number % 2])
            except (DeniedError, ConflictError):  # the other client was faster
                continue

    def one(self, release):
        found = insist(lambda: self.people["alice"].get(f"/api/v1/endpoints/{PROD}"), self.stopped)
        if found is None:
            return
        before = Digest.parse(found["slots"][-1]["release"])
        policy = Digest.of(plain.encode(self.world.policy))
        tag, epoch = release.manifest.tag, found["epoch"]
        content = Content("normal", PROD, tag, release.digest, before, epoch, resumes=False, policy=policy, reason="x")
        opened = self.act(
            "alice", "/api/v1/changes", "change.open", PROD, before=before, after=content.digest, content=content
        )
        if opened is None:
            return
        change, path = f"change/{opened['first']}", f"/api/v1/changes/{opened['first']}"
        if self.withdraws:
            self.act("alice", f"{path}/withdrawals", "change.withdraw", change, after=content.digest)
            return
        for who in ("bob", "carol"):
            self.act(who, f"{path}/approvals", "change.approve", change, after=content.digest)
        self.act("dave", f"{path}/activation", "change.activate", change, after=content.digest)


def wait_for_an_answer(clients):
    """Wait until the server has done something for somebody."""
    before, ends = sum(len(client.receipts) for client in clients), time.monotonic() + 10
    while sum(len(client.receipts) for client in clients) == before and time.monotonic() < ends:
        time.sleep(0.01)


@pytest.mark.slow
def test_a_server_killed_at_random_points_loses_nothing_and_leaves_nothing_half_done(prod):
    stopped = threading.Event()
    clients = [Client(prod, stopped, withdraws=False), Client(prod, stopped, withdraws=True)]
    threads = [threading.Thread(target=client.live) for client in clients]
    server = start(prod.conninfo, prod.port, prod.folder)
    for thread in threads:
        thread.start()

    codes = []
    for number in range(KILLS):
        if number % 2:  # on a busy machine a server that only begins would be killed again and again
            wait_for_an_answer(clients)
        time.sleep(random.random() * 0.25)
        server.kill()
        server.join()
        codes.append(server.exitcode)
        server = start(prod.conninfo, prod.port, prod.folder)
    time.sleep(0.5)
    stopped.set()
    for thread in threads:
        thread.join()
    server.kill()
    server.join()

    assert codes == [-9] * KILLS
    entries = list(prod.memory.entries(0, prod.memory.size()))
    types = [read_fact(entry)[1].type for entry in entries]
    receipts = {digest: receipt for client in clients for digest, receipt in client.receipts.items()}
    assert len(receipts) > KILLS, "hardly anything was acknowledged"
    for digest, (first, stop) in receipts.items():
        kept = prod.memory.receipt(digest)
        assert kept is not None
        assert (kept.first, kept.stop) == (first, stop)
    together = ("change.authorized/v1", "endpoint.activated/v1", "change.closed/v1")
    for index, kind in enumerate(types):
        if kind in together:
            begin = index - together.index(kind)
            assert tuple(types[begin : begin + 3]) == together
    assert publish_checkpoint(prod.installation)
