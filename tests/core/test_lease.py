"""What does a host get when it asks? A word for this nonce, this node and what should serve; for nothing else."""

from dataclasses import replace

import pytest

from lockgate.core.endpoint import Activated, Suspended, evolve
from lockgate.core.lease import (
    GRANT,
    REQUEST,
    Grant,
    Granted,
    Request,
    Want,
    answer,
    open_grant,
    open_request,
    sign_grant,
    sign_request,
)
from lockgate.core.rollout import Stepped
from lockgate.errors import VerificationError
from lockgate.formats import canonical, dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.core.dossiers import TICK, trusting
from tests.world import NOTHING_REVOKED, NOW, PROD, key, rules, trust

A, B = Digest.of(b"a"), Digest.of(b"b")
OTHER = Endpoint.parse("prod/other")
HOST = Name("host-1")
NONCE = "0123456789abcdef"
REQUESTED = Request(HOST, NONCE, (Want(PROD, A),), "sealed")
ACTIVATED = Activated(PROD, Tag.parse("magika@1.0.0"), A, None, 1, B)
SERVING = evolve(None, ACTIVATED, 9, NOW)
SUSPENDED = evolve(SERVING, Suspended(PROD, Name("olivia"), B), 10, NOW)
NEVER = evolve(None, Suspended(PROD, Name("olivia"), B), 10, NOW)
RULES = {PROD: rules(), OTHER: rules()}
GRANTED = Granted(PROD, A, 30, 9, weight=100, candidate=False)
GIVEN = Grant(HOST, NONCE, (GRANTED,), ())


def asker():
    return trust().actor(HOST, NOW)


def found(_node):
    return asker()


def test_what_should_serve_is_granted_for_as_long_as_the_policy_says():
    assert answer(REQUESTED, {PROD: SERVING}, RULES, NOTHING_REVOKED) == GIVEN


@pytest.mark.parametrize(
    ("want", "states", "ruled", "reason"),
    [
        (Want(PROD, A), {}, RULES, "prod/magika is unknown here"),
        (Want(PROD, A), {PROD: SERVING}, {}, "prod/magika is unknown here"),
        (Want(OTHER, A), {PROD: SERVING}, RULES, "prod/other is unknown here"),
        (Want(PROD, B), {PROD: SERVING}, RULES, "prod/magika serves magika@1.0.0, not sha256:"),
        (Want(PROD, A), {PROD: SUSPENDED}, RULES, "prod/magika is suspended since entry 10: nothing may serve"),
        (Want(PROD, A), {PROD: NEVER}, RULES, "prod/magika is suspended"),
        (Want(PROD, A), {PROD: replace(SERVING, slots=())}, RULES, "nothing was ever activated at prod/magika"),
    ],
)
def test_everything_else_is_refused(want, states, ruled, reason):
    given = answer(replace(REQUESTED, wants=(want,)), states, ruled, NOTHING_REVOKED)

    (refused,) = given.refused
    assert given.granted == () and (given.node, given.nonce) == (HOST, NONCE)
    assert (refused.endpoint, refused.release) == (want.endpoint, want.release) and reason in refused.reason


def test_each_wish_is_answered_by_itself():
    wants = (Want(PROD, B), Want(PROD, A), Want(OTHER, A))

    given = answer(replace(REQUESTED, wants=wants), {PROD: SERVING}, RULES, NOTHING_REVOKED)

    assert given.granted == (GRANTED,) and [one.endpoint for one in given.refused] == [PROD, OTHER]


def test_a_request_is_opened_by_the_key_of_its_node():
    assert open_request(sign_request(REQUESTED, key("host-1")), found) == (REQUESTED, asker())


@pytest.mark.parametrize(
    ("spoilt", "signer", "reason"),
    [
        ({}, "mallory", "no key that is trusted"),
        ({}, "dave", "no key that is trusted"),
        ({"node": Name("host-2")}, "host-1", "the request is of host-2, its signature of host-1"),
        ({"wants": ()}, "host-1", "wants 1 to 256 endpoints"),
        ({"wants": (Want(PROD, A),) * 257}, "host-1", "wants 1 to 256 endpoints"),
        ({"nonce": NONCE[1:]}, "host-1", "a nonce of 16 or more"),
        ({"nonce": "0" * 257}, "host-1", "a nonce of 16 or more"),
    ],
)
def test_a_request_that_its_node_did_not_make_like_this_is_refused(spoilt, signer, reason):
    with pytest.raises(VerificationError, match=reason):
        open_request(sign_request(replace(REQUESTED, **spoilt), key(signer)), found)


@pytest.mark.parametrize("spoilt", [{"wants": (Want(PROD, A),) * 256}, {"nonce": "0" * 256}])
def test_a_request_just_small_enough_is_heard(spoilt):
    request = replace(REQUESTED, **spoilt)

    assert open_request(sign_request(request, key("host-1")), found) == (request, asker())


def test_an_answer_is_opened_by_who_asked():
    assert open_grant(sign_grant(GIVEN, key("prod-lease")), REQUESTED, trust(), NOW) == GIVEN


@pytest.mark.parametrize(
    ("spoilt", "signer", "reason"),
    [
        ({}, "mallory", "no key that is trusted"),
        ({}, "prod-vsa", "no key that is trusted"),
        ({"node": Name("host-2")}, "prod-lease", "the lease answers another request"),
        ({"nonce": NONCE[::-1]}, "prod-lease", "the lease answers another request"),
        ({"granted": (replace(GRANTED, endpoint=OTHER),)}, "prod-lease", "the lease grants what was not asked for"),
        ({"granted": (replace(GRANTED, release=B),)}, "prod-lease", "the lease grants what was not asked for"),
        ({"granted": (GRANTED, replace(GRANTED, release=B))}, "prod-lease", "what was not asked for"),
        ({"granted": (GRANTED, replace(GRANTED, seconds=60))}, "prod-lease", "the lease grants something twice"),
        ({"granted": (replace(GRANTED, seconds=3601),)}, "prod-lease", "lasts 2 to 3600 seconds, not 3601"),
        ({"granted": (replace(GRANTED, seconds=1),)}, "prod-lease", "lasts 2 to 3600 seconds, not 1"),
        ({"granted": (replace(GRANTED, keys="AAAA"),)}, "prod-lease", "brings keys that were not asked for"),
    ],
)
def test_an_answer_to_another_question_or_by_another_key_is_worth_nothing(spoilt, signer, reason):
    with pytest.raises(VerificationError, match=reason):
        open_grant(sign_grant(replace(GIVEN, **spoilt), key(signer)), REQUESTED, trust(), NOW)


@pytest.mark.parametrize("spoilt", [{"granted": ()}, {"granted": (replace(GRANTED, seconds=2),)}])
def test_an_answer_may_grant_less(spoilt):
    given = replace(GIVEN, **spoilt)

    assert open_grant(sign_grant(given, key("prod-lease")), REQUESTED, trust(), NOW) == given


def test_a_key_for_leases_counts_until_its_time_is_over():
    document = sign_grant(GIVEN, key("prod-lease"))

    open_grant(document, REQUESTED, trusting("server-lease", until=NOW + TICK), NOW)
    with pytest.raises(VerificationError, match="no key that is trusted"):
        open_grant(document, REQUESTED, trusting("server-lease", until=NOW), NOW)


@pytest.mark.parametrize("kind", [REQUEST, "text/plain"])
def test_a_request_is_no_answer(kind):
    document = dsse.sign(plain.encode(GIVEN), kind, [key("prod-lease")]).encode()

    with pytest.raises(VerificationError, match="not application/vnd"):
        open_grant(document, REQUESTED, trust(), NOW)
    with pytest.raises(VerificationError, match="not application/vnd"):
        open_request(dsse.sign(plain.encode(REQUESTED), GRANT, [key("host-1")]).encode(), found)


WITH_KEYS = replace(REQUESTED, wants=(Want(PROD, A, keys=True),), seal_to="AAAA")


def test_keys_come_to_who_asked_for_them():
    given = replace(GIVEN, granted=(replace(GRANTED, keys="AAAA"),))
    document = sign_grant(given, key("prod-lease"))

    assert open_grant(document, WITH_KEYS, trust(), NOW) == given
    for request in (REQUESTED, replace(WITH_KEYS, seal_to=None), replace(REQUESTED, seal_to="AAAA")):
        with pytest.raises(VerificationError, match="keys that were not asked for"):
            open_grant(document, request, trust(), NOW)


@pytest.mark.parametrize("left_out", [("seal_to",), ("seal_to", "keys")])
def test_a_request_of_before_there_were_keys_still_counts(left_out):
    document = plain.to_plain(REQUESTED)
    old = {name: value for name, value in document.items() if name not in left_out}
    old["wants"] = [{n: v for n, v in want.items() if n not in left_out} for want in document["wants"]]
    signed = dsse.sign(canonical.encode(old), REQUEST, [key("host-1")]).encode()

    assert open_request(signed, found) == (REQUESTED, asker())


def test_the_stable_release_and_the_candidate_share_the_traffic_each_at_its_own_entry():
    tag = Tag.parse("magika@1.1.0")
    begun = evolve(SERVING, Activated(PROD, tag, B, A, 2, A, strategy=A), 12, NOW)
    state = evolve(begun, Stepped(PROD, 2, 0, 20, A), 13, NOW)

    given = answer(replace(REQUESTED, wants=(Want(PROD, A), Want(PROD, B))), {PROD: state}, RULES, NOTHING_REVOKED)
    assert given.granted == (
        replace(GRANTED, weight=80),
        Granted(PROD, B, 30, 12, weight=20, candidate=True),
    )


@pytest.mark.parametrize("weight", [-1, 101])
def test_no_release_gets_less_than_nothing_or_more_than_everything(weight):
    grant = replace(GIVEN, granted=(replace(GRANTED, weight=weight),))
    with pytest.raises(VerificationError, match=f"the lease gives {weight} % of the traffic"):
        open_grant(sign_grant(grant, key("prod-lease")), REQUESTED, trust(), NOW)


@pytest.mark.parametrize("weight", [None, 0, 100])
def test_a_lease_that_says_no_weight_or_one_at_the_edge_is_a_lease(weight):
    grant = replace(GIVEN, granted=(replace(GRANTED, weight=weight),))

    assert open_grant(sign_grant(grant, key("prod-lease")), REQUESTED, trust(), NOW) == grant
