import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.errors import VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.server.session import FRESH, LIFETIME, Sessions
from tests.server.served import API, Served
from tests.world import key

TRUST_PATH = f"{API}/trust"


def ask(served, said):
    return served.client.post(f"{API}/sessions", json={"intent": plain.to_plain(said)})


def with_token(served, token):
    return served.client.get(TRUST_PATH, headers={"authorization": f"Bearer {token}"})


def adopt_next(served, **changes):
    """Adopt a trust document that differs from the one in force."""
    world = served.world
    held = world.trust
    world.trust = replace(held, version=held.version + 1, **changes)
    world.adopt(world.trust, world.policy)


def test_a_session_says_who_and_for_how_long(served):
    answer = served.sign_in("ann").json()

    assert answer["actor"] == "ann"
    assert answer["roles"] == ["auditor", "admin"]
    assert answer["expires_at"] == "2026-11-21T12:15:00.000000Z"
    assert with_token(served, answer["token"]).status_code == 200


def test_a_session_ends(served):
    token = served.sign_in("ann").json()["token"]
    served.world.now += LIFETIME - timedelta(microseconds=1)
    assert with_token(served, token).status_code == 200

    served.world.now += timedelta(microseconds=1)

    assert with_token(served, token).status_code == 401


@pytest.mark.parametrize(
    ("spoilt", "status"),
    [
        ({"act": "read"}, 409),
        ({"object": "dev"}, 409),
        ({"before": Digest.of(b"")}, 409),
        ({"after": Digest.of(b"")}, 409),
        ({"expires_in": timedelta(0)}, 409),
        ({"expires_in": FRESH + timedelta(microseconds=1)}, 409),
        ({"actor": Name("mallory")}, 401),
        ({"signer": "bob"}, 401),
    ],
)
def test_an_intent_that_is_a_little_off_opens_nothing(served, spoilt, status):
    from lockgate.core.intent import sign_intent

    said = served.world.say("alice", "session.open", "prod", lasts=FRESH)
    assert ask(served, said).status_code == 200

    changes = dict(spoilt)
    signer = key(changes.pop("signer", "alice"))
    expires = served.world.now + changes.pop("expires_in", FRESH)
    intent = replace(said.intent, nonce="another-nonce-0001", expires=expires, **changes)

    assert ask(served, sign_intent(intent, signer)).status_code == status


def test_an_intent_opens_one_session(served):
    said = served.world.say("alice", "session.open", "prod", lasts=FRESH)
    assert ask(served, said).status_code == 200

    answer = ask(served, said)

    assert answer.status_code == 409
    assert "already" in answer.json()["detail"]


def test_a_nonce_is_somebodys_own(served):
    alice, bob = (served.world.say(who, "session.open", "prod", lasts=FRESH) for who in ("alice", "bob"))
    from lockgate.core.intent import sign_intent

    same = sign_intent(replace(bob.intent, nonce=alice.intent.nonce), key("bob"))

    assert [ask(served, said).status_code for said in (alice, same)] == [200, 200]


def flip(text, at):
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_no_character_of_a_token_can_be_changed(served):
    token = served.sign_in("ann").json()["token"]
    sessions, now = Sessions(served.installation, served.settings.session_key), served.world.now
    assert str(sessions.find(token, now).actor) == "ann"

    for at in range(len(token) - 2):  # the last character of base64 carries bits that mean nothing
        with pytest.raises(VerificationError):
            sessions.find(flip(token, at), now)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", "Bearer a.b", "Bearer é", "x" * 9999]
)
def test_what_is_no_token_is_refused(served, value):
    assert served.client.get(TRUST_PATH, headers={"authorization": value.encode()}).status_code == 401


def test_two_tokens_are_none(served):
    header = served.bearer("ann")["authorization"].encode()

    assert served.client.get(TRUST_PATH, headers=[(b"authorization", header)] * 2).status_code == 401


def test_the_token_of_another_server_is_worth_nothing(served):
    token = served.sign_in("ann").json()["token"]
    strange = build_with_key(Served(), bytes(32))

    assert strange.get(TRUST_PATH, headers={"authorization": f"Bearer {token}"}).status_code == 401
    assert with_token(served, token).status_code == 200


def build_with_key(served, session_key):
    from starlette.testclient import TestClient

    from lockgate.server.asgi import build

    settings = replace(served.settings, session_key=session_key)
    app = build(served.installation, settings, clock=lambda: served.world.now)
    return TestClient(app, base_url="http://localhost")


def test_claims_cannot_be_made_up(served):
    token = served.sign_in("alice").json()["token"]
    payload, _, mac = token.removeprefix("lockgate-session-").partition(".")
    claims = canonical.parse_object(base64.urlsafe_b64decode(payload)) | {"actor": "ann"}
    forged = base64.urlsafe_b64encode(canonical.encode(claims)).decode()

    assert with_token(served, f"lockgate-session-{forged}.{mac}").status_code == 401


def test_who_is_struck_from_the_trust_is_out_at_once(served):
    token = served.sign_in("alice").json()["token"]
    assert with_token(served, token).status_code == 200

    adopt_next(served, actors=tuple(actor for actor in served.world.trust.actors if actor.name != Name("alice")))

    assert with_token(served, token).status_code == 401
    assert served.sign_in("alice").status_code == 401


def test_a_session_dies_with_the_key_that_opened_it(served):
    token = served.sign_in("alice").json()["token"]
    renewed = [
        replace(actor, keys=(key("new key").public,)) if actor.name == Name("alice") else actor
        for actor in served.world.trust.actors
    ]

    adopt_next(served, actors=tuple(renewed))

    assert with_token(served, token).status_code == 401


def test_roles_are_those_of_now(served):
    from lockgate.core.rights import Role

    assert served.get("ann", "log/entries").status_code == 200
    roles = {Name("ann"): (Role.ADMIN,), Name("alice"): (Role.AUDITOR,)}
    others = [replace(actor, roles=roles.get(actor.name, actor.roles)) for actor in served.world.trust.actors]
    served.bearer("alice")

    adopt_next(served, actors=tuple(others))

    assert served.get("alice", "log/entries").status_code == 200
