"""Which breakers mean something? Those that can trip at all, and not at everything."""

from dataclasses import replace

import pytest

from lockgate.core.breaker import (
    MAX_BREAKERS,
    RECENT,
    Breaker,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
    check_breakers,
    longest,
)
from lockgate.core.danger import Danger, Severity
from lockgate.core.policy import Rules
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.world import PROD, rules

ALERTS = OnAlerts((Danger.SECURITY,), Severity.CRITICAL, 1, 60)
FAILURES = OnFailures("tool", 50, 20, 30)
UNGUARDED = OnUnguarded(90, 20, 60)


def named(on, name="rule"):
    return Breaker(Name(name), on)


@pytest.mark.parametrize(
    "on",
    [
        ALERTS,
        replace(ALERTS, count=RECENT, seconds=600, kinds=tuple(Danger)),
        FAILURES,
        replace(FAILURES, percent=100, requests=1_000_000, seconds=1),
        replace(FAILURES, percent=1, requests=1),
        UNGUARDED,
        OnRevoked(),
        OnProviderChanged("pinned"),
        OnProviderChanged("before"),
        OnOverrideExpired(),
    ],
)
def test_a_breaker_that_means_something_is_one(on):
    check_breakers(str(PROD), [named(on)])


@pytest.mark.parametrize(
    ("on", "why"),
    [
        (replace(ALERTS, kinds=()), "it names no kind of alert"),
        (replace(ALERTS, kinds=(Danger.TOOL, Danger.TOOL)), "or one twice"),
        (replace(ALERTS, count=0), "it counts 1 to 32 alerts, not 0"),
        (replace(ALERTS, count=RECENT + 1), "it counts 1 to 32 alerts, not 33"),
        (replace(ALERTS, seconds=0), "a window has 1 to 600 seconds, not 0"),
        (replace(ALERTS, seconds=601), "a window has 1 to 600 seconds, not 601"),
        (replace(FAILURES, percent=0), "a share is 1 to 100 %, not 0 %"),
        (replace(FAILURES, percent=101), "a share is 1 to 100 %, not 101 %"),
        (replace(FAILURES, requests=0), "it takes 1 to 1000000 requests to judge by, not 0"),
        (replace(FAILURES, seconds=-1), "a window has 1 to 600 seconds, not -1"),
        (replace(UNGUARDED, percent=0), "a share is 1 to 100 %, not 0 %"),
        (replace(UNGUARDED, requests=1_000_001), "not 1000001"),
    ],
)
def test_a_breaker_that_would_never_trip_or_always_is_refused(on, why):
    with pytest.raises(VerificationError, match=f"{PROD}: breaker rule: .*{why}"):
        check_breakers(str(PROD), [named(on)])


def test_two_breakers_of_one_name_and_too_many_are_refused():
    with pytest.raises(VerificationError, match="two breakers have the same name"):
        check_breakers(str(PROD), [named(ALERTS), named(FAILURES)])
    with pytest.raises(VerificationError, match="at most 32 can be watched"):
        check_breakers(str(PROD), [named(ALERTS, f"rule-{n}") for n in range(MAX_BREAKERS + 1)])


def test_samples_are_needed_as_long_as_the_longest_window_that_counts():
    assert longest([named(ALERTS), named(OnRevoked()), named(OnProviderChanged("before"))]).total_seconds() == 0
    assert longest([named(ALERTS), named(FAILURES), named(UNGUARDED)]).total_seconds() == 60


def test_a_policy_carries_breakers_and_may_leave_them_out():
    ruled = replace(rules(), breakers=(named(ALERTS), named(OnRevoked(), "revoked")))

    assert plain.from_plain(Rules, plain.to_plain(ruled)) == ruled
    without = plain.to_plain(rules())
    assert isinstance(without, dict) and without.pop("breakers") is None
    assert plain.from_plain(Rules, without).breakers is None


def test_a_breaker_that_does_not_say_what_then_is_written_as_it_always_was():
    assert plain.to_plain(named(OnRevoked())) == {"name": "rule", "on": {"type": "revoked"}}
    flags = {"name": "rule", "on": {"type": "provider-changed", "than": "pinned"}, "then": "flag"}
    assert plain.from_plain(Breaker, flags) == Breaker(Name("rule"), OnProviderChanged("pinned"), "flag")
    for odd in (flags | {"then": "nothing"}, flags | {"on": {"type": "provider-changed", "than": "gone"}}):
        with pytest.raises(VerificationError):
            plain.from_plain(Breaker, odd)
