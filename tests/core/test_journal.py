"""Does the log hold every fact as it was, and is what follows from it the same for everybody who reads it?"""

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core import change, concession, delegation, endpoint, release, restoration, revocation, rollout, suite
from lockgate.core.appearance import Observed, Shows
from lockgate.core.danger import Danger, Severity
from lockgate.core.detection import Alerted
from lockgate.core.journal import (
    EVENT_TYPES,
    Denied,
    Event,
    Rulebook,
    Subject,
    change_subject,
    endpoint_subject,
    evolve,
    read_fact,
    release_subject,
    replay,
    revocation_subject,
    rulebook_subject,
    subject_of,
    write_fact,
)
from lockgate.core.override import Aside, Overridden, SetAside
from lockgate.core.policy import PolicyAdopted
from lockgate.core.preservation import Examined, Flaw
from lockgate.core.trial import Begun, Trial
from lockgate.core.trust import TrustAdopted
from lockgate.errors import VerificationError
from lockgate.formats.cloudevent import CloudEvent, encode_entry
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag, Version
from tests.core.dossiers import TICK
from tests.world import NOW, PROD, World

TAG, PROD_NAME, ALICE = Tag.parse("magika@1.0.0"), Name("prod"), Name("alice")
A, B = Digest.of(b"a"), Digest.of(b"b")
EVENTS: list[Event] = [
    release.Registered(TAG, A, A, {"weights": A}, A, ALICE),
    release.Registered(TAG, A, A, {}, A, ALICE, imported_from="dev"),
    release.Attested(TAG, A, B, "https://example.com/v1", "key"),
    change.Opened(PROD, A, B, ALICE),
    change.Proposed(PROD_NAME, "policy", A, B, ALICE),
    change.Approved(7, A, ALICE, NOW),
    change.Rejected(7, ALICE),
    change.Withdrawn(7, ALICE),
    change.Authorized(7, A, B, A),
    change.Closed(7, "succeeded"),
    endpoint.Activated(PROD, TAG, A, None, 7, B),
    endpoint.Activated(PROD, TAG, A, B, 7, B),
    endpoint.RolledBack(PROD, TAG, A, B, ALICE, A),
    endpoint.Suspended(PROD, ALICE, A),
    TrustAdopted(PROD_NAME, 1, A, B),
    PolicyAdopted(PROD_NAME, 1, A, B),
    revocation.ReleaseRevoked(TAG, A, (B,), "it leaks", ALICE, B),
    revocation.KeyRevoked(PROD_NAME, A, "lost", ALICE, B),
    revocation.Offboarded(PROD_NAME, ALICE, "left", ALICE, A),
    release.KeysOpened(TAG, A, ALICE, B),
    Alerted(PROD, Danger.JAILBREAK, Severity.HIGH, A, B, ALICE, A),
    rollout.Stepped(PROD, 7, 0, 5, A),
    rollout.Stepped(PROD, 7, 0, 5, A, ALICE),
    rollout.Paused(PROD, 7, "inconclusive", A),
    rollout.Resumed(PROD, 7, A, ALICE),
    rollout.Promoted(PROD, TAG, A, B, 7, A),
    rollout.Aborted(PROD, TAG, A, 7, "metric:errors", suspends=False, why=B),
    change.Closed(7, "rolled-back"),
    change.Closed(7, "failed"),
    endpoint.Tripped(PROD, Name("storm"), A, B),
    restoration.Restored(PROD, A, 7, 1500, 60, (Name("host-1"),)),
    restoration.Overdue(PROD, A, 7, 60, (Name("host-1"),)),
    Begun(TAG, A, "baseline", Version(1, 0, 0), B, A, PROD, B, ALICE),
    suite.Added(Name("agentic"), Version(1, 0, 0), A, "0" * 40, ALICE),
    change.Approved(7, A, ALICE, NOW, Name("bob"), B),
    delegation.Named(Name("bob"), ALICE, NOW, A),
    delegation.Recalled(Name("bob"), Name("bob")),
    Observed(PROD, A, Name("gpt"), Shows(snapshot="fp_2"), ("snapshot was 'fp_1', and is 'fp_2'",), (), ALICE, A),
    Overridden(7, Name("olivia"), (Aside("evaluation", "baseline"),), A, NOW, B, A),
    concession.Made(7, PROD, TAG, A, (SetAside(Aside("scan", "scan"), ALICE, NOW, B),), NOW, (ALICE,)),
    concession.Lapsed(7, PROD, TAG, NOW),
    concession.Missed(7, PROD, TAG, NOW),
    concession.Reviewed(7, "rejected", ALICE, A, B, A),
    endpoint.Flagged(PROD, Name("storm"), A, B),
    Examined(PROD, TAG, A, "damaged", (Flaw("bytes", "weights/a: not as signed", "weights/a", A, None, B),), 1),
    Denied("change.approve", "change/7", A),
]


def entry(event, index=0, at=NOW, **changes):
    envelope = CloudEvent("id", "prod.example/changes", "", str(subject_of(event, index)), at, "alice", A, "salt", {})
    return encode_entry(replace(write_fact(event, envelope), **changes))


def refused(reason, entries):
    with pytest.raises(VerificationError, match=reason):
        replay(entries)


def test_every_type_of_event_is_tried_here():
    assert {type(event) for event in EVENTS} == set(get_args(Event)) == set(EVENT_TYPES.values())
    assert len(EVENT_TYPES) == len(get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_event_reads_back_from_its_entry(event):
    envelope, found = read_fact(entry(event))

    assert found == event and type(found) is type(event)
    assert (envelope.actor, envelope.intent, envelope.time, envelope.type) == ("alice", A, NOW, event.type)
    assert "type" not in envelope.data


def test_a_type_that_we_do_not_know_is_refused():
    with pytest.raises(VerificationError, match=r"unknown type 'endpoint\.exploded/v1'"):
        read_fact(entry(EVENTS[0], type="endpoint.exploded/v1"))


@pytest.mark.parametrize("data", [{}, {"extra": 1}, {"act": 1, "object": "x", "reasons": str(A)}])
def test_an_event_with_other_members_than_its_own_is_refused(data):
    with pytest.raises(VerificationError, match="denied/v1"):
        read_fact(entry(EVENTS[-1], data=data))


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (EVENTS[0], release_subject(TAG)),
        (EVENTS[37], Subject("appearances", "prod/magika")),
        (EVENTS[2], release_subject(TAG)),
        (EVENTS[3], change_subject(5)),
        (EVENTS[4], change_subject(5)),
        (EVENTS[5], change_subject(7)),
        (EVENTS[9], change_subject(7)),
        (EVENTS[10], endpoint_subject(PROD)),
        (EVENTS[12], endpoint_subject(PROD)),
        (EVENTS[13], endpoint_subject(PROD)),
        (EVENTS[14], rulebook_subject(PROD_NAME)),
        (EVENTS[15], rulebook_subject(PROD_NAME)),
        (EVENTS[16], revocation_subject(A)),
        (EVENTS[17], rulebook_subject(PROD_NAME)),
        (EVENTS[18], rulebook_subject(PROD_NAME)),
        (EVENTS[19], release_subject(TAG)),
        (EVENTS[20], Subject("alerts", "prod/magika")),
        (EVENTS[21], endpoint_subject(PROD)),
        (EVENTS[22], endpoint_subject(PROD)),
        (EVENTS[23], endpoint_subject(PROD)),
        (EVENTS[24], endpoint_subject(PROD)),
        (EVENTS[25], endpoint_subject(PROD)),
        (EVENTS[26], endpoint_subject(PROD)),
        (EVENTS[28], change_subject(7)),
        (EVENTS[29], endpoint_subject(PROD)),
        (EVENTS[30], endpoint_subject(PROD)),
        (EVENTS[31], endpoint_subject(PROD)),
        (EVENTS[32], release_subject(TAG)),
        (EVENTS[33], Subject("suite", "agentic@1.0.0")),
        (EVENTS[35], Subject("delegation", "bob")),
        (EVENTS[36], Subject("delegation", "bob")),
        (EVENTS[38], change_subject(7)),
        *((event, Subject("concession", "7")) for event in EVENTS[39:43]),
        (EVENTS[43], endpoint_subject(PROD)),
        (EVENTS[-1], Subject("denied", "change/7")),
    ],
)
def test_every_event_is_about_one_object(event, subject):
    assert subject_of(event, 5) == subject


def test_objects_are_written_by_kind_and_key():
    subjects = [release_subject(TAG), change_subject(7), endpoint_subject(PROD), rulebook_subject(PROD_NAME)]
    written = ["release/magika@1.0.0", "change/7", "endpoint/prod/magika", "rulebook/prod"]

    assert [str(one) for one in subjects] == written


def test_a_rulebook_holds_the_documents_in_force():
    first = evolve(None, TrustAdopted(PROD_NAME, 1, A, B), 0, NOW)
    second = evolve(first, PolicyAdopted(PROD_NAME, 1, B, A), 1, NOW)
    third = evolve(second, TrustAdopted(PROD_NAME, 2, B, A), 2, NOW)

    assert first == Rulebook(PROD_NAME, A, 1, B)
    assert second == Rulebook(PROD_NAME, A, 1, B, B, 1, A)
    assert third == Rulebook(PROD_NAME, B, 2, A, B, 1, A)


def test_a_record_of_a_release_gathers_its_evidence():
    record = evolve(None, EVENTS[1], 3, NOW)
    assert isinstance(record, release.Record)
    attested = evolve(record, EVENTS[2], 4, NOW + TICK)

    assert (record.index, record.registered_at, record.evidence, record.imported_from) == (3, NOW, (), "dev")
    assert attested == replace(record, evidence=(B,))


def test_a_record_of_a_release_gathers_its_trials():
    record = evolve(None, EVENTS[0], 3, NOW)
    assert isinstance(record, release.Record)
    begun = EVENTS[32]
    assert isinstance(begun, Begun)

    found = evolve(evolve(record, begun, 4, NOW), begun, 9, NOW + TICK)

    first = Trial(4, "baseline", Version(1, 0, 0), B, A, PROD, B, ALICE, NOW)
    assert found == replace(record, trials=(first, replace(first, number=9, begun_at=NOW + TICK)))


def test_a_version_of_a_suite_is_bound_once():
    first = evolve(None, EVENTS[33], 3, NOW)

    assert first == suite.Suite(Name("agentic"), Version(1, 0, 0), A, "0" * 40, ALICE, NOW, 3)
    assert evolve(first, suite.Added(Name("agentic"), Version(1, 0, 0), B, "1" * 40, ALICE), 9, NOW) == first


FIRST = (
    Examined,
    release.Registered,
    change.Opened,
    change.Proposed,
    endpoint.Activated,
    endpoint.Suspended,
    TrustAdopted,
    revocation.ReleaseRevoked,
    Alerted,
    Observed,
    suite.Added,
    Denied,
    delegation.Named,
    concession.Made,
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_only_some_events_can_be_the_first_about_something(event):
    if isinstance(event, FIRST):
        assert (evolve(None, event, 7, NOW) is None) == isinstance(event, Denied)
    else:
        with pytest.raises(VerificationError, match="about something that never began"):
            evolve(None, event, 7, NOW)


def told():
    world = World()
    world.serve("1.0.0")
    world.now += timedelta(hours=1)
    world.serve("1.1.0")
    world.now += timedelta(hours=1)
    world.roll_back()
    world.shut_down()
    world.revoke("magika@1.1.0")
    world.revoke("ci")
    return world


LOG = told()
ENTRIES = list(LOG.memory.entries(0, LOG.memory.size()))


def test_replaying_the_log_gives_the_state_of_the_world():
    assert replay(ENTRIES) == {subject: held[0] for subject, held in LOG.memory.states.items()}
    assert replay([]) == {}


@pytest.mark.parametrize(
    ("hours", "tag", "suspended"), [(0, "magika@1.0.0", False), (1, "magika@1.1.0", False), (2, "magika@1.0.0", True)]
)
def test_the_state_at_any_instant_is_rebuilt(hours, tag, suspended):
    at = NOW + timedelta(hours=hours)

    for until in (at, at + timedelta(minutes=59)):
        state = replay(ENTRIES, until=until)[endpoint_subject(PROD)]
        assert isinstance(state, endpoint.State) and state.stable
        assert (str(state.stable.tag), state.suspended) == (tag, suspended)
    assert replay(ENTRIES, until=NOW - TICK) == {}


@given(st.integers(0, len(ENTRIES)))
def test_a_prefix_of_the_log_is_a_log(size):
    times = [read_fact(one)[0].time for one in ENTRIES]
    states = replay(ENTRIES[:size])

    assert set(states) <= set(replay(ENTRIES))
    if size and times[size - 1] < [*times, NOW + timedelta(days=1)][size]:
        assert replay(ENTRIES, until=times[size - 1]) == states


def test_an_entry_about_another_object_than_it_says_is_refused():
    refused("log entry 0 is about release/magika@1.0.0, but says 'release/x'", [entry(EVENTS[0], subject="release/x")])
    refused("is about change/1, but says 'change/0'", [entry(EVENTS[14]), entry(EVENTS[3], 0)])


def test_an_entry_from_before_the_one_before_it_is_refused():
    earlier = entry(EVENTS[13], 1, NOW - TICK)

    refused("log entry 1 is of .*, earlier than the one before it", [entry(EVENTS[14]), earlier])
    replay([entry(EVENTS[14]), entry(EVENTS[13], 1, NOW)])


@pytest.mark.parametrize("spoilt", [[1, 0], [2, 3, 4], [0, 1, 1, 2]])
def test_entries_that_were_dropped_doubled_or_moved_do_not_follow(spoilt):
    with pytest.raises(VerificationError):
        replay([ENTRIES[index] for index in spoilt] + ENTRIES[5:])


@pytest.mark.parametrize("spoilt", [b"", b"{}", b"[]", ENTRIES[0] + b" ", ENTRIES[0][:-1]])
def test_what_is_no_entry_is_refused(spoilt):
    refused(".", [spoilt])
