"""Can an agent bring an order that somebody gave when the server was away? Whose it is, the intent says."""

import json
from datetime import timedelta

import pytest

from lockgate.core.order import Order, open_recorded, reason_digest
from lockgate.core.proved import Logged
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.world import PROD

REASON = "because"


def given(served, who="olivia", reason=REASON, object_=PROD, **more):
    said = served.world.say(who, "endpoint.suspend", object_, after=reason_digest(reason), lasts=timedelta(7), **more)
    return Order(said, reason)


def bring(served, order, who="host-1", key=None):
    body = plain.encode(order)
    return served.send(who, "POST", "/api/v1/orders", body, idempotency_key=key or order.intent.intent.nonce)


def proof(served, digest):
    return served.get("host-1", f"orders/{digest}")


@pytest.mark.parametrize("reason", [None, REASON])
def test_an_agent_brings_the_order_of_a_person_and_a_proof_says_where_it_is(served, reason):
    order = given(served, reason=reason)

    answers = [bring(served, order) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert served.world.endpoint().suspended
    logged = plain.decode(Logged, proof(served, order.intent.intent.digest).content)
    assert open_recorded(logged, order, served.world.trust, served.world.now) == answers[0].json()["first"]
    if reason:
        assert served.world.memory.document(Digest.of(reason.encode())) == reason.encode()


def test_who_gave_it_may_bring_it_himself_and_it_is_recorded_once(served):
    order = given(served)

    first = served.post("olivia", f"endpoints/{PROD}/shutdown", order.intent, reason=REASON).json()

    assert bring(served, order).json()["first"] == first["first"]


@pytest.mark.parametrize("who", ["olivia", "alice", "ann", "ci", "bob"])
def test_nobody_but_an_agent_relays(served, who):
    assert bring(served, given(served), who).status_code == 403
    assert not served.world.endpoint().suspended


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda served: given(served, "alice"), 409),
        (lambda served: given(served, "host-1"), 409),
        (lambda served: given(served, object_="dev/magika"), 409),
        (lambda served: given(served, object_="change/5"), 409),
        (lambda served: given(served, object_="nothing"), 422),
        (lambda served: Order(given(served).intent, None), 409),
        (lambda served: Order(given(served).intent, "another"), 409),
        (lambda served: given(served, reason="x" * 1001), 422),
    ],
)
def test_what_is_no_order_is_not_recorded(served, spoil, status):
    answer = bring(served, spoil(served))
    assert (answer.status_code, served.world.endpoint().suspended) == (status, False), answer.text


def test_an_order_that_expired_is_not_recorded(served):
    order = given(served)
    served.world.now += timedelta(days=8)
    served.tokens.clear()

    assert bring(served, order).status_code == 409


def test_another_key_than_the_nonce_is_refused(served):
    assert bring(served, given(served), key="k" * 32).status_code == 422


def test_only_orders_are_proved_here(served):
    release = served.world.register()
    said = served.world.say("alice", "change.open", PROD)
    assert proof(served, release.digest).status_code == 409
    assert proof(served, said.intent.digest).status_code == 409
    assert proof(served, "sha256:x").status_code in (404, 422)
    opened = served.world.open(release)
    entry = json.loads(next(served.world.memory.entries(opened, opened + 1)))
    key = next(key for key, receipt in served.world.memory.receipts.items() if receipt.first == opened)
    assert entry["type"].endswith("change.opened/v1") and proof(served, key).status_code == 409
