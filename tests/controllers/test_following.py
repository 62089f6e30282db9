"""Is a rollback measured by what hosts report, and is one that does not come told?"""

from datetime import timedelta

import pytest

from lockgate.app.follow_rollback import follow_rollback, leads_of
from lockgate.app.ports import Measured
from lockgate.app.take_presence import take_presence
from lockgate.controllers.rollouts import Rollouts
from lockgate.core.journal import read_fact
from lockgate.core.presence import Presence, Run, sign_presence
from lockgate.core.report import NOTHING, Counted
from lockgate.core.restoration import Overdue, Restoration, Restored, settle
from lockgate.core.rights import Role
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.rolling import begin
from tests.traffic import Host
from tests.world import NOW, PEOPLE, PROD, World, key


class Reporting(Host):
    """A host that says to which release it leads new requests."""

    def say(self, **weights):
        versions = {"former": "1.0.0", "latest": "1.1.0"}
        self.weights = {self.world.record(f"magika@{versions[name]}").release: one for name, one in weights.items()}
        self.send()

    def counted(self):
        return tuple(Counted(PROD, release, NOTHING, weight) for release, weight in self.weights.items())


@pytest.fixture
def world(monkeypatch):
    for name in ("host-2", "host-3"):
        monkeypatch.setitem(PEOPLE, name, (Role.AGENT,))
    found = World()
    found.memory.clock = lambda: found.now
    found.serve("1.0.0")
    found.serve("1.1.0")
    yield found
    found.check()


def hosts(world, *names):
    found = [Reporting(world, name) for name in names]
    for host in found:
        host.say(former=0, latest=100)
    return found


def look(world, seconds=1.0):
    """Let time go by, and a controller look."""
    world.now += timedelta(seconds=seconds)
    Rollouts(world.installation, lambda: world.now).look()
    return world.endpoint().restoration


def said(world):
    facts = [read_fact(entry) for entry in world.memory.entries(0, world.memory.size())]
    return [event for _, event in facts if isinstance(event, Restored | Overdue)]


def test_a_rollback_is_done_when_every_host_leads_everything_to_the_former_release(world):
    one, two = hosts(world, "host-1", "host-2")
    receipt = world.roll_back()
    assert look(world).milliseconds is None

    one.say(former=100)
    assert look(world).milliseconds is None
    two.say(former=100)
    done = look(world)
    assert (done.milliseconds, done.overdue, done.window_seconds) == (3000, False, 60)
    assert said(world) == [
        Restored(PROD, world.endpoint().stable.release, receipt.first, 3000, 60, (one.node, two.node))
    ]
    assert look(world) == done and len(said(world)) == 1


@pytest.mark.parametrize(
    "weights",
    [
        {"former": 0, "latest": 100},
        {"former": 99},
        {"former": None},
        {"latest": 100},
        {"former": 100, "latest": 100},
        {"former": 100, "latest": 1},
        {"former": 100, "latest": None},
    ],
)
def test_a_host_that_leads_anything_elsewhere_has_not_said_so(world, weights):
    (one,) = hosts(world, "host-1")
    world.roll_back()
    world.now += timedelta(seconds=1)
    one.say(**weights)

    assert look(world, 58).milliseconds is None and said(world) == []
    one.say(**weights)
    assert look(world).overdue and said(world)[0].waiting == (one.node,) and said(world)[0].silent is None


def test_what_a_host_said_before_the_order_or_of_another_life_does_not_count(world):
    (one,) = hosts(world, "host-1")
    one.say(former=100)
    world.now += timedelta(seconds=1)
    world.roll_back()
    assert look(world).milliseconds is None

    one.say(former=100)
    one.begin_anew()
    one.say(former=40)
    assert look(world).milliseconds is None
    one.say(former=100)
    assert look(world).milliseconds == 3000


def test_a_host_that_falls_silent_is_waited_for_and_one_that_was_silent_before_until_its_lease_is_over(world):
    (gone,) = hosts(world, "host-3")
    world.now += timedelta(seconds=51)
    one, silent = hosts(world, "host-1", "host-2")
    world.roll_back()
    world.now += timedelta(seconds=1)
    one.say(former=100)
    silent.say(former=100)

    assert look(world, 29).milliseconds is None, "its last lease may last for 30 seconds from the order"
    assert look(world).milliseconds == 31_000
    assert said(world)[-1].nodes == (one.node, silent.node) and gone.node not in said(world)[-1].nodes


def test_a_host_that_was_silent_only_since_the_order_is_waited_for_after_its_lease_too(world):
    one, silent = hosts(world, "host-1", "host-2")
    world.roll_back()
    world.now += timedelta(seconds=1)
    one.say(former=100)

    assert look(world, 60).waiting == (silent.node,) == said(world)[-1].silent
    silent.say(former=100)
    assert look(world).milliseconds == 62_000 and world.endpoint().restoration.overdue


def attend(world, host, version, *, number, ready=True, epoch=None):
    """Say what runs on a host that has no gateway."""
    record, stands = world.record(f"magika@{version}"), world.endpoint().epoch if epoch is None else epoch
    run = Run(PROD, record.release, stands, ready)
    said = Presence(Name(host), "a" * 32, number, world.now, alone=False, runs=(run,))
    take_presence(world.installation, sign_presence(said, key(host)), Name(host), world.now)


def test_a_host_without_a_gateway_is_waited_for_until_the_release_runs_there_and_answers(world):
    (one,) = hosts(world, "host-1")
    attend(world, "host-2", "1.1.0", number=1)
    before = world.endpoint().epoch
    receipt = world.roll_back()
    assert look(world).milliseconds is None
    one.say(former=100)

    for number, word in enumerate(({"ready": False}, {"epoch": before}, {"version": "1.1.0"}), 2):
        attend(world, "host-2", **{"version": "1.0.0", "number": number} | word)
        assert look(world).milliseconds is None
    attend(world, "host-2", "1.0.0", number=5)
    assert look(world).milliseconds == 5000
    release = world.endpoint().stable.release
    assert said(world) == [Restored(PROD, release, receipt.first, 5000, 60, (one.node, Name("host-2")))]


def test_a_host_without_a_gateway_that_says_nothing_is_named_and_not_counted_as_back(world):
    (one,) = hosts(world, "host-1")
    attend(world, "host-2", "1.1.0", number=1)
    world.roll_back()
    attend(world, "host-2", "1.0.0", number=2)
    world.now += timedelta(seconds=59)
    one.say(former=100)

    assert look(world).overdue
    assert (said(world)[0].waiting, said(world)[0].silent) == ((Name("host-2"),), (Name("host-2"),))


@pytest.mark.parametrize(("later", "done"), [(30, False), (31, True)])
def test_a_host_that_lost_its_gateway_speaks_in_the_other_way_since(world, later, done):
    hosts(world, "host-1")
    world.roll_back()
    world.now += timedelta(seconds=later)
    attend(world, "host-1", "1.0.0", number=1)

    assert (look(world, 0).milliseconds is not None) is done


DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("silent_for", "passed", "lease", "waited"),
    [
        (51, 20, MINUTE, True),
        (51, 60, MINUTE, True),
        (51, 61, MINUTE, False),
        (30, 61, MINUTE, True),
        (86_400, 20, MINUTE, True),
        (86_401, 20, MINUTE, False),
    ],
)
def test_who_may_still_serve_what_was_replaced_is_missing(silent_for, passed, lease, waited):
    former, latest = Digest.of(b"former"), Digest.of(b"latest")
    restoration, now = Restoration(former, 7, NOW), NOW + timedelta(seconds=passed)
    age = timedelta(seconds=silent_for + passed)
    missing = Measured(Name("host-1"), "i" * 16, 5, Counted(PROD, latest, NOTHING, 100), age)
    done = Measured(Name("host-2"), "i" * 16, 5, Counted(PROD, former, NOTHING, 100), timedelta(0))

    leads = leads_of([missing, done], restoration, NOW - DAY, lease, now)

    assert leads == {Name("host-2"): "back"} | ({Name("host-1"): "silent"} if waited else {})
    assert isinstance(settle(PROD, restoration, leads, 5, now), Overdue if waited else Restored)


def test_a_host_that_reported_since_what_was_replaced_was_activated_is_waited_for(world):
    hosts(world, "host-3")
    world.now += timedelta(days=3)
    (one,) = hosts(world, "host-1")
    world.roll_back()
    one.world.now += timedelta(seconds=1)
    one.say(former=100)

    assert look(world, 20).milliseconds is None
    assert look(world, 20).milliseconds == 41_000


def test_where_no_host_reports_nobody_knows_and_that_is_told(world):
    world.roll_back()

    assert look(world, 59).overdue is False
    assert look(world).overdue and said(world)[0].waiting == ()


def test_what_comes_after_a_rollback_ends_the_looking(world):
    world.roll_back()
    world.shut_down()
    assert world.endpoint().restoration is None and look(world, 61) is None and said(world) == []
    assert follow_rollback(world.installation, PROD, world.now) is None


def test_a_new_release_or_a_candidate_is_no_part_of_the_rollback(world):
    world.roll_back()
    begin(world, "1.2.0")
    assert world.endpoint().restoration is None
