"""Who is believed? Only whom a threshold of root keys named, for what they named them, until when they said."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.policy import POLICY, Policy, open_policy
from lockgate.core.release import Kind
from lockgate.core.rights import Role
from lockgate.core.trust import (
    MANIFESTS,
    TRUST,
    Actor,
    Directory,
    Purpose,
    Retiring,
    Root,
    Trust,
    TrustedSigner,
    check_root,
    check_trust,
    open_agreed,
    open_trust,
)
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.dossiers import TICK, trusting
from tests.world import NOW, agreed, key, policy, trust

KEYS = tuple(key(f"root{number}").public for number in (1, 2, 3))
NEW = Root(2, tuple(key(f"new{number}").public for number in (1, 2, 3)))
ROOT = trust().root
EVE = Actor(Name("eve"), (Role.ADMIN,), (key("eve").public,))
LAB = TrustedSigner(Name("lab"), Purpose.RESULT, (), key("lab").public)


def test_a_document_that_two_of_three_signed_is_trusted():
    opened = open_trust(agreed(trust(), TRUST), ROOT, NOW)

    assert opened.document == trust() and opened.digest == Digest.of(plain.encode(trust()))


@pytest.mark.parametrize(
    ("signers", "count"),
    [(("root1",), 1), (("root1", "root1"), 1), (("root1", "mallory"), 1), (("root3", "alice", "mallory"), 1)],
)
def test_a_document_that_fewer_root_keys_signed_is_refused(signers, count):
    with pytest.raises(VerificationError, match=f"signed by {count} root keys, 2 are needed"):
        open_trust(agreed(trust(), TRUST, *signers), ROOT, NOW)
    with pytest.raises(VerificationError, match=f"signed by {count} root keys, 2 are needed"):
        open_policy(agreed(policy(), POLICY, *signers), ROOT, NOW)


@pytest.mark.parametrize("signers", [("mallory",), ("alice", "ann", "prod-vsa")])
def test_a_document_that_no_root_key_signed_is_refused(signers):
    with pytest.raises(VerificationError, match="no key that is trusted"):
        open_trust(agreed(trust(), TRUST, *signers), ROOT, NOW)


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (Root(0, KEYS), "root threshold 0 does not fit 3 keys"),
        (Root(-1, KEYS), "root threshold -1 does not fit 3 keys"),
        (Root(4, KEYS), "root threshold 4 does not fit 3 keys"),
        (Root(1, ()), "root threshold 1 does not fit 0 keys"),
        (Root(0, ()), "root threshold 0 does not fit 0 keys"),
        (Root(2, (KEYS[0], KEYS[0])), "a root key is listed twice"),
    ],
)
def test_a_root_that_anybody_or_nobody_could_satisfy_is_refused(root, reason):
    for check in (check_root, lambda it: check_trust(replace(trust(), root=it))):
        with pytest.raises(VerificationError, match=reason):
            check(root)
    with pytest.raises(VerificationError, match=reason):
        open_agreed(Policy, agreed(policy(), POLICY), POLICY, root)


@pytest.mark.parametrize("root", [Root(1, KEYS), Root(3, KEYS), Root(1, KEYS[:1])])
def test_a_root_from_one_to_all_of_its_keys_is_a_root(root):
    check_root(root)


def spoilt(**changes):
    return replace(trust(), **changes)


def also(*more):
    actors = tuple(one for one in more if isinstance(one, Actor))
    signers = tuple(one for one in more if isinstance(one, TrustedSigner))
    return spoilt(actors=(*trust().actors, *actors), signers=(*trust().signers, *signers))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (also(EVE, EVE), "an actor is named twice"),
        (also(replace(EVE, name=Name("bob"))), "an actor is named twice"),
        (also(replace(EVE, keys=(key("bob").public,))), "a key is listed twice"),
        (also(replace(EVE, keys=(*EVE.keys, *EVE.keys))), "a key is listed twice"),
        (also(EVE, replace(LAB, key=EVE.keys[0])), "a key is listed twice"),
        (also(LAB, replace(LAB, name=Name("lab-2"))), "a key is listed twice"),
        (also(replace(LAB, key=key("prod-lease").public)), "a key is listed twice"),
        (also(replace(EVE, keys=(key("root1").public,))), "a key is listed twice"),
        (also(replace(LAB, key=key("root1").public)), "a key is listed twice"),
        (also(replace(LAB, key=None)), "signer lab needs either a key or a certificate root"),
        (also(replace(LAB, root="PEM")), "signer lab needs either a key or a certificate root"),
        (also(replace(LAB, person=Name("eve"))), "signer lab is held by eve, who is no actor"),
    ],
)
def test_a_document_in_which_somebody_could_count_twice_is_refused(document, reason):
    with pytest.raises(VerificationError, match=reason):
        check_trust(document)
    with pytest.raises(VerificationError, match=reason):
        open_trust(agreed(document, TRUST), ROOT, NOW)


@pytest.mark.parametrize(
    "more", [(EVE,), (LAB,), (replace(LAB, person=Name("bob")),), (replace(LAB, key=None, root="P"),)]
)
def test_a_document_in_which_everybody_counts_once_is_good(more):
    check_trust(also(*more))


def test_a_document_is_trusted_until_it_expires():
    document = agreed(trust(), TRUST)

    open_trust(document, ROOT, trust().expires - TICK)
    with pytest.raises(VerificationError, match="trust of prod version 1 expired"):
        open_trust(document, ROOT, trust().expires)


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        (("root1", "root2"), "no key that is trusted"),
        (("root1", "root2", "new1"), "signed by 1 root keys, 2 are needed"),
        (("new1", "new2"), "no key that is trusted"),
        (("new1", "new2", "root1"), "signed by 1 root keys, 2 are needed"),
    ],
)
def test_a_new_root_is_signed_by_the_old_and_the_new_threshold(signers, reason):
    document = spoilt(root=NEW)

    with pytest.raises(VerificationError, match=reason):
        open_trust(agreed(document, TRUST, *signers), ROOT, NOW)
    open_trust(agreed(document, TRUST, "root1", "root2", "new2", "new3"), ROOT, NOW)


def test_raising_the_threshold_takes_as_many_signatures():
    document = spoilt(root=Root(3, KEYS))

    with pytest.raises(VerificationError, match="signed by 2 root keys, 3 are needed"):
        open_trust(agreed(document, TRUST), ROOT, NOW)
    open_trust(agreed(document, TRUST, "root1", "root2", "root3"), ROOT, NOW)


@pytest.mark.parametrize("payload", [plain.encode(trust()) + b" ", b"{}", plain.encode(policy())])
def test_what_is_not_the_one_spelling_of_a_trust_document_is_refused(payload):
    signed = dsse.sign(payload, TRUST, [key("root1"), key("root2")]).encode()

    with pytest.raises(VerificationError):
        open_trust(signed, ROOT, NOW)


def test_a_policy_is_no_trust_document_though_the_same_keys_signed_it():
    with pytest.raises(VerificationError, match="DSSE payload is"):
        open_trust(agreed(trust(), POLICY), ROOT, NOW)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_key_serves_its_one_purpose(purpose):
    keys = {one.key for one in trust().signers if one.purpose is purpose}

    assert set(trust().keys_for(purpose, NOW)) == keys


@pytest.mark.parametrize("scope", [*Kind, MANIFESTS])
def test_a_signer_speaks_for_what_is_in_its_scope(scope):
    only = trusting("ci-components", scope=(scope,))

    for asked in [*Kind, MANIFESTS]:
        assert (only.keys_for(Purpose.COMPONENT, NOW, asked) != ()) == (asked == scope)
    assert {kind for kind, found in only.component_signers(NOW).items() if found.keys} == {scope} - {MANIFESTS}


def test_an_authority_speaks_for_the_kinds_in_its_scope():
    held = TrustedSigner(Name("house-ca"), Purpose.COMPONENT, ("weights",), root="PEM")

    found = also(held).component_signers(NOW)

    assert {kind: one.roots for kind, one in found.items() if one.roots} == {Kind.WEIGHTS: (b"PEM",)}
    assert also(held).keys_for(Purpose.COMPONENT, NOW, "weights") == (key("components").public,)


def test_a_signer_and_an_actor_count_until_their_time_is_over():
    gone = trusting("ci-results", until=NOW)
    left = trusting("bob", until=NOW)

    assert gone.keys_for(Purpose.RESULT, NOW) == () != gone.keys_for(Purpose.RESULT, NOW - TICK)
    assert left.actor(Name("bob"), NOW - TICK).name == Name("bob")
    with pytest.raises(VerificationError, match="nobody called bob may act in prod"):
        left.actor(Name("bob"), NOW)
    with pytest.raises(VerificationError, match="nobody called eve may act in prod"):
        trust().actor(Name("eve"), NOW)


def test_an_old_key_counts_beside_the_new_one_until_its_time_is_over():
    rotated = trusting("bob", keys=(key("new").public,), retiring=(Retiring(key("bob").public, NOW),))

    assert rotated.actor(Name("bob"), NOW - TICK).keys == (key("new").public, key("bob").public)
    assert rotated.actor(Name("bob"), NOW).keys == (key("new").public,)
    assert rotated.holders([key("bob").public]) == rotated.holders([key("new").public]) == {Name("bob")}
    check_trust(rotated)


@pytest.mark.parametrize("double", ["new", "carol", "root1", "components"])
def test_an_old_key_is_listed_once_like_any_other(double):
    rotated = trusting("bob", keys=(key("new").public,), retiring=(Retiring(key(double).public, NOW),))

    with pytest.raises(VerificationError, match="a key is listed twice"):
        check_trust(rotated)


def test_a_directory_says_of_everybody_what_the_document_says():
    directory = Directory()
    old = (Retiring(key("old").public, NOW),)
    for held in (trust(), trusting("bob", until=NOW), trusting("bob", retiring=old), trust()):
        for name in (*(actor.name for actor in held.actors), Name("eve")):
            for at in (NOW - TICK, NOW):
                assert _said(directory.actor, held, name, at) == _said(Trust.actor, held, name, at)


def _said(find, *asked):
    try:
        return find(*asked)
    except VerificationError as e:
        return str(e)


def test_the_holders_of_a_key_are_known_even_after_their_time():
    held = also(replace(LAB, person=Name("carol"), until=NOW))

    assert held.holders([LAB.key, key("components").public]) == {Name("carol")}
    assert trusting("bob", until=NOW).holders([key("bob").public]) == {Name("bob")}
    assert held.holders([]) == held.holders([key("mallory").public]) == frozenset()


@given(st.sets(st.sampled_from(["root1", "root2", "root3", "mallory", "alice"]), min_size=1), st.integers(1, 3))
def test_a_threshold_counts_different_root_keys_and_nothing_else(signers, threshold):
    root = Root(threshold, KEYS)
    document = agreed(policy(), POLICY, *sorted(signers))
    enough = len({name for name in signers if name.startswith("root")}) >= threshold

    try:
        open_policy(document, root, NOW)
    except VerificationError:
        assert not enough
    else:
        assert enough
