"""Is a change of what a provider serves told from what is no news, and do older results count no more?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.appearance import (
    KEPT,
    Appearances,
    Glimpse,
    Observed,
    Shows,
    evolve,
    observe,
    wrong_appearances,
)
from lockgate.core.evidence import Evidence
from lockgate.core.policy import Evaluation
from lockgate.core.requirement import show
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.test_provider import OPEN, model
from tests.world import NOW, PROD, SUITE, World, key, rules

RELEASE, ORDER, GPT = Digest.of(b"release"), Digest.of(b"order"), Name("gpt")
MINUTE = timedelta(minutes=1)
PINNED = Shows("2026-08-07", "eu-west-1", "direct")


def seen(shows, known=None, pinned=None, component=GPT):
    return observe(Glimpse(PROD, RELEASE, component, shows), pinned or model(), known, Name("guard"), ORDER)


def history(*shows, pinned=None):
    known = None
    for number, one in enumerate(shows):
        known = evolve(known, seen(one, known, pinned), 10 + number, NOW + number * MINUTE)
    return known


def test_what_is_as_pinned_is_written_down_once_and_changes_nothing():
    event = seen(PINNED)

    assert (event.changed, event.unlike) == ((), ())
    (found,) = history(PINNED).of(RELEASE)
    assert (found.shows, found.changed_at, found.index, found.at) == (PINNED, None, 10, NOW)
    for less in (PINNED, Shows("2026-08-07"), Shows(region="eu-west-1")):
        with pytest.raises(DeniedError, match="that is no news"):
            seen(less, history(PINNED))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": "2026-09-01"}, "version is pinned to '2026-08-07', and the provider shows '2026-09-01'"),
        ({"region": "us-east-1"}, "region is pinned to 'eu-west-1', and the provider shows 'us-east-1'"),
        ({"routing": "relayed"}, "routing is pinned to 'direct', and the provider shows 'relayed'"),
    ],
)
def test_what_is_another_than_pinned_is_a_change_at_first_sight(change, told):
    event = seen(replace(PINNED, **change))

    assert event.unlike == event.changed == (told,)


def test_what_is_not_pinned_changes_when_it_is_another_than_before():
    first = history(Shows(version="a", snapshot="fp_1"), pinned=model(OPEN))
    event = seen(Shows(snapshot="fp_2"), first, model(OPEN))

    assert first.seen[0].changed_at is None
    assert (event.changed, event.unlike) == (("snapshot was 'fp_1', and is 'fp_2'",), ())
    second = evolve(first, event, 11, NOW + MINUTE)
    assert second.seen[0].shows == Shows(version="a", snapshot="fp_2")
    assert second.seen[0].changed_at == NOW + MINUTE


def test_something_told_for_the_first_time_is_news_and_no_change():
    known = history(Shows(version="2026-08-07"), PINNED)

    assert known.seen[0].shows == PINNED
    assert known.seen[0].changed_at is None


def test_a_pin_that_did_not_hold_stays_said_when_something_else_is_told():
    known = history(Shows(version="2026-09-01"), Shows(region="eu-west-1"))

    assert len(known.seen[0].unlike) == 1
    assert known.seen[0].changed_at == NOW  # the second glimpse changed nothing


def test_a_provider_that_goes_back_has_changed_again_and_is_as_pinned():
    known = history(PINNED, replace(PINNED, version="2026-09-01"), PINNED)

    assert known.seen[0].unlike == ()
    assert known.seen[0].changed == ("version was '2026-09-01', and is '2026-08-07'",)
    assert known.seen[0].changed_at == NOW + 2 * MINUTE


def test_each_release_and_component_has_an_appearance_of_its_own_and_the_oldest_is_forgotten():
    known = history(PINNED)
    for number in range(KEPT + 1):
        known = evolve(known, seen(PINNED, known, component=Name(f"m-{number}")), 20 + number, NOW)

    assert len(known.seen) == KEPT
    assert known.seen[-1].component == Name(f"m-{KEPT}")
    assert known.of(Digest.of(b"other")) == ()


@pytest.mark.parametrize(
    "shows",
    [Shows(), Shows(version=""), Shows(region=" eu"), Shows(snapshot="a\nb"), Shows(routing="é"), Shows("v" * 201)],
)
def test_what_shows_nothing_that_can_be_read_is_refused(shows):
    with pytest.raises(VerificationError):
        seen(shows)


def judged(known, *runs, wanted=None):
    world = World()
    release = world.register()
    names = [Digest.of(b"%d" % number) for number in range(len(runs))]
    evidence = [Evidence(run, name, key("results").public, name) for run, name in zip(runs, names, strict=True)]
    ruled = replace(rules(), evaluations=wanted or (Evaluation(SUITE, {"accuracy": "0.95"}, 30),))
    assert release
    return [*wrong_appearances(ruled, known.of(RELEASE), show(evidence, (), "log", NOW))]


def ran(at, **changes):
    return replace(World().ran(), finished_at=at, **changes)


CHANGED = history(PINNED, replace(PINNED, version="2026-09-01"), PINNED)  # at NOW + 2 minutes, as pinned again
AFTER, AT, BEFORE = NOW + 3 * MINUTE, NOW + 2 * MINUTE, NOW + MINUTE


def test_a_result_of_after_the_change_counts_and_one_of_before_does_not():
    assert judged(CHANGED, ran(AFTER, started_at=AFTER)) == []
    assert judged(history(PINNED), ran(BEFORE)) == []
    (found,) = judged(CHANGED, ran(BEFORE))
    assert (found.kind, found.about) == ("evaluation", SUITE)
    assert found.text.startswith(f"suite {SUITE} did not begin after provider-model gpt changed at ")


@pytest.mark.parametrize("run", [ran(AT), ran(AFTER), ran(AFTER, started_at=AT), ran(AFTER, started_at=BEFORE)])
def test_a_run_that_began_when_it_changed_or_before_counts_no_more(run):
    assert [one.kind for one in judged(CHANGED, run)] == ["evaluation"]


def test_only_suites_that_are_wanted_are_held_against_it():
    other = (Evaluation("other", {"accuracy": "0.95"}, 30),)

    assert judged(CHANGED, ran(BEFORE), wanted=other) == []


def test_a_pin_that_does_not_hold_is_an_objection_whatever_passed():
    known = history(replace(PINNED, version="2026-09-01"))

    (found,) = judged(known, ran(AFTER, started_at=AFTER))
    assert (found.kind, found.about) == ("pins", "gpt")
    assert "the provider shows '2026-09-01'" in found.text


def test_the_events_are_what_the_log_stores():
    assert Observed.type == "provider.observed/v1"
    assert Appearances.kind == "appearances"
