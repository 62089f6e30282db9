"""Does the next trust document say what was asked for, and nothing else?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.difference import differences, gaining
from lockgate.core.rights import Role
from lockgate.core.roster import keys_of, with_key, with_person, without_person
from lockgate.core.trust import Purpose, Retiring, Root
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.names import Name
from tests.core.dossiers import trusting
from tests.world import NOW, key, trust

AT = NOW + timedelta(days=7)
BOB, ERIN = Name("bob"), Name("erin")
NEW = key("new").public
ID = {name: key(name).public.key_id for name in ("bob", "components", "root2", "dev-export", "mallory", "old")}


def said(new):
    return [one.says.rpartition("…")[0] or one.says for one in differences(trust(), new)]


def test_who_joins_has_these_roles_and_keys_and_nobody_else_changes():
    found = with_person(trust(), ERIN, (Role.APPROVER, Role.AUDITOR, Role.APPROVER), (NEW,))

    assert found.actors[:-1] == trust().actors and found.signers == trust().signers and found.version == 2
    erin = found.actors[-1]
    assert (erin.name, erin.roles, erin.keys, erin.until) == (ERIN, (Role.APPROVER, Role.AUDITOR), (NEW,), None)
    assert gaining(differences(trust(), found)) == {ERIN}


@pytest.mark.parametrize(
    ("name", "roles", "keys", "error"),
    [
        (BOB, (Role.APPROVER,), (NEW,), DeniedError),
        (ERIN, (), (NEW,), VerificationError),
        (ERIN, (Role.APPROVER,), (), VerificationError),
        (ERIN, (Role.APPROVER,), (NEW, NEW), VerificationError),
        (ERIN, (Role.APPROVER,), (key("carol").public,), VerificationError),
        (ERIN, (Role.APPROVER,), (key("root1").public,), VerificationError),
        (ERIN, (Role.APPROVER,), (key("components").public,), VerificationError),
    ],
)
def test_nobody_joins_twice_or_with_a_key_that_is_in_use(name, roles, keys, error):
    with pytest.raises(error):
        with_person(trust(), name, roles, keys)


def test_a_name_is_one_person_even_after_they_left():
    with pytest.raises(DeniedError, match="a name is one person, for good"):
        with_person(trusting("bob", until=NOW), BOB, (Role.APPROVER,), (NEW,))


def test_who_leaves_ends_with_every_signer_in_their_hands():
    held = trusting("ci-results", person=BOB)

    found = without_person(held, BOB, AT)
    assert {str(one.name): one.until for one in [*found.actors, *found.signers] if one.until} == {
        "bob": AT, "ci-results": AT,
    }  # fmt: skip
    assert found.version == 2 and not gaining(differences(held, found))
    with pytest.raises(DeniedError, match="there is no erin"):
        without_person(trust(), ERIN, AT)


@pytest.mark.parametrize(("until", "at", "then"), [(NOW, AT, NOW), (AT, NOW, NOW), (None, AT, AT)])
def test_nobody_comes_to_last_longer_by_leaving(until, at, then):
    held = trusting("bob", until=until)

    assert held.ending({BOB: at}) == trusting("bob", until=then)
    assert held.ending({}) == held
    signs = trusting("ci-results", until=until, person=BOB)
    assert [one.until for one in signs.ending({BOB: at}).signers if one.person] == [then]


def test_a_persons_new_key_counts_beside_the_old_one():
    found = with_key(trust(), ID["bob"], NEW, AT)

    assert found == replace(trusting("bob", keys=(NEW,), retiring=(Retiring(key("bob").public, AT),)), version=2)
    assert found.actor(BOB, NOW).keys == (NEW, key("bob").public) and found.actor(BOB, AT).keys == (NEW,)
    assert keys_of(found, BOB) == (NEW, key("bob").public)
    two = trusting("bob", keys=(key("bob").public, key("second").public))
    assert with_key(two, ID["bob"], NEW, AT).actor(BOB, AT).keys == (NEW, key("second").public)
    again = with_key(found, NEW.key_id, key("newer").public, AT)
    assert len(again.actor(BOB, NOW).keys) == 3 and again.version == 3


def test_a_signers_new_key_counts_beside_the_old_one():
    found = with_key(trust(), ID["components"], NEW, AT)

    old, new = (one for one in found.signers if one.purpose is Purpose.COMPONENT)
    assert (old.key, old.until) == (key("components").public, AT)
    assert new == replace(old, key=NEW, until=None)
    assert set(found.keys_for(Purpose.COMPONENT, NOW)) == {old.key, NEW}
    assert found.keys_for(Purpose.COMPONENT, AT) == (NEW,)
    ending = with_key(trusting("dev-export", until=NOW), ID["dev-export"], NEW, AT)
    assert [one.until for one in ending.signers if str(one.name) == "dev-export"] == [NOW, NOW]


def test_a_key_for_updates_is_joined_by_the_new_one_because_neither_may_end():
    found = with_key(trust(), key("prod-updates").public.key_id, NEW, AT)

    named = [one for one in found.signers if one.purpose is Purpose.UPDATES]
    assert [(one.key, one.until) for one in named] == [(key("prod-updates").public, None), (NEW, None)]


def test_a_root_key_is_replaced_at_once():
    found = with_key(trust(), ID["root2"], NEW, AT)

    keys = trust().root.keys
    assert found == replace(trust(), version=2, root=Root(2, (keys[0], NEW, keys[2])))


@pytest.mark.parametrize(
    ("old", "new"), [("bob", "carol"), ("bob", "bob"), ("root2", "root1"), ("components", "results")]
)
def test_a_key_that_is_in_use_takes_no_others_place(old, new):
    with pytest.raises(VerificationError, match=r"a (root )?key is listed twice"):
        with_key(trust(), key(old).public.key_id, key(new).public, AT)


@pytest.mark.parametrize("old", ["mallory", "old"])
def test_a_key_that_is_not_in_use_has_no_place_to_take(old):
    held = trusting("bob", retiring=(Retiring(key("old").public, AT),))

    with pytest.raises(DeniedError, match=r"no key .* is in use"):
        with_key(held, ID[old], NEW, AT)


def test_the_keys_of_somebody_are_all_that_they_hold():
    held = trusting("ci-results", person=BOB)

    assert keys_of(held, BOB) == (key("bob").public, key("results").public)
    assert keys_of(held, ERIN) == ()
    assert said(with_key(trust(), ID["bob"], NEW, AT))[0] == "is version 2, the one after 1"
