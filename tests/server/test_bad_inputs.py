"""Whatever anybody sends: 4xx, a problem document, nothing repeated, nothing changed."""

import json

import pytest

from lockgate.formats import plain
from lockgate.server.doors import DOORS, needs_key
from tests.server.served import API

TAKING = [door for door in DOORS if door.takes not in (None, bytes)]
WHO = {
    "release.register": "alice",
    "release.attest": "ci",
    "trial.begin": "ci",
    "suite.add": "ci",
    "change.open": "alice",
    "change.approve": "bob",
    "approval.delegate": "bob",
    "approval.recall": "bob",
    "emergency.approve": "olivia",
    "change.override": "olivia",
    "change.review": "bob",
    "change.reject": "bob",
    "change.withdraw": "alice",
    "change.activate": "dave",
    "endpoint.roll-back": "dave",
    "endpoint.suspend": "olivia",
    "rollout.pause": "dave",
    "rollout.resume": "dave",
    "rollout.step": "dave",
    "rollout.promote": "dave",
    "rollout.abort": "dave",
    "rules.propose": "ann",
    "rules.adopt": "ann",
    "release.revoke": "olivia",
    "key.revoke": "olivia",
    "person.offboard": "olivia",
    "lease.ask": "host-1",
    "order.relay": "host-1",
    "report.send": "host-1",
    "halt.send": "host-1",
    "ties.send": "host-1",
    "alert.raise": "guard",
    "provider.observe": "guard",
}
MARK = "marker-that-must-not-come-back"
BAD = {
    "nothing": b"",
    "no JSON": b"{",
    "two values": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "text": b'"x"',
    "NaN": b'{"intent": NaN}',
    "infinity": b'{"intent": -Infinity}',
    "a float": b'{"intent": 1.5}',
    "2^53": b'{"intent": 9007199254740992}',
    "ten thousand digits": b'{"intent": ' + b"9" * 10_000 + b"}",
    "a lone surrogate": b'{"intent": "\\ud800"}',
    "a lone surrogate as a name": b'{"\\udfff": 1}',
    "a member twice": b'{"intent": {}, "intent": {}}',
    "deep lists": b"[" * 50_000,
    "deep lists, closed": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "NUL": b'{"intent": "\\u0000"}',
    "a raw NUL": b"\0",
    "no UTF-8": b'{"intent": "\xff\xfe"}',
    "UTF-16": '{"intent": {}}'.encode("utf-16"),
    "UTF-32": '{"intent": {}}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"intent": {}}',
    "an unknown member": b'{"surprise": 1}',
    "a name beyond ASCII": '{"é": 1}'.encode(),
    "a large text": b'{"intent": "' + MARK.encode() * 20_000 + b'"}',
    "a large name": b'{"' + MARK.encode() * 20_000 + b'": 1}',
    "many members": json.dumps({f"{MARK}{number}": number for number in range(10_000)}).encode(),
}
SPOILT = {  # one member of a good intent at a time
    "act": [1, None, "", "x" * 257, "\0", {}, "release.register\n"],
    "object": [1, None, "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 100_000, ["prod"]],
    "before": ["", "sha256:", "sha256:" + "A" * 64, "md5:" + "0" * 32, 0, False],
    "after": ["sha256:" + "0" * 63, "sha256:" + "0" * 65, "sha256:" + "0" * 64 + "\n", []],
    "actor": ["", "..", "ALICE", "alice\0", "x" * 64, None, 7, "\u0430lice"],
    "nonce": ["", "short", 5, None, "x" * 257],
    "expires": ["2026-11-21T13:00:00Z", "9999-99-99T00:00:00.000000Z", 0, None, "2026-11-21T13:00:00.000000+00:00"],
    "head": [1, {"size": -1, "root": "x"}, {"size": 2**53, "root": "sha256:" + "0" * 64}, {"size": True}],
    "type": ["intent/v2", None, 1],
}


def path_of(door):
    path = door.path.replace("{environment}", "prod").replace("{name}", "magika").replace("{version}", "1.0.0")
    return path.replace("{number}", "2").replace("{keyid}", f"sha256:{0:064}").replace("{person}", "bob")


def check_refused(answer, *, statuses=range(400, 500)):
    assert answer.status_code in statuses, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == answer.status_code
    assert found["type"].startswith("urn:lockgate:problem:")
    assert answer.text.count(MARK) < 10
    assert len(answer.content) < 3000


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
@pytest.mark.parametrize("door", TAKING, ids=lambda door: door.path)
def test_a_bad_body_is_refused(shut, door, body):
    size = shut.world.memory.size()

    check_refused(shut.send(WHO.get(door.act, "alice"), door.method, path_of(door), body))

    assert shut.world.memory.size() == size


@pytest.mark.parametrize(("member", "values"), SPOILT.items())
def test_a_spoilt_intent_is_refused(shut, member, values):
    said = shut.world.say("olivia", "endpoint.suspend", "prod/magika")
    good = plain.to_plain({"intent": said})

    for value in values:
        bad = json.loads(json.dumps(good))
        bad["intent"]["intent"][member] = value
        nonce = value if member == "nonce" and isinstance(value, str) else said.intent.nonce
        body = json.dumps(bad).encode()
        check_refused(shut.send("olivia", "POST", f"{API}/endpoints/prod/magika/shutdown", body, idempotency_key=nonce))

    assert shut.world.endpoint().epoch == -1


@pytest.mark.parametrize("proof", [None, 1, {}, {"type": "key"}, {"type": "key", "signature": "?"}, {"type": "none"}])
def test_a_spoilt_proof_is_refused(shut, proof):
    said = shut.world.say("olivia", "endpoint.suspend", "prod/magika")
    body = json.dumps({"intent": {"intent": plain.to_plain(said.intent), "proof": proof}}).encode()

    check_refused(
        shut.send("olivia", "POST", f"{API}/endpoints/prod/magika/shutdown", body, idempotency_key=said.intent.nonce),
        statuses=[422],
    )


@pytest.mark.parametrize(
    "path",
    [
        "changes/-1",
        "changes/9007199254740992",
        "changes/99999999999999999999999999",
        "changes/1.5",
        "changes/x",
        "changes/%00",
        "changes/0/assessment/more",
        "releases/..%2f..%2fetc/1.0.0",
        "releases/MAGIKA/1.0.0",
        "releases/magika/1.0",
        "releases/magika/01.0.0",
        "releases/magika/1.0.0%0a",
        "releases/magika/9999999999.0.0",
        "releases/%ff/1.0.0",
        f"releases/{MARK * 200}/1.0.0",
        "endpoints/prod/%00",
        "endpoints/prod/../magika",
        "endpoints/%2e%2e/magika",
        "blobs/sha256:00",
        "blobs/..%2f..%2fkeys%2fsession",
        "blobs/md5:" + "0" * 32,
        "blobs/sha256:" + "0" * 64 + "%0a",
        "documents/sha256:" + "F" * 64,
        "log/proof/-1",
        "log/proof/9007199254740992",
        "log/proof/9007199254740991",
        "changes?limit=0",
        "changes?limit=1001",
        "changes?limit=9999999999999999999999",
        "changes?endpoint=prod",
        "changes?after=" + "9" * 200,
        "releases?name=..",
    ],
)
def test_a_bad_path_is_refused(shut, path):
    check_refused(shut.get("ann", path), statuses=[404, 422])


@pytest.mark.parametrize(
    "path", ["changes?after=%00", "releases?after=%00%ff", "changes?after=x", "endpoints?after=.."]
)
def test_an_after_that_names_nothing_begins_anew(shut, path):
    assert shut.get("ann", path).json()["items"] == []


@pytest.mark.parametrize(
    "path", ["/log/tile/x", "/log/tile/0/0", "/log/tile/0/000.p/0", "/log/tile/99/000", "/log/tile/0/000", "/log/tile/"]
)
def test_what_is_no_tile_is_not_there(shut, path):
    check_refused(shut.client.get(path), statuses=[404])


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("text/plain", 415),
        ("application/json; charset=utf-16", 415),
        ("multipart/form-data", 415),
        ("", 415),
        ("application/json-seq", 415),
        ("application/json; charset=UTF-8", 422),
        ("Application/JSON", 422),
    ],
)
def test_only_json_in_utf_8_is_read(shut, media, status):
    check_refused(shut.send("alice", "POST", f"{API}/changes", b"{}", content_type=media), statuses=[status])


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "PUT", "TRACE", "PROPFIND"])
def test_a_method_that_is_not_there_is_refused(shut, method):
    check_refused(shut.send("alice", method, f"{API}/changes"), statuses=[405])


def test_the_description_covers_every_door_that_needs_a_key():
    without = {None, "lease.ask", "report.send", "halt.send", "ties.send", "read"}  # sign themselves, or change nothing
    assert {door.act for door in DOORS if needs_key(door)} == {door.act for door in TAKING} - without
