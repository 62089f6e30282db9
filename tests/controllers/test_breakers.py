"""Does a rule of the policy shut an endpoint down by itself, once, with its numbers, and until a person resumes it?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.app.trip_breaker import trip_breaker
from lockgate.app.watch_breakers import guarded
from lockgate.controllers.breakers import SAMPLES, Breakers
from lockgate.core.report import Tally
from lockgate.core.trip import Trip
from lockgate.errors import ConflictError, DeniedError, UnavailableError
from lockgate.formats.names import Name
from tests.app.test_watch import backup, restore
from tests.guarded import ALL, CRITICAL, GUARD, REVOKED, STORM, TOOLS, Watched
from tests.rolling import asked, begin
from tests.warning import warn
from tests.world import PROD


def test_an_alert_shuts_the_endpoint_down_and_the_rule_is_the_actor():
    watched = Watched(*ALL)
    assert not watched.look().suspended
    warn(watched.world, "security", "critical")

    state = watched.look(0)

    assert state.suspended and str(state.tripped) == "critical"
    envelope, event, why = watched.trip()
    assert (envelope.actor, event.policy) == ("breaker:critical", watched.world.installation.policy().digest)
    assert why.breaker == CRITICAL and len(why.alerts) == 1
    assert asked(watched.world, "magika@1.0.0") == {}
    watched.world.check()


@pytest.mark.parametrize(
    ("kind", "severity", "times", "apart"),
    [
        ("security", "high", 1, 0),
        ("tool", "critical", 3, 0),
        ("jailbreak", "high", 2, 0),
        ("jailbreak", "low", 3, 0),
        ("jailbreak", "high", 3, 31),
    ],
)
def test_what_is_not_so_bad_or_not_so_often_shuts_nothing(kind, severity, times, apart):
    watched = Watched(*ALL)
    for _ in range(times):
        watched.world.now += timedelta(seconds=apart)
        warn(watched.world, kind, severity)
        assert not watched.look().suspended


def test_a_storm_of_alerts_shuts_it_down():
    watched = Watched(*ALL)
    for _ in range(3):
        assert not watched.look(10).suspended
        warn(watched.world, "jailbreak", "medium")

    assert watched.look(0).tripped == STORM.name


def test_tool_calls_that_fail_shut_it_down():
    watched = Watched(*ALL)
    for _ in range(5):
        assert not watched.look(requests=10, tool=(10, 1), guardrail=(10, 0)).suspended
    watched.look(requests=40, tool=(40, 39), guardrail=(40, 0))

    _, event, why = watched.trip()
    assert event.breaker == TOOLS.name
    assert why.counted == Tally(80, 43)


def test_a_guardrail_that_says_nothing_shuts_it_down():
    watched = Watched(*ALL)
    for _ in range(5):
        assert not watched.look(requests=10, guardrail=(10, 2)).suspended
    for _ in range(5):
        watched.look(requests=10)

    _, event, why = watched.trip()
    assert event.breaker == GUARD.name and why.counted is not None
    assert why.counted.total >= 20 and why.counted.bad * 10 > why.counted.total


def test_without_breakers_nothing_is_watched():
    watched = Watched()
    warn(watched.world, "security", "critical")

    assert not watched.look(requests=100, failed=100, tool=(100, 100)).suspended
    assert list(guarded(watched.world.installation)) == []


@pytest.mark.parametrize("what", ["magika@1.0.0", "components", "results", "bob"])
def test_what_was_revoked_shuts_it_down(what):
    watched = Watched(*ALL)
    assert not watched.look().suspended
    watched.world.revoke(what)

    assert watched.look(0).tripped == REVOKED.name
    assert watched.trip()[2].revoked


@pytest.mark.parametrize("what", ["guard", "ci"])
def test_a_key_that_let_nothing_in_shuts_nothing_down(what):
    watched = Watched(*ALL)
    watched.world.revoke(what)

    assert not watched.look().suspended


def test_who_left_since_shuts_nothing_down():
    watched = Watched(*ALL)
    watched.look()
    watched.world.offboard("alice")

    assert not watched.look().suspended


def test_a_release_that_served_before_is_nobody_s_business():
    watched = Watched(*ALL)
    watched.world.serve("1.1.0")
    watched.world.revoke("magika@1.0.0")
    warn(watched.world, "security", "critical", watched.world.endpoint().slots[0].release)

    assert not watched.look().suspended


def test_a_rollout_ends_with_it_and_its_change_has_failed():
    watched = Watched(*ALL)
    number = begin(watched.world)
    candidate = watched.world.endpoint().rollout.candidate.release
    warn(watched.world, "security", "critical", candidate)

    state = watched.look(0)

    assert state.suspended and state.rollout is None and str(state.tripped) == "critical"
    assert (watched.world.change(number).phase, watched.world.change(number).outcome) == ("closed", "failed")
    watched.world.check()


def test_it_stays_shut_and_old_alerts_do_not_shut_it_again():
    watched = Watched(*ALL)
    warn(watched.world, "security", "critical")
    assert watched.look(0).suspended
    assert watched.look().suspended

    number = watched.world.open(watched.release, resumes=True)
    watched.world.approve(number)
    watched.world.now += timedelta(seconds=1)
    watched.world.activate(number)
    state = watched.look()
    assert not state.suspended and state.tripped is None

    warn(watched.world, "security", "critical")
    assert watched.look(0).suspended


def test_two_servers_do_it_once():
    watched = Watched(*ALL)
    other = Breakers(watched.world.installation, lambda: watched.world.now)
    warn(watched.world, "security", "critical")
    watched.look(0)
    size = watched.world.memory.size()

    other.look()

    assert watched.world.memory.size() == size


def test_an_endpoint_that_has_changed_is_looked_at_again():
    watched = Watched(*ALL)
    (at,) = guarded(watched.world.installation)
    trip = Trip(PROD, CRITICAL, (), None, (), watched.world.now)
    with pytest.raises(ConflictError):
        trip_breaker(watched.world.installation, trip, at.state.epoch - 1, watched.world.now)
    with pytest.raises(ConflictError):
        changed = replace(CRITICAL, name=Name("other"))
        trip_breaker(watched.world.installation, replace(trip, breaker=changed), at.state.epoch, watched.world.now)

    assert not watched.world.endpoint().suspended
    assert trip_breaker(watched.world.installation, trip, at.state.epoch, watched.world.now) is not None
    assert trip_breaker(watched.world.installation, trip, at.state.epoch, watched.world.now) is None


def test_nobody_rolls_back_out_of_it():
    watched = Watched(*ALL)
    watched.world.serve("1.1.0")
    warn(watched.world, "security", "critical")
    watched.look(0)

    with pytest.raises(DeniedError, match="suspended"):
        watched.world.roll_back()


def test_samples_are_as_few_as_the_window_needs():
    watched = Watched(TOOLS)
    for _ in range(300):
        watched.look(seconds=0.1, requests=1)

    assert len(watched.breakers._samples[PROD]) <= SAMPLES + 2
    assert watched.breakers._samples[PROD][0].at <= watched.world.now - timedelta(seconds=29)


def test_a_log_that_was_put_back_does_not_hinder_it():
    watched = Watched(*ALL)
    before = backup(watched.world)
    watched.world.serve("1.1.0")
    publish_checkpoint(watched.world.installation)
    after = backup(watched.world)
    restore(watched.world, before)
    with pytest.raises(UnavailableError, match="frozen"):
        watched.world.installation.watch.look()
    assert watched.world.installation.watch.frozen
    trip = Trip(PROD, CRITICAL, (), None, (), watched.world.now)

    receipt = trip_breaker(watched.world.installation, trip, watched.world.endpoint().epoch, watched.world.now)

    assert receipt is not None and watched.world.endpoint().suspended
    restore(watched.world, after)
