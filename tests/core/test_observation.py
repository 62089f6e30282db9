"""Is what is known of a rollout what was counted in it: all of it, once, under one weight?"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis import Conclusion
from lockgate.core.danger import Danger, Severity
from lockgate.core.detection import Raised
from lockgate.core.observation import (
    SINGLY,
    Grounds,
    Look,
    Shown,
    Watch,
    due,
    grounds_of,
    looked,
    read_watch,
    signals_of,
    watch_anew,
)
from lockgate.core.report import BOUNDS, BUCKETS, MOST, NOTHING, Counts, Tally
from lockgate.core.rollout import Alarm, Rollout
from lockgate.core.slot import Slot
from lockgate.core.strategy import Envoy, Metric, Sequential, Strategy, Threshold
from lockgate.errors import VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.core.strategies import judged_by
from tests.world import NOW

A = Digest.of(b"a")
CANDIDATE = Slot(Tag.parse("magika@1.1.0"), A, 7, A, 9, NOW, 9)
ROLLOUT = Rollout(CANDIDATE, A, NOW, step=0, weight=5)
HOST = Name("host-1")


def metric(name, test, seconds=5):
    return Metric(Name(name), test, seconds, dry_run=False)


ERRORS = metric("errors", Sequential("errors", "0.004", "1", Envoy()))
GUARD = metric("guard", Sequential("guardrail", "0.002", "1", Envoy()), 10)
LATE = metric("late", Sequential("latency", "0.002", "1", Envoy()))
P90 = metric("p90", Threshold(Envoy(), ">", "12", 1, 0, 4, 2, "latency", "0.9"))
USERS = metric("users", Sequential("errors", "0.004", "1", Envoy(), "user"))
STRATEGY, STICKY = judged_by(ERRORS), judged_by(USERS, sticky_by="x-user")


def counts(requests, failed=0, bucket=5, **other):
    latency = tuple(requests if place == bucket else 0 for place in range(BUCKETS))
    return Counts(requests, failed, latency, {Name(name): Tally(*pair) for name, pair in other.items()})


def look(seconds, candidate=NOTHING, stable=NOTHING, *, incarnation="i" * 16, node=HOST):
    return Look(NOW + timedelta(seconds=seconds), {node: Shown(incarnation, candidate, stable)}, {})


def silence(seconds):
    return Look(NOW + timedelta(seconds=seconds), {}, {})


def watched(strategy, *looks, rollout=ROLLOUT):
    watch = watch_anew(strategy, rollout, looks[0])
    for each in looks:
        watch = looked(watch, strategy, rollout, each)
    return watch


def grounds(watch, strategy=STRATEGY, alerts=(), *, revoked=False):
    return grounds_of(watch, strategy, ROLLOUT, tuple(alerts), revoked=revoked, now=NOW)


def findings(strategy, *looks):
    return grounds(watched(strategy, *looks), strategy).analysis.findings


def test_what_was_counted_between_two_looks_is_known_and_nothing_before_the_first():
    (found,) = findings(STRATEGY, look(0, counts(100, 9), counts(900)), look(5, counts(130, 10), counts(1170, 2)))

    assert (found.candidate.n, found.candidate.bad, found.stable.n, found.stable.bad) == (30, 1, 270, 2)


def test_looks_add_up_and_a_look_that_comes_too_soon_is_none():
    looks = [look(s, counts(int(10 * s)), counts(int(90 * s))) for s in (0, 5, 6, 9, 10, 14.9, 15)]
    watch = watched(STRATEGY, *looks)

    assert watch.state.looks == 4
    assert grounds(watch).analysis.findings[0].candidate.n == 149


def test_what_was_looked_at_by_a_clock_that_was_ahead_is_due_and_data_of_then_are_no_later_than_now():
    watch = watched(STRATEGY, look(3600), look(3605, counts(10), counts(90)))
    assert watch.data_at == NOW + timedelta(seconds=3605)

    watch = looked(watch, STRATEGY, ROLLOUT, look(60, counts(10), counts(90)))
    assert watch.data_at == watch.looked_at[ERRORS.name] == NOW + timedelta(seconds=60)
    watch = looked(watch, STRATEGY, ROLLOUT, look(65, counts(30), counts(270)))
    assert grounds(watch).analysis.findings[0].candidate.n == 30


def test_each_metric_is_looked_at_as_often_as_it_says_and_counts_what_it_is_about():
    totals = [counts(10 * n, n, guardrail=(8 * n, 2 * n)) for n in range(5)]
    looks = [look(5 * n, each, each) for n, each in enumerate(totals)]
    errors, guard = findings(judged_by(ERRORS, GUARD), *looks)

    assert (errors.candidate.n, errors.candidate.bad) == (40, 4)
    assert (guard.candidate.n, guard.candidate.bad) == (32, 8)
    watch = watched(judged_by(ERRORS, GUARD), *looks[:2])
    assert due(watch, judged_by(ERRORS, GUARD), looks[2].at) == (ERRORS, GUARD)
    assert due(watched(judged_by(ERRORS, GUARD), looks[0]), judged_by(ERRORS, GUARD), looks[1].at) == (ERRORS,)


def test_under_another_weight_counting_begins_here():
    watch = watched(STRATEGY, look(0), look(5, counts(10), counts(90)))
    more = replace(ROLLOUT, step=1, weight=50)

    watch = looked(watch, STRATEGY, more, look(10, counts(60, 50), counts(140)))
    assert grounds(watch).analysis.findings[0].candidate.n == 10
    watch = looked(watch, STRATEGY, more, look(15, counts(110, 50), counts(190)))
    assert grounds(watch).analysis.findings[0].candidate.n == 60
    assert grounds(watch).analysis.findings[0].candidate.bad == 0


def test_a_node_that_was_silent_begins_here():
    (found,) = findings(STRATEGY, look(0), silence(5), look(10, counts(50, 50)), look(15, counts(60, 50), counts(90)))

    assert (found.candidate.n, found.candidate.bad) == (10, 0)


def test_many_nodes_are_counted_like_few():
    def crowd(seconds, total, size):
        shown = Shown("i" * 16, counts(total, total // 10), counts(9 * total))
        return Look(NOW + timedelta(seconds=seconds), {Name(f"h{n}"): shown for n in range(size)}, {})

    for size in (SINGLY, SINGLY + 1):
        (found,) = findings(STRATEGY, crowd(0, 0, size), crowd(5, 20, size))
        assert (found.candidate.n, found.candidate.bad) == (20 * size, 2 * size)


def test_nothing_that_a_report_may_hold_stops_a_look():
    most = Counts(MOST, MOST, (MOST, *(0,) * (BUCKETS - 1)), {})
    more = Counts(MOST, 0, (0,) * BUCKETS, {})
    kept = Counts(0, 0, (1 << 48,) * BUCKETS, {})  # by a server of before
    liars = [(NOTHING, most), (more, most), (kept, kept), (counts(9_999_999), NOTHING)]
    strategy = judged_by(ERRORS, LATE, P90)

    def crowd(seconds, place, honest):
        shown = {Name(f"liar-{n}"): Shown("i" * 16, pair[place], pair[-1]) for n, pair in enumerate(liars)}
        good = {Name(f"h{n}"): Shown("i" * 16, counts(honest), counts(9 * honest)) for n in range(SINGLY)}
        return Look(NOW + timedelta(seconds=seconds), shown | good, {})

    errors, late, _ = findings(strategy, crowd(0, 0, 0), crowd(5, 1, 0), crowd(10, 0, 20))
    assert errors.candidate.n >= 20 * SINGLY and late.candidate.n >= 20 * SINGLY


def test_latency_is_compared_with_what_the_stable_release_took_even_before_the_rollout():
    before = look(0, NOTHING, counts(10_000, bucket=5))
    watch = watch_anew(judged_by(LATE), ROLLOUT, before)
    for number in range(20):
        slow, fast = counts(20 * number, bucket=9), counts(10_000 + 180 * number, bucket=5)
        watch = looked(watch, judged_by(LATE), ROLLOUT, look(5 * number, slow, fast))

    assert grounds(watch, judged_by(LATE)).analysis.conclusion is Conclusion.FAILED


@pytest.mark.parametrize(
    ("milliseconds", "slower"), [("0.5", 10), ("11", 10), ("12", 8), ("13.5", 5), ("16", 0), ("1000", 0)]
)
def test_within_a_bucket_times_are_taken_to_be_spread_evenly(milliseconds, slower):
    """All ten took 11 to 16 ms."""
    assert BOUNDS[6:8] == (11_000, 16_000)
    strategy = judged_by(replace(P90, test=replace(P90.test, bound=milliseconds)))

    (found,) = findings(strategy, look(0), look(5, counts(10, bucket=7)))
    assert (found.candidate.n, found.candidate.bad) == (10, slower)


@pytest.mark.parametrize(("bucket", "conclusion"), [(5, Conclusion.HEALTHY), (12, Conclusion.FAILED)])
def test_a_quantile_is_a_share_of_slower_ones(bucket, conclusion):
    (found,) = findings(judged_by(P90), look(0), look(5, counts(10, bucket=bucket)))

    assert found.conclusion is conclusion


def test_of_a_metric_without_a_number_nothing_is_known_and_of_others_what_the_numbers_say():
    nothing = signals_of(grounds(watched(STRATEGY, look(0))))
    something = signals_of(grounds(watched(STRATEGY, look(0), look(5, counts(10), counts(90)))))
    enough = signals_of(grounds(watched(STRATEGY, look(0), look(5, counts(900), counts(9000)))))
    bad = signals_of(grounds(watched(STRATEGY, look(0), look(5, counts(100, 90), counts(900)))))

    found = [dict(one.metrics) for one in (nothing, something, enough, bad)]
    assert found == [{ERRORS.name: word} for word in ("missing", "open", "passed", "failed")]
    assert (nothing.data_at, something.data_at) == (None, NOW + timedelta(seconds=5))


def test_data_of_the_stable_release_is_no_data_of_the_candidate():
    watch = watched(STRATEGY, look(0), look(5, counts(10), counts(90)), look(10, counts(10), counts(180)))

    assert watch.data_at == NOW + timedelta(seconds=5)


def rounds(requests=0, **judged):
    """Count users who were judged, by round: `first=(100, 3)`."""
    names = {"first": "users-1", "second": "users-2"}
    return counts(requests, **{names[name]: pair for name, pair in judged.items()})


def test_users_are_counted_from_the_first_look_on_by_node_and_round():
    before = look(0, rounds(first=(50, 50)), rounds(first=(900, 0)))
    after = look(5, rounds(first=(150, 53), second=(10, 1)), rounds(first=(1900, 4), second=(90, 2)))
    (book, later) = watched(STICKY, before, after).state.tallies[0].books

    assert [str(each.name) for each in (book, later)] == ["host-1-1", "host-1-2"]
    assert (book.candidate.n, book.candidate.bad, book.stable.n, book.stable.bad) == (100, 3, 1000, 4)
    assert (later.candidate.n, later.stable.n) == (10, 90)


def test_what_a_gateway_judged_after_it_forgot_whom_it_had_judged_is_another_book():
    looks = [look(5 * n, rounds(first=(9 * n, n)), rounds(first=(90 * n, n))) for n in range(3)]
    anew = look(15, rounds(first=(9, 1)), rounds(first=(90, 1)), incarnation="j" * 16)
    books = watched(STICKY, *looks, anew).state.tallies[0].books

    assert [(str(book.name), book.incarnation, book.candidate.n) for book in books] == [
        ("host-1-1", "i" * 16, 18),
        ("host-1-1", "j" * 16, 9),
    ]


def test_requests_of_users_are_data_though_no_user_is_judged_and_no_evidence():
    looks = [look(5 * n, rounds(10 * n), rounds(90 * n)) for n in range(4)]
    watch = watched(STICKY, *looks)

    assert watch.data_at == NOW + timedelta(seconds=15)
    assert signals_of(grounds(watch, STICKY)).metrics == {USERS.name: "missing"}


def test_nodes_with_the_longest_names_have_books_of_their_own():
    shown = {Name(f"{'h' * 62}{n}"): Shown("i" * 16, rounds(first=(9, 1)), rounds(first=(9, 1))) for n in range(2)}
    nothing = dict.fromkeys(shown, Shown("i" * 16, NOTHING, NOTHING))
    watch = watched(STICKY, Look(NOW, nothing, {}), Look(NOW + timedelta(seconds=5), shown, {}))

    assert len({book.name for book in watch.state.tallies[0].books}) == 2


def test_what_was_seen_of_previews_is_no_evidence_for_a_canary_that_gets_its_first_share():
    previewed = replace(ROLLOUT, weight=0)
    watch = watched(STRATEGY, look(0), look(5, counts(900), counts(9000)), rollout=previewed)
    assert signals_of(grounds(watch)).metrics == {ERRORS.name: "passed"}

    blue_green = replace(STRATEGY, kind="blue-green")
    for strategy, word in ((STRATEGY, "missing"), (blue_green, "passed")):
        found = looked(watch, strategy, ROLLOUT, look(10, counts(900), counts(18_000)))
        assert signals_of(grounds(found, strategy)).metrics == {ERRORS.name: word}


def test_at_all_traffic_the_candidate_still_sends_data_and_what_is_known_stays_known():
    watch = watched(STRATEGY, look(0), look(5, counts(900), counts(9000)))
    for number in range(2, 200):
        watch = looked(watch, STRATEGY, ROLLOUT, look(5 * number, counts(900 * number), counts(9000)))

    assert signals_of(grounds(watch)).metrics == {ERRORS.name: "passed"}
    assert watch.data_at == NOW + timedelta(seconds=995)


def test_alerts_and_a_revocation_are_signals():
    raised = Raised(Danger.TOOL, Severity.HIGH, A, 3, 12, NOW, Name("guard"), A)

    found = signals_of(grounds(watched(STRATEGY, look(0)), alerts=[raised], revoked=True))

    assert (found.alerts, found.revoked) == ((Alarm(Danger.TOOL, Severity.HIGH),), True)


def test_what_is_known_is_the_same_after_it_was_written_down():
    watch = watched(judged_by(ERRORS, LATE, P90), look(0), look(5, counts(10, 1), counts(90)))

    assert read_watch(plain.encode(watch), judged_by(ERRORS, LATE, P90), ROLLOUT) == watch
    found = grounds(watch, judged_by(ERRORS, LATE, P90))
    assert plain.decode(Grounds, plain.encode(found)) == found


def test_what_an_older_version_wrote_down_is_read():
    """It knew none of the members that may be left out."""
    watch = watched(judged_by(ERRORS, LATE, P90), look(0), look(5, counts(10, 1), counts(90)))
    older = {name: found for name, found in canonical.parse_object(plain.encode(watch)).items() if found is not None}

    assert older.keys() < canonical.parse_object(plain.encode(watch)).keys()
    assert read_watch(canonical.encode(older), judged_by(ERRORS, LATE, P90), ROLLOUT) == watch


def test_what_was_known_of_another_change_is_nothing():
    watch = watched(STRATEGY, look(0))
    other = replace(ROLLOUT, candidate=replace(CANDIDATE, change=8))

    assert read_watch(plain.encode(watch), STRATEGY, other) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda watch: plain.encode(watch).replace(b"rollout-watch/v1", b"rollout-watch/v2"),
        lambda watch: plain.encode(watch).replace(b"analysis-state/v1", b"analysis-state/v2"),
        lambda watch: plain.encode(watch).replace(b'"looks":1', b'"looks":-1'),
        lambda _: plain.encode(watched(judged_by(GUARD), look(0))),
        lambda _: plain.encode(watched(STICKY, look(0))),
        lambda watch: plain.encode(replace(watch, state=replace(watch.state, tallies=()))),
        lambda watch: plain.encode(watch)[:-1],
    ],
)
def test_what_another_version_or_plan_wrote_is_refused(spoil):
    with pytest.raises(VerificationError):
        read_watch(spoil(watched(STRATEGY, look(0))), STRATEGY, ROLLOUT)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=20))
def test_nothing_is_counted_twice_and_nothing_that_was_not_there(steps):
    candidate, expected = NOTHING, 0
    watch: Watch = watch_anew(STRATEGY, ROLLOUT, look(0))
    watch, heard = looked(watch, STRATEGY, ROLLOUT, look(0)), True
    strategy: Strategy = STRATEGY
    for number, (good, bad, silent) in enumerate(steps, 1):
        candidate = candidate + counts(good + bad, bad)
        stable = counts(1000 * number)
        watch = looked(watch, strategy, ROLLOUT, silence(5 * number) if silent else look(5 * number, candidate, stable))
        expected += good + bad if heard and not silent else 0
        heard = not silent
    assert grounds(watch).analysis.findings[0].candidate.n == expected
