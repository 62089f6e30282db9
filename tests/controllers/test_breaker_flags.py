"""Does a rule watch what providers show and which overrides are over, and does one that only flags stop nothing?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.trip_breaker import trip_breaker
from lockgate.app.watch_breakers import guarded
from lockgate.controllers.breakers import Breakers
from lockgate.core.appearance import Shows
from lockgate.core.endpoint import Flagged, Tripped
from lockgate.core.journal import read_fact
from lockgate.core.trip import Trip
from tests.app.test_adopt import adopt
from tests.core.strategies import CANARY
from tests.core.test_provider import OPEN, written
from tests.exceptional import BLOCK, failed_change, overridden
from tests.guarded import ALL, CRITICAL, EXPIRED, PROVIDER, REVOKED, Watched
from tests.obligations.test_provider_change_reevaluation import look as seen
from tests.rolling import asked, open_rollout
from tests.warning import warn
from tests.world import PROD, rules

FLAG = replace(CRITICAL, then="flag")


def hosted(*breakers):
    """Let a release with a hosted model serve, whose model was seen once."""
    watched = Watched(*breakers, hosted=written(OPEN))
    seen(watched.world, watched.release, Shows("a", "eu-west-1", snapshot="fp_1"))
    return watched


def events(watched, kind):
    entries = watched.world.memory.entries(0, watched.world.memory.size())
    return [event for event in (read_fact(entry)[1] for entry in entries) if isinstance(event, kind)]


def test_a_model_that_is_as_pinned_and_as_before_shuts_nothing_down():
    watched = hosted(PROVIDER)

    assert not watched.look().suspended
    seen(watched.world, watched.release, Shows(routing="direct"))  # told for the first time
    assert not watched.look().suspended


@pytest.mark.parametrize("shows", [Shows(snapshot="fp_2"), Shows(region="us-east-1")])
def test_a_model_that_changes_shuts_it_down_and_the_rule_is_the_actor(shows):
    watched = hosted(*ALL, PROVIDER)
    assert not watched.look().suspended
    watched.world.now += timedelta(seconds=1)
    seen(watched.world, watched.release, shows)

    state = watched.look(0)

    assert state.suspended and state.tripped == PROVIDER.name
    envelope, _, why = watched.trip()
    assert envelope.actor == "breaker:provider" and "provider-model provider-model (entry " in why.shown[0]
    assert asked(watched.world, "magika@1.0.0") == {}
    watched.world.check()


def test_what_is_not_pinned_may_change_where_only_pins_are_asked_for():
    only = replace(PROVIDER, on=replace(PROVIDER.on, than="pinned"))
    watched = hosted(only)
    watched.world.now += timedelta(seconds=1)
    seen(watched.world, watched.release, Shows(snapshot="fp_2"))
    assert not watched.look().suspended

    seen(watched.world, watched.release, Shows(region="us-east-1"))
    assert watched.look(0).tripped == only.name


def test_a_model_of_what_does_not_serve_any_more_is_nobody_s_business():
    watched = hosted(PROVIDER)
    watched.world.serve("2.0.0")
    seen(watched.world, watched.release, Shows(region="us-east-1"))

    assert not watched.look().suspended


def test_after_new_results_it_resumes_and_the_old_change_does_not_shut_it_again():
    watched = hosted(PROVIDER)
    world = watched.world
    world.now += timedelta(seconds=1)
    seen(world, watched.release, Shows(snapshot="fp_2"))
    assert watched.look(1).suspended
    world.now += timedelta(seconds=1)
    world.attest(watched.release, replace(world.ran(), started_at=world.now))
    number = world.open(watched.release, resumes=True)
    world.approve(number)
    world.activate(number)

    assert not watched.look().suspended


def test_the_model_of_a_candidate_counts_too():
    watched = Watched(PROVIDER)
    candidate = watched.world.register("2.0.0", hosted=written(OPEN))
    watched.world.attest(candidate)
    number = open_rollout(watched.world, candidate, CANARY)
    watched.world.approve(number)
    watched.world.activate(number)
    assert not watched.look().suspended
    seen(watched.world, candidate, Shows(region="us-east-1"))

    assert watched.look(0).tripped == PROVIDER.name


def test_a_breaker_that_only_flags_does_so_once_and_stops_nothing():
    watched = hosted(replace(PROVIDER, then="flag"))
    watched.world.now += timedelta(seconds=1)
    seen(watched.world, watched.release, Shows(snapshot="fp_2"))
    for _ in range(3):
        state = watched.look()
    Breakers(watched.world.installation, lambda: watched.world.now).look()

    assert not state.suspended and [flag.breaker for flag in state.flagged] == [PROVIDER.name]
    assert len(events(watched, Flagged)) == 1 and events(watched, Tripped) == []
    assert asked(watched.world, "magika@1.0.0")
    watched.world.check()


def test_each_breaker_that_flags_does_so():
    watched = Watched(FLAG, replace(REVOKED, then="flag"))
    warn(watched.world, "security", "critical")
    watched.world.revoke("magika@1.0.0")
    watched.look(0)

    assert [flag.breaker for flag in watched.look(0).flagged] == [CRITICAL.name, REVOKED.name]


def test_a_flag_holds_up_no_other_breaker_and_is_over_with_the_shutdown():
    watched = Watched(FLAG, REVOKED)
    warn(watched.world, "security", "critical")
    assert watched.look(0).flagged

    watched.world.revoke("magika@1.0.0")
    state = watched.look(0)
    assert state.tripped == REVOKED.name and state.flagged is None


def test_a_flag_is_over_when_another_release_is_let_in():
    watched = Watched(FLAG)
    warn(watched.world, "security", "critical")
    assert watched.look(0).flagged

    watched.world.serve("1.1.0")
    assert watched.world.endpoint().flagged is None


def test_a_breaker_that_flagged_shuts_down_when_the_policy_says_so_later():
    watched = Watched(FLAG)
    warn(watched.world, "security", "critical")
    assert watched.look(0).flagged
    world = watched.world
    ruled = replace(rules(), breakers=(CRITICAL,))
    adopt(world, replace(world.policy, version=3, endpoints={str(PROD): ruled}))

    assert watched.look(0).tripped == CRITICAL.name


def test_who_comes_second_with_a_flag_finds_it_done():
    watched = Watched(FLAG)
    (at,) = guarded(watched.world.installation)
    trip = Trip(PROD, FLAG, (), None, (), watched.world.now)

    assert trip_breaker(watched.world.installation, trip, at.state.epoch, watched.world.now) is not None
    assert trip_breaker(watched.world.installation, trip, at.state.epoch, watched.world.now) is None


def let_through(*breakers):
    """Let a release through that failed, by an override of a day."""
    watched = Watched(*breakers, overrides=BLOCK)
    number = failed_change(watched.world, "1.1.0")
    overridden(watched.world, number)
    watched.world.approve(number)
    watched.world.activate(number)
    return watched


def test_an_override_that_is_over_shuts_down_what_it_let_through():
    watched = let_through(EXPIRED)
    assert not watched.look(24 * 3600 - 1).suspended

    state = watched.look(1)

    assert state.tripped == EXPIRED.name
    assert "the override has expired at " in watched.trip()[2].expired[0]


def test_without_that_rule_or_when_something_else_serves_it_shuts_nothing_down():
    watched = let_through(REVOKED)
    assert not watched.look(25 * 3600).suspended

    other = let_through(EXPIRED)
    other.world.serve("1.2.0")
    assert not other.look(25 * 3600).suspended
