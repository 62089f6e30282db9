"""Who has to sign what, and what is nobody asked to sign?"""

from dataclasses import replace

import pytest

from lockgate.core.ceremony import Ceremony, draft, missing, sign, signers
from lockgate.core.metadata import check_carried, targets_of
from lockgate.core.trust import Root
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import tuf
from tests.world import carried, key, policy, trust

HELD = carried(trust(), policy())
NEW = Root(2, tuple(key(f"new{number}").public for number in (1, 2, 3)))
NEXT, NEXT_POLICY = replace(trust(), version=2), replace(policy(), version=2)


def signed(ceremony, *names):
    for name in names:
        ceremony, _ = sign(ceremony, key(name))
    return ceremony


def test_the_first_ceremony_wants_the_threshold_on_everything():
    begun = draft(trust(), policy(), None)

    assert missing(begun) == [
        f"{name}: 0 of 2 signatures of the root" for name in ("trust", "policy", "root", "targets")
    ]
    assert missing(signed(begun, "root1"))[0] == "trust: 1 of 2 signatures of the root"
    done = signed(begun, "root1", "root3")
    assert missing(done) == [] and set(signers(done)) == {key("root1").public, key("root3").public}
    check_carried(done.carried, trust(), policy(), trust().root)


def test_a_policy_may_come_later():
    begun = draft(trust(), None, None)

    assert begun.carried.policy is None and "policy" not in " ".join(missing(begun))


@pytest.mark.parametrize(
    ("trusted", "ruled", "wanted"),
    [
        (trust(), NEXT_POLICY, ["policy", "targets"]),
        (NEXT, policy(), ["root", "targets", "trust"]),
        (NEXT, NEXT_POLICY, ["policy", "root", "targets", "trust"]),
    ],
)
def test_what_stays_as_it_is_is_left_alone(trusted, ruled, wanted):
    begun = draft(trusted, ruled, HELD)
    _, where = sign(begun, key("root1"))

    assert sorted(where) == wanted
    done = signed(begun, "root1", "root2").carried
    for name in {"trust", "policy", "root"} - set(wanted):
        assert getattr(done, name) == getattr(HELD, name)


def test_a_new_root_is_signed_by_both_and_signs_the_policy():
    begun = draft(replace(NEXT, root=NEW), policy(), HELD)

    assert missing(begun) == [
        "trust: 0 of 2 signatures of the root before",
        "trust: 0 of 2 signatures of the root",
        "policy: 0 of 2 signatures of the root",
        "root: 0 of 2 signatures of the root before",
        "root: 0 of 2 signatures of the root",
        "targets: 0 of 2 signatures of the root",
    ]
    assert sign(begun, key("root1"))[1] == ["trust", "root"]
    assert sign(begun, key("new1"))[1] == ["trust", "policy", "root", "targets"]
    done = signed(begun, "root1", "new1", "new2", "root2")
    assert missing(done) == []
    check_carried(done.carried, replace(NEXT, root=NEW), policy(), trust().root)


def test_a_key_in_both_roots_counts_for_both():
    left = Root(2, (*trust().root.keys[:2], key("new1").public))

    assert missing(signed(draft(replace(NEXT, root=left), policy(), HELD), "root1", "root2")) == []


def test_signing_twice_is_signing_once():
    once = signed(draft(NEXT, policy(), HELD), "root1")

    assert signed(once, "root1").carried == once.carried


@pytest.mark.parametrize(
    ("names", "who", "reason"),
    [((), "mallory", "neither the root nor"), (("root1", "root2"), "root3", "nothing waits for the signature")],
)
def test_a_signature_that_is_wanted_nowhere_is_not_made(names, who, reason):
    with pytest.raises(DeniedError, match=reason):
        sign(signed(draft(NEXT, policy(), HELD), *names), key(who))


def test_metadata_that_says_anything_else_than_the_documents_is_not_signed():
    begun = draft(NEXT, policy(), HELD)
    other = tuf.Metadata(targets_of(NEXT, replace(NEXT_POLICY, endpoints={})), ()).encode()

    for spoilt in (replace(begun.carried, targets=other), replace(begun.carried, root=HELD.root)):
        with pytest.raises(VerificationError, match="not what follows"):
            sign(Ceremony(spoilt, begun.held), key("root1"))
