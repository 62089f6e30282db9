"""Two controllers on one database: does one go on when the other is killed or asleep, and is no step taken twice?"""

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lockgate.app.installation import Installation, Keys
from lockgate.controllers.pulse import SECONDS as PULSE
from lockgate.controllers.rollouts import LEASE, Rollouts
from lockgate.core.journal import read_fact
from lockgate.core.rollout import Promoted, Stepped
from lockgate.core.strategy import Pause, SetWeight
from lockgate.drivers.memory import MemoryBlobs, MemoryHeads, MemoryUpdates, MemoryVault
from lockgate.drivers.postgres import Postgres
from lockgate.formats.names import Name
from tests.contracts.cluster import run
from tests.live.serving import PURPOSES
from tests.traffic import ERRORS, Flying, counts, judged_by
from tests.world import World, key, trust

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["lockgate.controllers.rollouts", "lockgate.drivers.postgres", "tests.traffic"])

STEPS = (SetWeight(10), Pause(2), SetWeight(30), Pause(2), SetWeight(50), Pause(2), SetWeight(100))
STRATEGY = replace(judged_by(replace(ERRORS, interval_seconds=1)), steps=STEPS)
PATIENCE = 90


def control(conninfo, holder):
    """Look after rollouts until somebody kills this process."""
    log = Postgres(conninfo, trust().origin, connections=2)
    keys = Keys(*(key(f"prod-{purpose}") for purpose in PURPOSES))
    heads = MemoryHeads(trust().origin, key("prod-checkpoint"))
    more = {"heads": heads, "reads": log, "reports": log, "presences": log, "controllers": log}
    installation = Installation(
        Name("prod"), log, log, log, log, MemoryBlobs(), keys, vault=MemoryVault(), updates=MemoryUpdates(), **more
    )
    Rollouts(installation, lambda: datetime.now(UTC), holder=holder).follow(threading.Event())


class Both:
    """A rollout on a database, two controllers, and traffic that never stops."""

    def __init__(self, owner, app):
        self.owner = owner
        self.world = World(log=Postgres(app, trust().origin))
        self.world.now = datetime.now(UTC)
        self.flying = Flying(self.world, STRATEGY)
        self.processes = {name: _PROCESSES.Process(target=control, args=(app, name), daemon=True) for name in "ab"}
        self.ended = threading.Event()
        self.flowing = threading.Thread(target=self._flow, daemon=True)

    def __enter__(self):
        self.flowing.start()
        for process in self.processes.values():
            process.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.flowing.join(PATIENCE)
        for process in self.processes.values():
            process.kill()
            process.join()

    def _flow(self):
        host = self.flying.host
        while not self.ended.wait(0.25):
            self.world.now = datetime.now(UTC)
            host.count(self.flying.candidate, counts(60))
            host.count(self.flying.stable, counts(240))
            host.send()

    @property
    def holder(self):
        rows = run(self.owner, "SELECT holder FROM controller_lease WHERE subject LIKE 'rollout/%'")
        return rows[0][0] if rows else None

    @property
    def steps(self):
        log = self.world.memory
        return [
            event for _, event in map(read_fact, log.entries(0, log.size())) if isinstance(event, Stepped | Promoted)
        ]

    def wait(self, until):
        """Wait until something is so; return how long that took."""
        begun = time.monotonic()
        while not until():
            assert time.monotonic() - begun < PATIENCE, [self.steps, self.holder]
            time.sleep(0.05)
        return time.monotonic() - begun

    def signal(self, name, number):
        os.kill(self.processes[name].pid, number)


@pytest.fixture
def both(postgres_database):
    with Both(*postgres_database) as found:
        found.wait(lambda: found.steps)
        yield found
    found.world.memory.close()


def check_whole(both):
    """Every step was taken once and in order, and the log proves what is so."""
    both.wait(lambda: isinstance(both.steps[-1], Promoted))
    taken = [event.step for event in both.steps if isinstance(event, Stepped)]
    assert taken == [*range(len(STEPS))]
    assert [type(event) for event in both.steps].count(Promoted) == 1
    assert both.world.endpoint().stable.release == both.flying.candidate
    both.world.check()


def test_two_controllers_take_each_step_once(both):
    check_whole(both)


def test_when_one_is_killed_in_a_step_the_other_goes_on(both, record_property):
    dead = both.holder
    both.signal(dead, signal.SIGKILL)

    seconds = both.wait(lambda: both.holder != dead)
    record_property("seconds until the other one had it", round(seconds, 1))
    assert LEASE + PULSE < 5
    assert seconds < 30, "how busy may a machine be?"
    check_whole(both)


def test_one_that_was_stopped_in_a_step_takes_none_of_them_again(both):
    asleep = both.holder
    both.signal(asleep, signal.SIGSTOP)
    both.wait(lambda: both.holder != asleep)
    before = len(both.steps)
    both.wait(lambda: len(both.steps) > before)

    both.signal(asleep, signal.SIGCONT)

    check_whole(both)
    assert all(process.is_alive() for process in both.processes.values())
