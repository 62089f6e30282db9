"""Asked twice, done once; refused, and that is known; and when the database is not there, nothing is done at all."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lockgate.app.publish_updates import carried_rules
from lockgate.core.intent import sign_intent
from lockgate.core.journal import Denied, read_fact
from lockgate.errors import ConflictError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.server.doors import DOORS
from tests.server.served import API
from tests.server.test_bad_inputs import WHO
from tests.server.test_default_deny import filled
from tests.world import PROD, carried, key

SHUTDOWN = "endpoints/prod/magika/shutdown"


def denials(served):
    facts = [read_fact(entry) for entry in served.world.memory.log]
    return [
        (envelope.actor, event.act, event.object, canonical.parse(served.world.memory.document(event.reasons)))
        for envelope, event in facts
        if isinstance(event, Denied)
    ]


def stop(served, who="olivia"):
    return served.world.say(who, "endpoint.suspend", PROD)


def test_the_same_intent_gets_the_same_receipt(served):
    said = stop(served)

    first, second = (served.post("olivia", SHUTDOWN, said).json() for _ in range(2))

    assert (first["first"], first["stop"]) == (second["first"], second["stop"])
    assert served.world.memory.size() == first["stop"]


def test_a_policy_is_adopted_once_however_often_it_is_brought(served):
    world = served.world
    held, _ = carried_rules(world.installation)
    changes = world.approved(replace(world.policy, version=2))
    signed = carried(world.trust, replace(world.policy, version=2), held=held)
    before, after = world.installation.rulebook().targets, Digest.of(signed.targets)
    said = world.say("ann", "rules.adopt", "prod", before=before, after=after)
    names = ("trust", "policy", "root", "targets")
    documents = {name: getattr(signed, name).decode() for name in names}

    answers = [served.post("ann", "rules", said, documents=documents, changes=changes) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.json()["first"] for answer in answers} == {world.memory.size() - 2}
    assert all(answer.json()["published"] for answer in answers)
    assert served.get("ann", "rules").json() == documents


def test_one_intent_brought_by_many_at_once_is_carried_out_once(served):
    said = stop(served)
    served.bearer("olivia")

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: served.post("olivia", SHUTDOWN, said), range(24)))

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["first"] for answer in answers} == {served.world.memory.size() - 1}


def test_an_order_without_its_key_is_refused(served):
    body = canonical.encode(plain.to_plain({"intent": stop(served)}))
    headers = served.bearer("olivia") | {"content-type": "application/json"}

    answer = served.client.post(f"{API}/{SHUTDOWN}", content=body, headers=headers)

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]


@pytest.mark.parametrize("other", ["nonce-000000000000", "", "x"])
def test_an_order_under_another_key_is_refused(served, other):
    body = canonical.encode(plain.to_plain({"intent": stop(served)}))

    answer = served.send("olivia", "POST", f"{API}/{SHUTDOWN}", body, idempotency_key=other)

    assert answer.status_code == 422
    assert served.world.endpoint().epoch == -1


def test_who_has_no_right_is_denied_and_that_is_recorded_once_a_minute(served):
    said = stop(served, "bob")

    answers = [served.post("bob", SHUTDOWN, said) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {403}
    reasons = answers[0].json()["reasons"]
    assert denials(served) == [("bob", "endpoint.suspend", SHUTDOWN, reasons)]


def test_a_denial_by_the_rules_is_recorded_with_the_object_of_the_intent(served):
    said = served.world.say("dave", "endpoint.roll-back", PROD)

    answer = served.post("dave", "endpoints/prod/magika/rollback", said)

    assert answer.status_code == 409
    assert denials(served) == [("dave", "endpoint.roll-back", "prod/magika", answer.json()["reasons"])]
    assert 'lockgate_denials_total{act="endpoint.roll-back"} 1' in served.get("ann", "/metrics").text


def test_an_object_that_is_no_plain_text_is_recorded_by_its_digest(served):
    assert served.get("bob", "log/entries").status_code == 403
    assert served.client.get(f"{API}/log/entries?x", headers=served.bearer("bob")).status_code == 403
    said = served.world.say("dave", "endpoint.roll-back", "prod/\0é")

    assert served.post("dave", "endpoints/prod/magika/rollback", said).status_code == 409

    assert [object_ for _, _, object_, _ in denials(served)] == ["log/entries", str(Digest.of("prod/\0é".encode()))]


def test_nobody_brings_the_word_of_somebody_else(served):
    said = stop(served, "olivia")

    answer = served.post("dave", SHUTDOWN, said)

    assert answer.status_code == 409
    assert served.world.endpoint().epoch == -1
    assert denials(served)[0][:3] == ("dave", "endpoint.suspend", "prod/magika")


def test_a_word_that_another_key_signed_is_worth_nothing(served):
    said = sign_intent(stop(served).intent, key("dave"))

    assert served.post("olivia", SHUTDOWN, said).status_code == 422
    assert served.world.endpoint().epoch == -1


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_without_a_database_every_door_says_so(shut, door):
    headers = {"content-type": "application/json", "idempotency-key": "n" * 16}
    who = WHO.get(door.act, "alice" if door.act == "blob.put" else "ann")
    shut.database.down = False
    headers |= shut.bearer(who)
    said = plain.to_plain({"intent": shut.world.say(who, "session.open", "prod")})
    shut.database.down = True

    answer = shut.client.request(door.method, filled(door.path), json=said, headers=headers)

    without = {"/healthz": 200, "/tuf/{path:path}": 404}  # what hosts follow lies in files
    assert answer.status_code == without.get(door.path, 503)
    assert door.method == "HEAD" or door.path in without or answer.headers["retry-after"] == "1"


def test_without_a_database_nothing_is_done_and_later_it_is(served):
    said = stop(served)
    served.bearer("olivia")
    size = served.world.memory.size()
    served.database.down = True
    assert served.post("olivia", SHUTDOWN, said).status_code == 503
    served.database.down = False
    assert served.world.memory.size() == size

    assert served.post("olivia", SHUTDOWN, said).status_code == 200
    assert served.world.endpoint().suspended


def test_a_log_that_takes_no_entry_stops_every_change(served):
    said = stop(served)
    served.database.full = True

    assert served.post("olivia", SHUTDOWN, said).status_code == 503
    assert served.world.endpoint().epoch == -1


@pytest.mark.parametrize(("who", "status"), [("bob", 403), ("dave", 409)])
def test_a_denial_that_cannot_be_recorded_stays_a_denial(served, logged, who, status):
    said = served.world.say(who, "endpoint.roll-back", PROD)
    served.database.full = True

    answer = served.post(who, "endpoints/prod/magika/rollback", said)

    assert answer.status_code == status
    assert denials(served) == []
    assert "could not be recorded" in str(logged())


def test_a_log_that_moved_says_read_again(served, monkeypatch):
    said = served.world.say("ann", "rules.adopt", "prod")

    def moved(*_):
        raise ConflictError("the log moved")

    monkeypatch.setattr(served.database, "receipt", moved, raising=False)

    assert served.post("ann", "rules", said, documents={"trust": "", "root": "", "targets": ""}).status_code == 412


def test_a_bug_of_ours_tells_nothing_and_is_written_down(served, monkeypatch, logged):
    def broken(*_, **__):
        raise RuntimeError("secret of the house")

    served.bearer("ann")
    monkeypatch.setattr(served.database, "listing", broken, raising=False)
    caller = served.caller(raise_server_exceptions=False)

    answer = caller.get(f"{API}/releases", headers=served.bearer("ann"))

    assert answer.status_code == 500
    assert answer.json() == {
        "type": "urn:lockgate:problem:internal",
        "title": "Internal Server Error",
        "status": 500,
        "reasons": [],
    }
    assert "secret of the house" in str(logged())
