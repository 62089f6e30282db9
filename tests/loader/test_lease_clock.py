"""Does permission expire when it must, whatever the clock and the network do?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.loader.lease_clock import NANOSECONDS, Held, held, latest

SENT = 1_000 * NANOSECONDS
instants = st.integers(min_value=0, max_value=2**62)
lifetimes = st.integers(min_value=1, max_value=86_400)
leases = st.builds(held, instants, lifetimes)


def test_a_lease_of_thirty_seconds_is_over_one_per_cent_early():
    lease = held(SENT, 30)

    assert lease == Held(SENT, SENT + 10 * NANOSECONDS, SENT + 29_700_000_000)


@pytest.mark.parametrize(
    ("after_ns", "over", "due"),
    [
        (-1, True, True),
        (0, False, False),
        (10 * NANOSECONDS - 1, False, False),
        (10 * NANOSECONDS, False, True),
        (29_700_000_000 - 1, False, True),
        (29_700_000_000, True, True),
        (30 * NANOSECONDS, True, True),
        (3_600 * NANOSECONDS, True, True),
    ],
)
def test_each_edge_of_a_lease_falls_on_the_safe_side(after_ns, over, due):
    lease = held(SENT, 30)

    assert (lease.is_over(SENT + after_ns), lease.is_due(SENT + after_ns)) == (over, due)


@given(sent=instants, delay=st.integers(min_value=0, max_value=2**40), ttl=lifetimes)
def test_a_later_receipt_never_lengthens_a_lease(sent: int, delay: int, ttl: int):
    lease, received = held(sent, ttl), sent + delay

    assert received + lease.remaining_ns(received) <= max(received, lease.deadline_ns)
    assert lease.remaining_ns(received) <= max(0, ttl * NANOSECONDS - delay)
    assert lease.deadline_ns <= held(received, ttl).deadline_ns


@given(sent=instants, ttl=lifetimes)
def test_a_clock_one_per_cent_slow_still_stops_within_the_lifetime(sent: int, ttl: int):
    real_ns = (held(sent, ttl).deadline_ns - sent) * 100 // 99

    assert real_ns <= ttl * NANOSECONDS


@given(lease=leases, now=instants, later=instants)
def test_what_is_over_stays_over(lease: Held, now: int, later: int):
    now, later = sorted((max(now, lease.sent_at_ns), max(later, lease.sent_at_ns)))

    assert lease.is_over(later) or not lease.is_over(now)
    assert lease.remaining_ns(later) <= lease.remaining_ns(now)


@given(lease=leases, now=instants)
def test_a_lease_has_time_left_exactly_until_it_is_over(lease: Held, now: int):
    assert lease.is_over(now) == (lease.remaining_ns(now) == 0)
    assert lease.sent_at_ns < lease.renew_at_ns < lease.deadline_ns


@given(first=leases, second=leases)
def test_an_overtaken_answer_changes_nothing(first: Held, second: Held):
    assert latest(latest(first, second), first) == latest(first, second)
    assert latest(first, second).sent_at_ns == max(first.sent_at_ns, second.sent_at_ns)


def test_a_grant_without_a_lifetime_is_a_bug_of_the_caller():
    with pytest.raises(AssertionError, match="denial"):
        held(SENT, 0)
