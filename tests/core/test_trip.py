"""When does a breaker trip? Never a moment before enough is known, and never without its own sign."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.appearance import Appearance, Shows
from lockgate.core.breaker import (
    Breaker,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
)
from lockgate.core.danger import Danger, Severity
from lockgate.core.detection import Raised
from lockgate.core.report import NOTHING, Tally
from lockgate.core.trip import Sample, Signs, Sums, counted_in, tripped
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.traffic import counts
from tests.world import NOW, PROD

DOCUMENT, OTHER = Digest.of(b"alert"), Digest.of(b"other")
NONE = Tally(0, 0)
STORM = OnAlerts((Danger.JAILBREAK, Danger.GUARDRAIL), Severity.MEDIUM, 3, 60)
ERRORS = OnFailures("errors", 50, 20, 30)
TOOLS = OnFailures("tool", 50, 20, 30)
GUARD = OnUnguarded(90, 20, 30)
QUIET = Signs((), (), (), NOW - timedelta(days=1))
PINNED, BEFORE = OnProviderChanged("pinned"), OnProviderChanged("before")
UNLIKE, CHANGED = "version is pinned to 'a', and the provider shows 'b'", "snapshot was 'a', and is 'b'"


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def raised(*times, danger=Danger.JAILBREAK, severity=Severity.HIGH, document=DOCUMENT):
    return Raised(danger, severity, None, len(times), 7, times[-1], Name("guard"), document, times)


def alerted(*alerts, since=QUIET.since):
    return replace(QUIET, alerts=alerts, since=since)


def sums(answers=(0, 0), guardrail=(0, 0), tool=(0, 0)):
    return Sums(Tally(*answers), Tally(*guardrail), Tally(*tool))


def shown(unlike=(), changed_at=None, activated=QUIET.since, **changes):
    """Say what is known of one model: what is unlike its pins, and when it changed."""
    changed = (CHANGED,) if changed_at else ()
    one = Appearance(DOCUMENT, Name("gpt"), Shows("b"), unlike, 12, NOW, changed_at, changed)
    return replace(QUIET, appearances=(one,), activated={DOCUMENT: activated}, **changes)


def sampled(*pairs):
    """Give samples of one counter: so many seconds ago, these sums."""
    return replace(QUIET, samples=tuple(Sample(ago(seconds), {"host/1/a": found}) for seconds, found in pairs))


def trip(on, signs):
    return tripped(PROD, [Breaker(Name("rule"), on)], signs, NOW)


@pytest.mark.parametrize(
    "signs",
    [
        alerted(raised(ago(50), ago(30), ago(1))),
        alerted(
            raised(ago(50)),
            raised(ago(40), ago(1), danger=Danger.GUARDRAIL, severity=Severity.CRITICAL, document=OTHER),
        ),
        alerted(raised(ago(900), ago(50), ago(30), ago(1))),
        alerted(raised(ago(50), ago(30), ago(1)), since=ago(50)),
    ],
)
def test_a_storm_of_alerts_trips(signs):
    found = trip(STORM, signs)

    assert found is not None and set(found.alerts) <= {DOCUMENT, OTHER} and found.breaker.on == STORM


@pytest.mark.parametrize(
    "signs",
    [
        QUIET,
        alerted(raised(ago(30), ago(1))),
        alerted(raised(ago(60), ago(30), ago(1))),  # the first one is just out of the window
        alerted(raised(ago(50), ago(30), ago(1), severity=Severity.LOW)),
        alerted(raised(ago(50), ago(30), ago(1), danger=Danger.SECURITY)),
        alerted(raised(ago(50), ago(30), ago(1)), since=ago(40)),  # it was let in again since
        alerted(raised(ago(50), ago(30), ago(1)), since=ago(49)),
    ],
)
def test_what_is_no_storm_does_not_trip(signs):
    assert trip(STORM, signs) is None


@pytest.mark.parametrize(
    ("on", "signs", "tally"),
    [
        (ERRORS, sampled((30, sums()), (0, sums((20, 10)))), Tally(20, 10)),
        (ERRORS, sampled((40, sums((100, 0))), (0, sums((140, 40)))), Tally(40, 40)),
        (
            ERRORS,
            sampled((10, sums((100, 0))), (0, sums((140, 20)))),
            Tally(40, 20),
        ),  # watched for less than the window
        (TOOLS, sampled((30, sums()), (0, sums(tool=(20, 10)))), Tally(20, 10)),
        (replace(TOOLS, of="guardrail"), sampled((30, sums()), (0, sums(guardrail=(20, 10)))), Tally(20, 10)),
        (GUARD, sampled((30, sums()), (0, sums((20, 0), guardrail=(17, 0)))), Tally(20, 3)),
        (GUARD, sampled((30, sums((9, 0), (9, 1))), (0, sums((29, 0), (9, 1)))), Tally(20, 20)),
    ],
)
def test_what_was_counted_trips(on, signs, tally):
    found = trip(on, signs)

    assert found is not None and (found.counted, found.alerts, found.revoked) == (tally, (), ())


@pytest.mark.parametrize(
    ("on", "signs"),
    [
        (ERRORS, QUIET),
        (ERRORS, sampled((0, sums((1000, 1000))))),  # seen once: nobody knows when that was
        (ERRORS, sampled((30, sums()), (0, sums((19, 19))))),
        (ERRORS, sampled((30, sums()), (0, sums((21, 10))))),
        (ERRORS, sampled((60, sums()), (30, sums((20, 20))), (0, sums((40, 20))))),  # those were before the window
        (ERRORS, sampled((30, sums()), (0, sums((20, 0), tool=(20, 20))))),
        (TOOLS, sampled((30, sums()), (0, sums((20, 20))))),
        (ERRORS, sampled((30, sums((100, 50))), (0, sums((20, 20))))),  # counters went back: nothing is known
        (GUARD, sampled((30, sums()), (0, sums((20, 0), guardrail=(18, 18))))),
        (GUARD, sampled((30, sums()), (0, sums((19, 0))))),
        (GUARD, sampled((30, sums()), (0, sums((20, 0), guardrail=(40, 0))))),
        (OnRevoked(), QUIET),
        (OnRevoked(), shown((UNLIKE,))),
        (PINNED, QUIET),
        (PINNED, shown()),
        (PINNED, shown(changed_at=NOW)),  # what changed is not pinned
        (BEFORE, shown()),
        (BEFORE, shown(changed_at=ago(10), activated=ago(10))),  # it was let in with that
        (BEFORE, shown(changed_at=ago(20), activated=ago(10))),
        (PINNED, replace(QUIET, expired=("over",))),
        (OnOverrideExpired(), QUIET),
        (OnOverrideExpired(), shown((UNLIKE,), NOW)),
    ],
)
def test_what_is_too_little_or_something_else_does_not_trip(on, signs):
    assert trip(on, signs) is None


def test_what_was_revoked_trips_with_its_reasons():
    found = trip(OnRevoked(), replace(QUIET, revoked=("release magika@1.0.0 was revoked",)))

    assert found is not None and found.revoked == ("release magika@1.0.0 was revoked",)


@pytest.mark.parametrize(
    ("on", "signs", "why"),
    [
        (PINNED, shown((UNLIKE,)), (UNLIKE,)),
        (PINNED, shown((UNLIKE,), ago(9)), (UNLIKE,)),
        (BEFORE, shown((UNLIKE,)), (UNLIKE,)),
        (BEFORE, shown(changed_at=ago(9), activated=ago(10)), (CHANGED,)),
        (BEFORE, shown((UNLIKE,), ago(9), activated=ago(10)), (UNLIKE, CHANGED)),
    ],
)
def test_a_provider_that_shows_something_else_trips_with_the_entry_that_says_so(on, signs, why):
    found = trip(on, signs)

    assert found is not None and found.shown == tuple(f"provider-model gpt (entry 12): {what}" for what in why)


def test_an_override_that_is_over_trips_with_its_words():
    found = trip(OnOverrideExpired(), replace(QUIET, expired=("over",)))

    assert found is not None and (found.expired, found.shown, found.revoked) == (("over",), None, ())


def test_a_trip_says_only_what_it_is_about_so_that_older_ones_keep_their_digest():
    found = plain.to_plain(trip(OnRevoked(), replace(QUIET, revoked=("gone",))))

    assert isinstance(found, dict) and not {"shown", "expired"} & found.keys()


def test_what_shuts_down_comes_before_what_only_flags():
    flag, shut = Breaker(Name("flag"), OnRevoked(), "flag"), Breaker(Name("shut"), OnRevoked(), "shutdown")
    signs = replace(QUIET, revoked=("gone",))

    assert tripped(PROD, [flag, shut], signs, NOW).breaker == shut
    assert tripped(PROD, [flag], signs, NOW).breaker == flag


def test_the_first_breaker_that_trips_is_named():
    breakers = [
        Breaker(Name(name), on) for name, on in (("storm", STORM), ("revoked", OnRevoked()), ("again", OnRevoked()))
    ]
    found = tripped(PROD, breakers, replace(QUIET, revoked=("gone",)), NOW)

    assert found is not None and str(found.breaker.name) == "revoked"
    assert tripped(PROD, [], replace(QUIET, revoked=("gone",)), NOW) is None


def test_an_incarnation_that_comes_later_counts_from_where_it_was_first_seen():
    early = Sample(ago(30), {"host/1/a": sums((10, 0))})
    later = Sample(ago(10), {"host/1/a": sums((10, 0)), "host/2/a": sums((5, 5))})
    last = Sample(NOW, {"host/1/a": sums((15, 1)), "host/2/a": sums((9, 7))})

    assert counted_in([early, later, last], timedelta(seconds=30), NOW) == {"host": sums((9, 3))}


def test_one_that_is_gone_counts_no_more():
    early, last = Sample(ago(30), {"host/1/a": sums((0, 0))}), Sample(NOW, {})

    assert counted_in([early, last], timedelta(seconds=30), NOW) == {}


def fleet(**nodes):
    """Give samples of several nodes: what each counted within the last half minute."""
    first = {f"{name}/1/a": sums() for name in nodes}
    return replace(QUIET, samples=(Sample(ago(30), first), Sample(NOW, {f"{n}/1/a": one for n, one in nodes.items()})))


MILLION = 1_000_000


@pytest.mark.parametrize(
    ("on", "nodes", "tally"),
    [
        (ERRORS, {"liar": sums((MILLION, 0)), "one": sums((20, 10))}, Tally(20, 10)),
        (ERRORS, {"liar": sums((MILLION, 0)), "one": sums((10, 5)), "two": sums((10, 5))}, Tally(20, 10)),
        (TOOLS, {"liar": sums(tool=(MILLION, 0)), "one": sums(tool=(20, 20))}, Tally(20, 20)),
        (
            GUARD,
            {"liar": sums((MILLION, 0), guardrail=(MILLION, 0)), "one": sums((20, 0), guardrail=(17, 0))},
            Tally(20, 3),
        ),
        (ERRORS, {"one": sums((10, 5)), "two": sums((10, 5))}, Tally(20, 10)),
        (ERRORS, {"one": sums((1000, 0)), "ill": sums((20, 10))}, Tally(20, 10)),
    ],
)
def test_no_node_hides_what_others_count(on, nodes, tally):
    found = trip(on, fleet(**nodes))

    assert found is not None and found.counted == tally


@pytest.mark.parametrize(
    ("on", "nodes"),
    [
        (ERRORS, {"liar": sums((MILLION, 0)), "one": sums((19, 19))}),
        (ERRORS, {"liar": sums((MILLION, 0)), "one": sums((21, 10))}),
        (ERRORS, {"liar": sums((MILLION, 0)), "one": sums((10, 5)), "two": sums((11, 5))}),
        (GUARD, {"one": sums((20, 0), guardrail=(18, 0)), "two": sums((20, 0), guardrail=(18, 0))}),
        (GUARD, {"one": sums((19, 0)), "two": sums((MILLION, 0), guardrail=(MILLION, 0))}),
    ],
)
def test_what_is_enough_at_no_node_and_not_together_does_not_trip(on, nodes):
    assert trip(on, fleet(**nodes)) is None


def test_breakers_read_what_a_node_counts():
    found = Sums.of(counts(20, 3, guardrail=(20, 2), tool=(7, 1)))

    assert found == sums((20, 3), (20, 2), (7, 1))
    assert Sums.of(counts(20, 3, named=(7, 5))) == sums((27, 8))
    assert Sums.of(NOTHING) == sums()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20), st.integers(1, 20))
def test_a_window_never_counts_more_than_was_counted_in_it(steps, seconds):
    total, bad, samples = 0, 0, []
    for place, (more, worse) in enumerate(steps):
        total, bad = total + more, bad + min(more, worse)
        samples.append(Sample(ago(len(steps) - 1 - place), {"x": sums((total, bad))}))

    found = counted_in(samples, timedelta(seconds=seconds), NOW)["x"].answers

    inside = [(more, min(more, worse)) for more, worse in steps[1:][-seconds:]]
    assert found == Tally(sum(more for more, _ in inside), sum(worse for _, worse in inside))
