"""Is a change behind a hosted model noticed, and does the release have to be evaluated again?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.observe_provider import observe_provider
from lockgate.core.appearance import Appearances, Glimpse, Shows
from lockgate.core.journal import appearances_subject
from lockgate.core.release import Release
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.core.test_provider import OPEN, written
from tests.world import PROD, World

MODEL, HOUR = Name("provider-model"), timedelta(hours=1)


def look(world: World, served: Release, shows: Shows, who: str = "guard", **changes: object) -> None:
    given = {"endpoint": PROD, "release": served.digest, "component": MODEL, "shows": shows, **changes}
    glimpse = Glimpse(**given)  # type: ignore[arg-type]
    said = world.say(who, "provider.observe", glimpse.endpoint, before=glimpse.release, after=glimpse.digest)
    observe_provider(world.installation, glimpse, said, world.now)


def resumed(world: World, release: Release) -> None:
    world.shut_down()
    number = world.open(release, resumes=True)
    world.approve(number)
    world.activate(number)


@pytest.fixture
def served(world: World) -> Release:
    release = world.serve(hosted=written(OPEN))
    look(world, release, Shows("a", "eu-west-1", snapshot="fp_1"))
    world.now += HOUR
    return release


def test_a_model_that_is_what_it_was_needs_nothing(world: World, served: Release) -> None:
    with pytest.raises(DeniedError, match="that is no news"):
        look(world, served, Shows(snapshot="fp_1"))

    resumed(world, served)


def test_after_a_change_nothing_passes_until_the_suite_ran_again(world: World, served: Release) -> None:
    look(world, served, Shows(snapshot="fp_2"), who="host-1")
    world.now += HOUR

    with pytest.raises(DeniedError, match="suite file-types did not begin after provider-model provider-model"):
        resumed(world, served)

    world.attest(served, replace(world.ran(), started_at=world.now))
    number = world.open(served, resumes=True)
    world.approve(number)
    world.activate(number)
    found = world.memory.find(appearances_subject(PROD))
    assert isinstance(found, Appearances) and found.seen[0].changed == ("snapshot was 'fp_1', and is 'fp_2'",)


def test_a_pin_that_does_not_hold_is_held_against_the_release_whatever_passed(world: World, served: Release) -> None:
    look(world, served, Shows(region="us-east-1"))
    world.now += HOUR
    world.attest(served, replace(world.ran(), started_at=world.now))

    with pytest.raises(DeniedError, match="region is pinned to 'eu-west-1', and the provider shows 'us-east-1'"):
        resumed(world, served)


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "ci", "mallory"])
def test_nobody_else_may_say_what_a_provider_shows(world: World, served: Release, who: str) -> None:
    with pytest.raises((DeniedError, VerificationError)):
        look(world, served, Shows(snapshot="fp_2"), who=who)


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": Endpoint.parse("dev/magika")},
        {"endpoint": Endpoint.parse("prod/other")},
        {"release": Digest.of(b"another release")},
        {"component": Name("weights")},
    ],
)
def test_what_does_not_serve_there_was_not_seen(world: World, served: Release, changes: dict[str, object]) -> None:
    with pytest.raises(DeniedError):
        look(world, served, Shows(snapshot="fp_2"), "guard", **changes)


def test_what_was_seen_is_what_was_signed(world: World, served: Release) -> None:
    glimpse = Glimpse(PROD, served.digest, MODEL, Shows(snapshot="fp_2"))
    other = Glimpse(PROD, served.digest, MODEL, Shows(snapshot="fp_3"))
    said = world.say("guard", "provider.observe", PROD, before=served.digest, after=other.digest)

    with pytest.raises(DeniedError, match="the intent says after"):
        observe_provider(world.installation, glimpse, said, world.now)
