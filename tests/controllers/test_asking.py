"""Which answers of a Prometheus are numbers about a rollout? Raw counters and single values; nothing else is data."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.ports import Sample
from lockgate.app.watch_rollout import grounds_at
from lockgate.controllers import asking
from lockgate.controllers.asking import ask
from lockgate.core.analysis import Unanswered, Value
from lockgate.core.analysis.counter import Raw, Reading
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.table import Counts
from lockgate.core.slot import Slot
from lockgate.core.strategy import Metric, Prometheus, Sequential, Threshold
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.traffic import ERRORS, Flying, counts, judged_by
from tests.world import NOW, PROD, World

BAD, ALL, SHARE = "sum by (release) (bad)", "sum by (release) (all)", "share"
ODDS = Metric(Name("odds"), Sequential("tool", "0.004", "1", Prometheus(BAD, ALL)), 5, dry_run=False)
LIMIT = Metric(Name("limit"), Threshold(Prometheus(SHARE), ">", "0.05", 20, 1, 2, 3), 5, dry_run=False)


def slot(tag):
    return Slot(Tag.parse(tag), Digest.of(tag.encode()), 1, Digest.of(b"d"), 1, NOW, 1)


NEW, OLD = slot("magika@1.1.0"), slot("magika@1.0.0")


class Told:
    """A Prometheus that answers what a test says (port `Measurements`); an error is raised."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def ask(self, query, seconds):
        assert 0 < seconds <= asking.SECONDS
        self.asked.append(query)
        found = self.answers[{BAD: "bad", ALL: "all", SHARE: "share"}[query]]
        if isinstance(found, Exception):
            raise found
        return found


def samples(**by_release):
    names = {"new": "magika@1.1.0", "old": "magika@1.0.0", "other": "magika@0.9.0", "digest": str(NEW.release)}
    return tuple(Sample({"release": names[name]}, value) for name, value in by_release.items())


def one(value):
    return (Sample({}, value),)


def odds(bad, total):
    return ask(Told(bad=bad, all=total), [ODDS], NEW, OLD)[ODDS.name]


def limit(found):
    return ask(Told(share=found), [LIMIT], NEW, OLD)[LIMIT.name]


def test_only_metrics_with_queries_are_asked_for():
    told = Told(bad=(), all=(), share=())

    assert ask(told, [ERRORS, ODDS, LIMIT], NEW, OLD) == {ODDS.name: None, LIMIT.name: None}
    assert told.asked == [BAD, ALL, SHARE]


def test_raw_counters_are_read_by_release_and_added_up():
    bad, total = samples(new="2", old="7", other="999"), (*samples(new="50", old="450"), *samples(digest="50"))

    found = odds(bad, total)

    assert found == {Name("all"): Reading("all", Raw(Counts(100, 2)), Raw(Counts(450, 7)))}


def test_what_never_happened_has_no_counter():
    assert odds((), samples(old="450"))[Name("all")] == Reading("all", Raw(Counts(0, 0)), Raw(Counts(450, 0)))


@pytest.mark.parametrize(
    ("bad", "total", "why"),
    [
        (samples(new="2.5"), samples(new="50"), "2.5 is no count"),
        (samples(new="982.22"), samples(new="1000"), "982.22 is no count"),
        (samples(new="-1"), samples(new="50"), "-1 is no count"),
        (samples(new="NaN"), samples(new="50"), "not a finite number"),
        (samples(new="+Inf"), samples(new="50"), "not a finite number"),
        (samples(new="1"), samples(new="1e300"), "is no count"),
        (samples(new="51"), samples(new="50"), "51 bad of 50"),
        (UnavailableError("Prometheus does not answer"), samples(new="50"), "does not answer"),
        (samples(new="1"), VerificationError("is not JSON"), "is not JSON"),
    ],
)
def test_what_is_no_count_is_an_error(bad, total, why):
    found = odds(bad, total)

    assert isinstance(found, Unanswered) and why in found.why


@pytest.mark.parametrize(
    ("found", "value"),
    [
        (one("0.25"), "0.25"),
        (one("12"), "12"),
        (one("1e-05"), "0.00001"),
        (one("-0"), "0"),
        (one("-1.5"), "-1.5"),
        (one("0.1234567890123456"), "0.123456789012"),
        (samples(new="0.5", old="0.9"), "0.5"),
        (samples(digest="0.5"), "0.5"),
        ((*samples(new="0.5"), *one("0.7")), "0.5"),
    ],
)
def test_a_value_is_that_of_the_candidate_or_the_only_one(found, value):
    assert limit(found) == Value(Number(value))


@pytest.mark.parametrize("found", [(), one("NaN"), samples(old="0.9"), samples(other="0.9")])
def test_no_value_is_no_data(found):
    assert limit(found) is None


@pytest.mark.parametrize(
    "found", [one("+Inf"), one("1e15"), one("1") * 2, samples(new="1") * 2, UnavailableError("gone")]
)
def test_what_is_no_single_number_is_an_error(found):
    assert isinstance(limit(found), Unanswered)


def test_without_a_prometheus_nothing_is_known():
    assert ask(None, [LIMIT], NEW, OLD) == {LIMIT.name: Unanswered("no Prometheus is named in the settings")}


def test_questions_that_take_too_long_are_not_asked(monkeypatch):
    monkeypatch.setattr(asking, "SECONDS", -1)
    told = Told(share=one("1"))

    assert ask(told, [LIMIT], NEW, OLD) == {LIMIT.name: Unanswered("there was no time left to ask")}
    assert told.asked == []


def test_all_questions_share_the_time(monkeypatch):
    left = []

    class Slow(Told):
        def ask(self, query, seconds):
            left.append(seconds)
            now = time.monotonic() + 1.5
            monkeypatch.setattr(time, "monotonic", lambda: now)
            return super().ask(query, seconds)

    found = ask(Slow(bad=samples(new="1"), all=samples(new="9"), share=one("1")), [ODDS, LIMIT], NEW, OLD)

    assert [round(each, 1) for each in left] == [2.0, 0.5]
    assert found[LIMIT.name] == Unanswered("there was no time left to ask")


def totals(new, old, new_bad=0, old_bad=0):
    return {"all": samples(new=str(new), old=str(old)), "bad": samples(new=str(new_bad), old=str(old_bad))}


@pytest.fixture
def flying():
    return Flying(World(), judged_by(ODDS), Told(**totals(0, 0)))


def look(flying, **answers):
    flying.measurements.answers = answers
    flying.world.now += timedelta(seconds=5)
    flying.tend()
    found = grounds_at(flying.world.installation, PROD, flying.world.now)
    return found and found.analysis.findings[0]


def test_counters_of_a_prometheus_are_differenced_and_end_a_bad_candidate(flying):
    flying.tend()
    look(flying, **totals(1000, 9000, 900, 0))
    assert look(flying, **totals(1030, 9270, 900, 0)).candidate.n == 30, "what was before counts for nothing"

    for number in range(2, 20):
        if look(flying, **totals(1030 + 30 * number, 9270 + 270 * number, 900 + 10 * number, 0)) is None:
            break
    assert flying.rollout is None and flying.world.change(flying.change).outcome == "rolled-back"


def test_a_sum_that_lost_an_instance_begins_here(flying):
    flying.tend()
    look(flying, **totals(0, 0))
    look(flying, **totals(1000, 9000))
    before = look(flying, **totals(1030, 9270)).candidate.n

    assert look(flying, **totals(500, 9540)).candidate.n == before
    assert look(flying, **totals(530, 9810)).candidate.n == before + 30


def test_a_value_that_fails_too_often_ends_a_candidate_and_errors_in_a_row_do_too():
    for answers in ({"share": one("0.06")}, {"share": UnavailableError("gone")}):
        flying = Flying(World(), judged_by(LIMIT), Told(share=()))
        flying.tend()
        for _ in range(6):
            look(flying, **answers)
        assert flying.rollout is None, answers


def test_a_value_that_is_missing_holds_the_candidate_back():
    flying = Flying(World(), replace(judged_by(LIMIT), patience_seconds=30), Told(share=()))
    for _ in range(40):
        look(flying, share=())

    assert (flying.rollout.weight, flying.rollout.paused) == (10, "inconclusive")


def test_the_counters_of_the_gateway_and_queries_are_watched_side_by_side():
    flying = Flying(World(), judged_by(ERRORS, LIMIT), Told(share=one("0.01")))
    flying.pass_by(400, counts(30), counts(270))

    assert flying.world.endpoint().stable.release == flying.candidate
