"""What is an alert, and what is known afterwards? A CloudEvent, every spoilt one refused; the newest of each sort."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core import endpoint
from lockgate.core.danger import Danger, Severity
from lockgate.core.detection import (
    KEPT,
    MAX_ALERT,
    Alerted,
    check_about,
    evolve,
    key_of,
    read_alert,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.world import NOW, PROD

A, B = Digest.of(b"a"), Digest.of(b"b")
GUARD = Name("guard")
DATA = {"kind": "jailbreak", "severity": "high", "release": str(A), "text": "it says how"}
EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "https://guard.example/eu",
    "type": "alert/v1",
    "subject": "prod/magika",
    "data": DATA,
}
GONE = object()


def event(**changes):
    return {name: value for name, value in {**EVENT, **changes}.items() if value is not GONE}


def finding(**changes):
    return event(data={name: value for name, value in {**DATA, **changes}.items() if value is not GONE})


def alerted(danger="jailbreak", severity="high", release=None, document=A):
    return Alerted(PROD, Danger(danger), Severity(severity), release, document, GUARD, B)


def activated(release):
    slot = endpoint.Activated(PROD, Tag.parse("magika@1.0.0"), release, None, 1, B)
    return endpoint.evolve(None, slot, 3, NOW)


def test_a_cloud_event_reads_as_an_alert():
    found = read_alert(EVENT)

    assert (found.id, found.source, found.endpoint) == ("1", "https://guard.example/eu", PROD)
    assert (found.finding.kind, found.finding.severity) == (Danger.JAILBREAK, Severity.HIGH)
    assert (found.finding.release, found.finding.text) == (A, "it says how")
    assert found.document == canonical.encode(EVENT) and found.digest == Digest.of(found.document)


@pytest.mark.parametrize(
    "good",
    [
        event(datacontenttype="application/json"),
        event(time="2026-11-25T22:00:00+01:00", dataschema="https://guard.example/schema", traceparent="00-0", level=3),
        finding(release=GONE),
        finding(release=None, text=None),
        finding(text="x" * 4000),
        event(id="x" * 256, source="/relative"),
    ],
)
def test_what_cloud_events_allows_is_read(good):
    assert read_alert(good).endpoint == PROD


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "a JSON object"),
        ([EVENT], "a JSON object"),
        ("alert", "a JSON object"),
        ({}, "specversion is"),
        (event(specversion="0.3"), "specversion is '0.3'"),
        (event(specversion=GONE), "specversion is 'None'"),
        (event(type="alert/v2"), "type is 'alert/v2'"),
        (event(type=GONE), "type is"),
        (event(datacontenttype="text/plain"), "datacontenttype is"),
        (event(id=GONE), "id is no text"),
        (event(id=""), "id is no text"),
        (event(id=1), "id is no text"),
        (event(id="x" * 257), "id is no text"),
        (event(id="a\nb"), "id is no text"),
        (event(source=GONE), "source is no text"),
        (event(source=""), "source is no text"),
        (event(source="x\x1b[31m"), "source is no text"),
        (event(subject=GONE), "subject is no text"),
        (event(subject="magika"), "not an endpoint"),
        (event(subject="prod/magika/x"), "not a"),
        (event(subject="prod/*"), "not a name"),
        (event(data=GONE), "data: found NoneType"),
        (event(data="boom"), "data: found str"),
        (event(data=GONE, data_base64="e30="), "is no attribute"),
        (event(Trace="x"), "'Trace' is no attribute"),
        (event(trace={}), "'trace' is no attribute"),
        (event(trace=None), "'trace' is no attribute"),
        (finding(kind=GONE), "member 'kind' is missing"),
        (finding(kind="weather"), "wanted one of guardrail, jailbreak, security, tool"),
        (finding(severity="none"), "wanted one of low, medium, high, critical"),
        (finding(severity=3), "wanted one of"),
        (finding(release="magika@1.0.0"), "data.release"),
        (finding(text=""), "1 to 4000 characters"),
        (finding(text="x" * 4001), "1 to 4000 characters"),
        (finding(by="alice"), "unknown member 'by'"),
        (event(note="x" * MAX_ALERT), f"at most {MAX_ALERT} bytes"),
    ],
)
def test_what_is_no_alert_is_refused(bad, reason):
    with pytest.raises(VerificationError, match=reason):
        read_alert(bad)


def test_an_alert_is_called_by_actor_source_and_id():
    name = key_of(read_alert(EVENT), GUARD)

    assert key_of(read_alert(finding(severity="low")), GUARD) == name
    others = [(EVENT, Name("olivia")), (event(id="2"), GUARD), (event(source="x"), GUARD)]
    assert name not in [key_of(read_alert(found), by) for found, by in others]


def test_an_alert_is_about_something_that_is_there():
    alert, general = read_alert(EVENT), read_alert(finding(release=None))

    check_about(alert, activated(A))
    check_about(general, activated(B))
    for bad, state, reason in (
        (alert, activated(B), "does not serve at prod/magika"),
        (alert, None, "nothing was ever activated"),
        (general, None, "nothing was ever activated"),
    ):
        with pytest.raises(DeniedError, match=reason):
            check_about(bad, state)


def test_each_sort_is_remembered_once_with_how_often_and_its_newest():
    state = None
    for index, each in enumerate([alerted(), alerted("tool"), alerted(document=B), alerted(severity="low")], 10):
        state = evolve(state, each, index, NOW + timedelta(seconds=index))

    found = [(one.danger, one.severity, one.count, one.index, one.document) for one in state.raised]
    assert found == [("tool", "high", 1, 11, A), ("jailbreak", "high", 2, 12, B), ("jailbreak", "low", 1, 13, A)]


@pytest.mark.parametrize(
    ("index", "release", "seen"), [(9, A, 3), (9, B, 1), (10, A, 2), (11, A, 1), (11, B, 1), (12, A, 0)]
)
def test_who_asks_hears_of_their_release_and_of_the_whole_endpoint_since_then(index, release, seen):
    state = evolve(None, alerted("tool", release=A), 10, NOW)
    state = evolve(state, alerted(release=A), 11, NOW)
    state = evolve(state, alerted("security"), 12, NOW)

    assert len(state.since(index, release)) == seen


@given(st.lists(st.tuples(st.sampled_from(list(Severity)), st.integers(0, 200)), max_size=200))
def test_however_many_sorts_there_are_the_worst_and_newest_stay(raised):
    state = None
    for index, (severity, number) in enumerate(raised):
        state = evolve(state, alerted(severity=severity, release=Digest.of(b"%d" % number)), index, NOW)
        assert state.raised[-1].index == index
        assert len(state.raised) <= KEPT

    worst = {Digest.of(b"%d" % number) for severity, number in raised if severity is Severity.CRITICAL}
    if state is not None and len(worst) < KEPT:
        assert {one.release for one in state.raised if one.severity is Severity.CRITICAL} == worst
