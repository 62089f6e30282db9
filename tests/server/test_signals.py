"""Whose word about the traffic is taken over HTTP? A node's about what it counted, a detector's about what it saw."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.take_presence import take_presence
from lockgate.app.take_report import take_report
from lockgate.core.detection import Alerted
from lockgate.core.journal import read_fact
from lockgate.core.presence import Presence, Run, sign_presence
from lockgate.core.report import BUCKETS, Counted, Counts, Report, sign_report
from lockgate.errors import DeniedError
from lockgate.formats import canonical
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.server.served import API, Served
from tests.world import PROD, key

NONE = Digest.of(b"none")
LATENCY = (0,) * BUCKETS


@pytest.fixture
def live(served):
    """A release serves at the endpoint."""
    served.release = served.world.serve().digest
    return served


def counts(requests, failed=0):
    return Counts(requests, failed, LATENCY, {})


def reported(live, requests=10, **changes):
    counted = (Counted(PROD, live.release, counts(requests)),)
    return replace(Report(Name("host-1"), "0123456789abcdef", 1, live.world.now, counted), **changes)


def bring(live, report, who="host-1", signer="host-1"):
    return live.send(who, "POST", f"{API}/reports", sign_report(report, key(signer)))


def kept(live, at=PROD):
    return [(str(one.node), one.sequence, one.counted.counts.requests) for one in live.world.memory.measured(at)]


def cloud_event(**changes):
    data = {"kind": "jailbreak", "severity": "high"}
    event = {"specversion": "1.0", "id": "1", "source": "https://guard.example", "type": "alert/v1"}
    return event | {"subject": str(PROD), "data": data} | changes


def warn(live, event, who="guard", speaker=None, **changes):
    release = changes.pop("before", None)
    named = {"before": release, "after": Digest.of(canonical.encode(event))} | changes
    said = live.world.say(speaker or who, named.pop("act", "alert.raise"), named.pop("object_", PROD), **named)
    return live.post(who, "alerts", said, event=event)


def alerts(live):
    log = live.world.memory
    return [event for _, event in map(read_fact, log.entries(0, log.size())) if isinstance(event, Alerted)]


def test_what_a_node_counted_is_kept_and_the_log_does_not_hear_of_it(live):
    size = live.world.memory.size()

    assert bring(live, reported(live)).json() == {"taken": 1}
    assert bring(live, reported(live, 30, sequence=2)).json() == {"taken": 1}
    assert kept(live) == [("host-1", 2, 30)] and live.world.memory.size() == size


@pytest.mark.parametrize("sequence", [0, 1, 2])
def test_a_replayed_or_older_report_changes_nothing(live, sequence):
    bring(live, reported(live, sequence=2))

    assert bring(live, reported(live, 99, sequence=sequence)).json() == {"taken": 0}
    assert kept(live) == [("host-1", 2, 10)]


def test_what_has_no_place_at_the_endpoint_is_left_out(live):
    report = reported(live)
    stranger = replace(report, counted=(*report.counted, Counted(PROD, NONE, counts(7))))

    assert bring(live, stranger).json() == {"taken": 1}
    assert kept(live) == [("host-1", 1, 10)]


@pytest.mark.parametrize(
    ("changes", "who", "signer", "status"),
    [
        ({}, "host-1", "mallory", 422),
        ({}, "host-1", "guard", 422),
        ({"node": Name("guard")}, "host-1", "host-1", 422),
        ({"node": Name("dave")}, "host-1", "dave", 409),
        ({"node": Name("host-9")}, "host-1", "host-1", 422),
        ({}, "dave", "host-1", 403),
        ({}, "guard", "host-1", 403),
        ({"incarnation": "short"}, "host-1", "host-1", 422),
        ({"sequence": -1}, "host-1", "host-1", 422),
        ({"counted": (Counted(Endpoint.parse("dev/magika"), NONE, counts(1)),)}, "host-1", "host-1", 409),
        ({"counted": (Counted(Endpoint.parse("prod/other"), NONE, counts(1)),)}, "host-1", "host-1", 409),
        ({"counted": (Counted(PROD, NONE, counts(-1, -1)),)}, "host-1", "host-1", 422),
        ({"counted": (Counted(PROD, NONE, counts(1, 2)),)}, "host-1", "host-1", 422),
        ({"counted": (Counted(PROD, NONE, counts(2**52)),)}, "host-1", "host-1", 422),
        ({"counted": (Counted(PROD, NONE, counts(1)),) * 2}, "host-1", "host-1", 422),
    ],
)
def test_a_report_that_is_not_the_nodes_own_or_not_possible_is_refused(live, changes, who, signer, status):
    answer = bring(live, reported(live, **changes), who, signer)

    assert (answer.status_code, kept(live)) == (status, []), answer.text


def test_a_node_cannot_bring_the_report_of_another(live):
    document = sign_report(reported(live), key("host-1"))

    with pytest.raises(DeniedError, match="the report is of host-1, the session of host-2"):
        take_report(live.installation, document, Name("host-2"), live.world.now)
    assert kept(live) == []


def test_who_is_no_node_reports_nothing(live):
    document = sign_report(replace(reported(live), node=Name("dave")), key("dave"))

    with pytest.raises(DeniedError, match=r"dave has no right to report\.send"):
        take_report(live.installation, document, Name("dave"), live.world.now)
    assert kept(live) == []


def test_an_endpoint_of_another_environment_is_none_of_ours(live):
    foreign = reported(live, counted=(Counted(Endpoint.parse("dev/magika"), NONE, counts(1)),))

    assert "dev/magika is not of this installation" in bring(live, foreign).text
    told = warn(live, cloud_event(subject="dev/magika"), object_="dev/magika")
    assert "dev/magika is not of this installation" in told.text


def test_counters_that_go_back_are_refused_until_the_node_says_that_they_began_anew(live):
    bring(live, reported(live))

    assert bring(live, reported(live, 9, sequence=2)).status_code == 422
    assert bring(live, reported(live, 9, sequence=2, incarnation="f" * 16)).json() == {"taken": 1}
    assert kept(live) == [("host-1", 1, 10), ("host-1", 2, 9)]


def test_a_detector_raises_an_alert_and_its_words_are_kept_beside_the_log(live):
    event = cloud_event(data={"kind": "jailbreak", "severity": "critical", "release": str(live.release), "text": "oh"})

    told = warn(live, event, before=live.release)

    (found,) = alerts(live)
    assert (str(found.by), found.endpoint, found.danger, found.severity) == ("guard", PROD, "jailbreak", "critical")
    assert found.release == live.release
    assert json.loads(live.world.memory.document(found.document)) == event
    assert told.json()["object"]["raised"][0]["count"] == 1
    (listed,) = live.get("dave", f"endpoints/{PROD}/alerts").json()["raised"]
    assert (listed["by"], listed["index"]) == ("guard", told.json()["first"])


def test_an_alert_is_recorded_once_however_often_it_is_sent(live):
    first = warn(live, cloud_event()).json()

    assert warn(live, cloud_event()).json()["first"] == first["first"]
    assert warn(live, cloud_event(id="2")).json()["first"] == first["first"] + 1
    assert warn(live, cloud_event(), "olivia").json()["first"] == first["first"] + 2
    assert len(alerts(live)) == 3


def test_the_name_of_an_alert_does_not_serve_for_another_one(live):
    warn(live, cloud_event())

    answer = warn(live, cloud_event(data={"kind": "tool", "severity": "low"}))

    assert answer.status_code == 409 and "raised '1' of" in answer.text
    assert len(alerts(live)) == 1


def test_an_alert_changes_nothing_of_the_endpoint_and_opens_no_conflict(live):
    before = live.world.endpoint()
    warn(live, cloud_event())

    assert live.world.endpoint() == before
    assert live.get("dave", f"endpoints/{PROD}").json()["epoch"] == before.epoch


LATER = timedelta(days=1)


@pytest.mark.parametrize(
    ("event", "changes", "status"),
    [
        (cloud_event(), {"who": "alice"}, 403),
        (cloud_event(), {"who": "host-1"}, 403),
        (cloud_event(), {"who": "dave"}, 403),
        (cloud_event(), {"speaker": "olivia"}, 409),
        (cloud_event(), {"act": "endpoint.suspend"}, 422),
        (cloud_event(), {"after": NONE}, 409),
        (cloud_event(), {"after": None}, 409),
        (cloud_event(), {"before": NONE}, 409),
        (cloud_event(), {"object_": "prod/other"}, 409),
        (cloud_event(), {"lasts": -LATER}, 409),
        (cloud_event(subject="prod/other"), {"object_": "prod/other"}, 409),
        (cloud_event(subject="dev/magika"), {"object_": "dev/magika"}, 409),
        (cloud_event(subject="dev/magika"), {}, 409),
        (cloud_event(data={"kind": "tool", "severity": "low", "release": str(NONE)}), {"before": NONE}, 409),
        (cloud_event(data={"kind": "weather", "severity": "low"}), {}, 422),
        (cloud_event(type="com.example.alert"), {}, 422),
        (cloud_event(id=""), {}, 422),
        (cloud_event(note="x" * 20_000), {}, 422),
    ],
)
def test_a_forged_foreign_or_malformed_alert_is_not_recorded(live, event, changes, status):
    answer = warn(live, event, **changes)

    assert (answer.status_code, alerts(live)) == (status, []), answer.text


def test_a_signature_over_another_event_is_no_alert(live):
    said = live.world.say("guard", "alert.raise", PROD, after=Digest.of(canonical.encode(cloud_event())))

    answer = live.post("guard", "alerts", said, event=cloud_event(id="2"))

    assert answer.status_code == 409 and alerts(live) == []


def test_who_raises_too_many_alerts_is_told_to_wait_and_others_are_heard(live):
    answers = [warn(live, cloud_event(id=str(number))).status_code for number in range(70)]

    assert answers.count(200) >= 60 and answers[-1] == 503
    assert warn(live, cloud_event(), "olivia").status_code == 200


def test_there_are_no_alerts_of_what_nobody_warned_of(live):
    assert live.get("dave", f"endpoints/{PROD}/alerts").status_code == 404


def test_alerts_of_one_environment_do_not_reach_another():
    dev = Served()

    assert warn(dev, cloud_event()).status_code == 409 and alerts(dev) == []


def present(live, **changes):
    run = Run(PROD, live.release, live.world.endpoint().epoch, ready=True)
    return replace(Presence(Name("host-1"), "0123456789abcdef", 1, live.world.now, alone=False, runs=(run,)), **changes)


def attend(live, presence, who="host-1", signer="host-1"):
    return live.send(who, "POST", f"{API}/presences", sign_presence(presence, key(signer)))


def test_what_runs_on_a_host_is_kept_once(live):
    assert attend(live, present(live)).json() == {"taken": 1}
    assert attend(live, present(live)).json() == {"taken": 0}

    (voice,) = live.world.memory.voices(PROD)
    assert voice.runs == present(live).runs and voice.heard_at == live.world.now


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({"signer": "mallory"}, 422),
        ({"who": "olivia"}, 403),
        ({"node": Name("olivia"), "signer": "olivia"}, 409),
        ({"at": Endpoint.parse("dev/magika")}, 409),
        ({"at": Endpoint.parse("prod/unknown")}, 409),
    ],
)
def test_a_word_of_what_runs_is_taken_from_its_node_about_its_endpoints_alone(live, spoil, status):
    said, at = present(live), spoil.pop("at", PROD)
    node = spoil.pop("node", said.node)
    said = replace(said, node=node, runs=tuple(replace(run, endpoint=at) for run in said.runs))

    assert attend(live, said, **spoil).status_code == status
    assert live.world.memory.voices(PROD) == live.world.memory.voices(at) == []


def test_a_word_that_another_node_brings_or_of_another_environment_is_refused_as_that(live):
    said = sign_presence(present(live), key("host-1"))
    with pytest.raises(DeniedError, match="the presence is of host-1, the session of host-2"):
        take_presence(live.installation, said, Name("host-2"), live.world.now)

    (run,) = present(live).runs
    elsewhere = present(live, runs=(replace(run, endpoint=Endpoint.parse("dev/magika")),))
    assert "not of this installation" in attend(live, elsewhere).text


def test_how_a_rollback_comes_to_each_host_is_told_while_it_is_under_way(live):
    assert live.get("bob", f"endpoints/{PROD}/restoration").json() == {"restoration": None, "hosts": {}}
    live.world.serve("1.1.0")
    attend(live, present(live))
    live.world.roll_back()
    live.world.now += timedelta(seconds=1)
    told = live.get("bob", f"endpoints/{PROD}/restoration").json()
    assert told["hosts"] == {"host-1": "not yet"}

    attend(live, present(live, sequence=2))
    assert live.get("bob", f"endpoints/{PROD}/restoration").json()["hosts"] == {"host-1": "back"}
    live.world.now += timedelta(seconds=31)
    assert live.get("bob", f"endpoints/{PROD}/restoration").json()["hosts"] == {"host-1": "silent"}
