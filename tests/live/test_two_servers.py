"""Two servers on one database and one store: when one dies or sleeps in a rollout, is the other one enough?"""

import signal

import pytest

from lockgate.core.rollout import Promoted
from tests.live import test_two_controllers as controllers
from tests.live.serving import free_port, speak, start
from tests.world import PROD

BUSY = 30.0


class Pair(controllers.Both):
    """Whole servers: doors, leases, signing, news, and each with its controller. The first one has the rollout."""

    def __init__(self, owner, app, folder):
        super().__init__(owner, app)
        self.app, self.blobs = app, folder / "blobs"
        self.ports = {name: free_port() for name in "ab"}
        self.processes = {}

    def __enter__(self):
        for name, port in self.ports.items():
            self.processes[name] = start(self.app, port, self.blobs)
            self.wait(lambda: self.holder)
        self.first = self.holder
        self.flowing.start()
        return self

    def show(self, name):
        """Ask one of them how far the rollout is."""
        return speak(self.ports[name], "bob").get(f"/api/v1/endpoints/{PROD}/rollout")

    def takeover(self, number):
        """Send the one that has the rollout a signal; return how long it took until the other one has it."""
        assert self.holder == self.first
        self.signal("a", number)
        return self.wait(lambda: self.holder != self.first)


@pytest.fixture
def pair(postgres_database, tmp_path):
    with Pair(*postgres_database, tmp_path) as found:
        yield found
    found.world.memory.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_when_one_is_killed_or_asleep_the_other_goes_on_and_no_step_is_taken_twice(pair, number, record_property):
    pair.wait(lambda: len(pair.steps) >= 3)
    shown = [pair.show(name)["stable"] for name in "ab"]
    seconds = pair.takeover(number)
    record_property("seconds until the other one had it", round(seconds, 2))
    assert shown[0] == shown[1] and seconds < BUSY, "how busy may a machine be?"

    before = len(pair.steps)
    pair.wait(lambda: len(pair.steps) > before or isinstance(pair.steps[-1], Promoted))
    assert pair.show("b")["endpoint"] == str(PROD)
    if number == signal.SIGSTOP:
        pair.signal("a", signal.SIGCONT)
    controllers.check_whole(pair)
