"""What does a node's word about its traffic have to be like, and what can nobody make of it?"""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.report import (
    BOUNDS,
    BUCKETS,
    MOST,
    NOTHING,
    Counted,
    Counts,
    Report,
    Tally,
    check_counted,
    difference,
    open_report,
    sign_report,
)
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.world import NOW, PROD, key, trust

A, B = Digest.of(b"a"), Digest.of(b"b")
HOST, GUARD = Name("host-1"), Name("guardrail")
LATENCY = (7, *(0,) * (BUCKETS - 1))
COUNTS = Counts(10, 1, LATENCY, {GUARD: Tally(9, 2)})
GOOD = Report(HOST, "0123456789abcdef", 3, NOW, (Counted(PROD, A, COUNTS), Counted(PROD, B, NOTHING)))
MANY = tuple(Counted(PROD, Digest.of(b"%d" % number), NOTHING) for number in range(257))

numbers = st.integers(0, 1000)
tallies = st.builds(lambda bad, more: Tally(bad + more, bad), numbers, st.integers(1, 1000))
counts = st.builds(
    lambda bad, more, latency, other: Counts(bad + more, bad, tuple(latency), other),
    numbers,
    numbers,
    st.lists(numbers, min_size=BUCKETS, max_size=BUCKETS),
    st.dictionaries(st.sampled_from([GUARD, Name("tool")]), tallies),
)


def found(name):
    return trust().actor(name, NOW)


def spoilt(**changes):
    return replace(GOOD, counted=(Counted(PROD, A, replace(COUNTS, **changes)),))


def test_buckets_rise_from_a_millisecond_to_eight_minutes():
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (1000, 524_288_000, 35)
    assert all(1.3 < later / earlier <= 2 for earlier, later in pairwise(BOUNDS))


def test_a_report_is_opened_by_the_key_of_its_node():
    assert open_report(sign_report(GOOD, key("host-1")), found) == (GOOD, found(HOST))


@pytest.mark.parametrize(
    ("report", "signer", "reason"),
    [
        (GOOD, "mallory", "no key that is trusted"),
        (GOOD, "dave", "no key that is trusted"),
        (replace(GOOD, node=Name("dave")), "host-1", "no key that is trusted"),
        (replace(GOOD, node=Name("host-2")), "host-1", "nobody called host-2"),
        (replace(GOOD, incarnation="0" * 15), "host-1", "an incarnation is 16 to 64"),
        (replace(GOOD, incarnation="0" * 65), "host-1", "an incarnation is 16 to 64"),
        (replace(GOOD, incarnation="0123456789 bcdef"), "host-1", "letters and digits"),
        (replace(GOOD, sequence=-1), "host-1", "a sequence from 0 on"),
        (
            replace(GOOD, counted=tuple(Counted(PROD, Digest.of(b"%d" % n), NOTHING) for n in range(257))),
            "host-1",
            "256",
        ),
        (replace(GOOD, counted=(Counted(PROD, A, COUNTS), Counted(PROD, A, NOTHING))), "host-1", "counted twice"),
        (spoilt(requests=-1, failed=-1), "host-1", "counts -1 bad ones of -1"),
        (spoilt(failed=-1), "host-1", "counts -1 bad ones of 10"),
        (spoilt(failed=11), "host-1", "counts 11 bad ones of 10"),
        (spoilt(requests=MOST + 1), "host-1", f"bad ones of {MOST + 1}"),
        (spoilt(latency=LATENCY[1:]), "host-1", "has not 36 latency counts"),
        (spoilt(latency=(*LATENCY, 0)), "host-1", "has not 36 latency counts"),
        (spoilt(latency=()), "host-1", "has not 36 latency counts"),
        (spoilt(latency=(-1, *LATENCY[1:])), "host-1", "latency counts outside"),
        (spoilt(latency=(MOST + 1, *LATENCY[1:])), "host-1", "latency counts outside"),
        (spoilt(latency=(MOST, 1, *(0,) * (BUCKETS - 2))), "host-1", "latency counts outside"),
        (spoilt(other={GUARD: Tally(1, 2)}), "host-1", "counts 2 bad ones of 1"),
        (spoilt(other={GUARD: Tally(1, -1)}), "host-1", "counts -1 bad ones of 1"),
        (spoilt(other={GUARD: Tally(MOST + 1, 0)}), "host-1", "bad ones of"),
        (spoilt(other={Name(f"x{n}"): Tally(0, 0) for n in range(17)}), "host-1", "more than 16 other ones"),
    ],
)
def test_a_report_that_its_node_did_not_make_like_this_is_refused(report, signer, reason):
    with pytest.raises(VerificationError, match=reason):
        open_report(sign_report(report, key(signer)), found)


@pytest.mark.parametrize(
    "report",
    [
        spoilt(requests=MOST, failed=MOST),
        spoilt(latency=(MOST, *(0,) * (BUCKETS - 1))),
        spoilt(latency=(MOST // BUCKETS,) * BUCKETS),
        spoilt(other={Name(f"x{n}"): Tally(MOST, MOST) for n in range(16)}),
        replace(GOOD, counted=(), sequence=0),
        replace(GOOD, counted=MANY[1:]),
        replace(GOOD, counted=(Counted(PROD, A, NOTHING), Counted(Endpoint.parse("prod/b"), A, NOTHING))),
    ],
)
def test_a_report_just_within_bounds_is_opened(report):
    assert open_report(sign_report(report, key("host-1")), found)[0] == report


def test_another_document_of_the_node_is_no_report():
    other = dsse.sign(plain.encode(GOOD), "application/vnd.lockgate.lease-request+json", [key("host-1")]).encode()

    with pytest.raises(VerificationError, match="DSSE payload is"):
        open_report(other, found)


@given(counts, counts)
def test_what_was_added_is_the_difference(before, more):
    after = before + more

    check_counted(before, after)
    assert difference(before, after) + before == after
    assert before + NOTHING == before


@given(counts, counts)
def test_what_shrinks_anywhere_is_no_growth(before, more):
    if before + more != before:
        with pytest.raises(VerificationError, match="went back within one incarnation"):
            difference(before + more, before)


@pytest.mark.parametrize(
    "after",
    [
        replace(COUNTS, requests=9),
        replace(COUNTS, failed=0),
        replace(COUNTS, latency=(6, *LATENCY[1:])),
        replace(COUNTS, other={}),
        replace(COUNTS, other={GUARD: Tally(8, 2)}),
        replace(COUNTS, other={GUARD: Tally(9, 1)}),
    ],
)
def test_each_counter_that_goes_back_is_seen(after):
    check_counted(COUNTS, COUNTS)
    with pytest.raises(VerificationError, match="went back within one incarnation"):
        check_counted(COUNTS, after)
