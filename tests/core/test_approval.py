"""How many people have approved? Never more than there are, however many words they say in whose place."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.approval import Ballot, Voice, counted, in_place, open_approval
from lockgate.core.rights import Role
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.dossiers import AT, EXPIRES, MINUTE, NUMBER, TICK, good, say, trusting
from tests.world import key, trust

ALICE, ANN, BOB, CAROL, DAVE = (Name(name) for name in ("alice", "ann", "bob", "carol", "dave"))
CONTENT = good().content.digest
OTHER = Digest.of(b"other")
people = st.sampled_from([ANN, BOB, CAROL, DAVE, ALICE])
voices = st.lists(st.builds(Voice, people, people), max_size=6)


def named(who="bob", to="ann", **changes):
    return say(who, "approval.delegate", to, **changes)


ORDER = named()


def spoken(who="ann", order=ORDER, act="change.approve-in-place", number=NUMBER, **changes):
    said = {"before": order.digest, "after": CONTENT} | changes
    return say(who, act, f"change/{number}", **said)


def heard(signed, orders=(ORDER,), trusted=None, at=AT, **changes):
    ballot = replace(
        Ballot(NUMBER, CONTENT, "change.approve", Role.APPROVER, frozenset({ALICE}), tuple(orders)), **changes
    )
    return open_approval(signed, ballot, trusted or trust(), at)


def test_an_approval_is_of_who_gave_it_or_of_who_named_them():
    assert heard(say("bob", "change.approve", f"change/{NUMBER}", after=CONTENT)) == Voice(BOB, BOB)
    assert heard(spoken()) == Voice(ANN, BOB)
    assert str(heard(spoken())) == "ann in the place of bob"


SELF, CHAIN = named("bob", "bob"), named("ann", "dave")
MALLORY = named("bob", "ann", signer="mallory")


@pytest.mark.parametrize(
    ("signed", "orders", "reason"),
    [
        (spoken(), (), "cites a delegation that is not in force"),
        (spoken(order=named("carol")), (ORDER,), "cites a delegation that is not in force"),
        (spoken("dave"), (ORDER,), "bob named ann, not dave"),
        (spoken("carol"), (ORDER,), "bob named ann, not carol"),
        (spoken("ann", signer="bob"), (ORDER,), "no key that is trusted for this has signed it"),
        (spoken("ann", MALLORY), (MALLORY,), "no key that is trusted for this has signed it"),
        (spoken("bob", SELF), (SELF,), "bob approves in person"),
        (spoken("dave", CHAIN), (CHAIN,), "ann has not the role approver"),
        (spoken("ann", named("alice")), (), "cites a delegation"),
        (spoken("ann", expires=AT), (ORDER,), "the word of ann to change.approve-in-place change/7 expired"),
        (spoken("ann", after=OTHER), (ORDER,), "the intent says after"),
        (spoken("ann", number=NUMBER + 1), (ORDER,), "the intent says object change/8"),
        (spoken("ann", act="change.approve"), (ORDER,), "the intent says before"),
        (spoken("ann", act="change.approve", before=None), (ORDER,), "ann approved without the role approver"),
        (spoken("ann", before=None), (ORDER,), "cites a delegation"),
        (spoken("ci", named("bob", "ci")), (), "ci has no right to change.approve-in-place"),
        (spoken("host-1", named("bob", "host-1")), (), "host-1 has no right to change.approve-in-place"),
        (spoken("guard", named("bob", "guard")), (), "guard has no right to change.approve-in-place"),
    ],
)
def test_a_voice_in_the_place_of_somebody_needs_their_word_for_exactly_that(signed, orders, reason):
    with pytest.raises(LockgateError, match=reason):
        heard(signed, orders)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (named(expires=AT), "the word of bob to approval.delegate ann expired"),
        (named(before=OTHER), "the intent says before"),
        (named(after=OTHER), "the intent says after"),
        (say("bob", "approval.recall", "ann"), "the intent says act approval.recall"),
        (say("bob", "change.approve", "ann"), "the intent says act change.approve"),
        (say("bob", "approval.delegate", "Ann!"), "not a name"),
        (named("nobody"), "nobody called nobody may act"),
        (named("dave"), "dave has not the role approver"),
        (named("olivia"), "olivia has not the role approver"),
    ],
)
def test_a_delegation_is_one_word_of_an_approver_in_force(order, reason):
    with pytest.raises(LockgateError, match=reason):
        heard(spoken("ann", order), (order,))


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("bob", {"roles": (Role.OPERATOR,)}, "bob has not the role approver"),
        ("bob", {"until": AT}, "nobody called bob may act"),
        ("bob", {"keys": (key("mallory").public,)}, "no key that is trusted"),
        ("ann", {"until": AT}, "nobody called ann may act"),
        ("ann", {"roles": ()}, "ann has no right to change.approve-in-place"),
        ("ann", {"roles": (Role.CI,)}, "ann has no right to change.approve-in-place"),
    ],
)
def test_both_are_judged_by_the_trust_of_the_instant(name, changes, reason):
    with pytest.raises(LockgateError, match=reason):
        heard(spoken(), trusted=trusting(name, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"authors": frozenset({ANN})}, "ann is an author"),
        ({"authors": frozenset({BOB})}, "bob is an author"),
        ({"role": Role.SECURITY_AUTHORITY}, "nobody approves in the place of somebody with the role security-auth"),
        ({"role": Role.ADMIN}, "nobody approves in the place of somebody with the role admin"),
        ({"act": "emergency.approve"}, "ann approved in somebody's place what is approved in person"),
        ({"number": NUMBER + 1}, "the intent says object change/7"),
        ({"content": OTHER}, "the intent says after"),
    ],
)
def test_neither_is_an_author_and_some_things_take_the_person(changes, reason):
    with pytest.raises(DeniedError, match=reason):
        heard(spoken(), **changes)


def test_a_voice_lasts_as_long_as_both_words():
    short = named(expires=AT + TICK)

    assert heard(spoken("ann", short), (short,)) == Voice(ANN, BOB)
    assert heard(spoken("ann", expires=AT + TICK)) == Voice(ANN, BOB)
    assert heard(spoken(), at=EXPIRES - MINUTE) == Voice(ANN, BOB)


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ([], 0),
        ([(BOB, BOB), (BOB, BOB)], 1),
        ([(BOB, BOB), (CAROL, CAROL)], 2),
        ([(BOB, BOB), (ANN, BOB)], 1),
        ([(ANN, BOB), (DAVE, BOB)], 1),
        ([(ANN, BOB), (ANN, CAROL)], 1),
        ([(ANN, BOB), (ANN, CAROL), (BOB, BOB)], 2),
        ([(ANN, BOB), (DAVE, CAROL)], 2),
        ([(BOB, CAROL), (CAROL, BOB)], 1),
        ([(BOB, CAROL), (CAROL, BOB), (BOB, BOB), (CAROL, CAROL)], 2),
        ([(CAROL, BOB), (CAROL, CAROL)], 1),
        ([(ANN, BOB), (BOB, CAROL), (CAROL, DAVE)], 2),
    ],
)
def test_a_delegate_and_whom_they_speak_for_are_one(said, count):
    found = counted(Voice(by, of) for by, of in said)

    assert len(found) == count
    assert len({name for voice in found for name in voice.people}) == sum(len(voice.people) for voice in found)


@given(voices)
def test_the_count_is_the_most_that_share_nobody(said):
    def apart(some):
        return sum(len(one.people) for one in some) == len(frozenset().union(*(one.people for one in some)))

    distinct = sorted(set(said), key=str)
    best = max(size for size in range(len(distinct) + 1) if any(apart(some) for some in combinations(distinct, size)))

    assert len(counted(said)) == best
    assert set(in_place(counted(said))) <= {voice.by for voice in said}


@given(voices, st.builds(Voice, people, people))
def test_one_more_voice_never_makes_the_count_smaller(said, more):
    assert len(counted(said)) <= len(counted([*said, more])) <= len(counted(said)) + 1
