"""Is the newest that a node counted kept, and does nothing older, doubled or shrunk change it?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.ports import Reports
from lockgate.core.report import BUCKETS, Counted, Counts, Report, Tally
from lockgate.drivers.memory import Memory
from lockgate.drivers.postgres import Postgres
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.contracts.samples import NOW

HERE, THERE = Endpoint.parse("prod/a"), Endpoint.parse("prod/b")
A, B = Digest.of(b"a"), Digest.of(b"b")
FIRST, SECOND, THIRD = ("1" * 16, "2" * 16, "3" * 16)


def fills_the_port(driver: Memory | Postgres) -> Reports:
    """Show the type checker that the drivers fill the port."""
    return driver


def counts(requests):
    return Counts(requests, requests // 10, (requests, *(0,) * (BUCKETS - 1)), {Name("tool"): Tally(requests, 0)})


def report(sequence, *requests, node="host-1", incarnation=FIRST, at=HERE):
    counted = tuple(Counted(at, release, counts(one)) for release, one in zip((A, B), requests, strict=False))
    return Report(Name(node), incarnation, sequence, NOW, counted)


def take(log, taken):
    return log.take(taken, taken.counted)


def kept(log, at=HERE):
    return [
        (str(one.node), one.incarnation[0], one.sequence, one.counted.release, one.counted.counts.requests)
        for one in log.measured(at)
    ]


def test_what_a_node_counted_is_kept_as_it_was(log):
    assert take(log, report(0, 10, 20)) == 2

    found = log.measured(HERE)
    assert {one.counted.release: one.counted.counts for one in found} == {A: counts(10), B: counts(20)}
    assert all(timedelta(0) <= one.age < timedelta(minutes=5) for one in found)
    assert log.measured(THERE) == []


@pytest.mark.parametrize("weight", [None, 0, 40, 100])
def test_what_share_a_release_gets_is_kept_and_is_that_of_the_newest_report(log, weight):
    for sequence, share in enumerate((7, weight)):
        said = report(sequence, 10, 20)
        take(log, replace(said, counted=tuple(replace(one, weight=share) for one in said.counted)))

    assert [one.counted.weight for one in log.measured(HERE)] == [weight, weight]


def test_a_newer_report_takes_the_place_of_the_older_one(log):
    take(log, report(1, 10, 20))

    assert take(log, report(2, 10)) == 1
    assert take(log, report(9, 12)) == 1
    assert sorted(kept(log)) == sorted([("host-1", "1", 9, A, 12), ("host-1", "1", 1, B, 20)])


@pytest.mark.parametrize("sequence", [0, 4, 5])
def test_a_replayed_or_older_report_changes_nothing(log, sequence):
    take(log, report(5, 10))

    assert take(log, report(sequence, 99, 99)) == 0
    assert kept(log) == [("host-1", "1", 5, A, 10)]


def test_counters_that_go_back_are_refused_and_nothing_of_the_report_is_kept(log):
    take(log, report(1, 10, 20))

    with pytest.raises(VerificationError, match="went back within one incarnation"):
        take(log, report(2, 11, 19))
    assert sorted(one[2:] for one in kept(log)) == sorted([(1, A, 10), (1, B, 20)])


def test_another_incarnation_counts_from_the_beginning(log):
    take(log, report(7, 10))

    assert take(log, report(0, 1, incarnation=SECOND)) == 1
    assert kept(log) == [("host-1", "1", 7, A, 10), ("host-1", "2", 0, A, 1)]


def test_two_incarnations_of_a_node_are_kept_and_of_others_as_many(log):
    for incarnation in (FIRST, SECOND, THIRD):
        take(log, report(0, 1, incarnation=incarnation))
        take(log, report(0, 1, node="host-2", incarnation=incarnation))
        take(log, report(0, 1, node="host-3", incarnation=FIRST, at=THERE))

    assert [one[:2] for one in kept(log)] == [("host-1", "2"), ("host-1", "3"), ("host-2", "2"), ("host-2", "3")]
    assert kept(log, THERE) == [("host-3", "1", 0, A, 1)]


def test_a_report_of_nothing_is_no_news(log):
    take(log, report(1, 10))

    assert take(log, report(2)) == 0
    assert take(log, replace(report(3, 10, 20), counted=())) == 0
    assert kept(log) == [("host-1", "1", 1, A, 10)]
