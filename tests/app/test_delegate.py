"""Can somebody approve in the place of an approver, and can nobody make one person two, or an author an approver?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.decide_change import approve_in_place
from lockgate.app.delegate import delegate, recall
from lockgate.app.issue_passport import passport_for
from lockgate.core.policy import Approvals
from lockgate.core.rights import Role
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.names import Name
from tests.app.test_adopt import adopt
from tests.core.dossiers import ruling, trusting
from tests.exceptional import approved_for, named
from tests.world import PROD

DAY = timedelta(days=1)


def ready(world, who="alice"):
    release = world.register()
    world.attest(release)
    return world.open(release, who)


def recalled(world, who="bob", order=None):
    return recall(world.installation, world.say(who, "approval.recall", who, before=order), world.now)


def denied(reason, act, *arguments, **more):
    with pytest.raises(LockgateError, match=reason):
        act(*arguments, **more)


def test_a_delegate_approves_and_the_host_proves_it(world):
    number, order = ready(world), named(world, "bob", "ann")
    approved_for(world, number, "ann", "bob", order)
    world.approve(number, "carol")
    world.activate(number)

    admission = world.admit()
    assert admission.permit.approvers == (Name("ann"), Name("carol"))
    assert admission.permit.in_place == {Name("ann"): Name("bob")} == admission.decision.in_place
    first = world.change(number).approvals[0]
    assert (first.by, first.in_place_of, first.delegation) == (Name("ann"), Name("bob"), order)


def test_a_passport_without_the_delegation_proves_nothing(world):
    number, order = ready(world), named(world, "bob", "ann")
    approved_for(world, number, "ann", "bob", order)
    world.approve(number, "carol")
    world.activate(number)
    passport = passport_for(world.installation, PROD)
    assert passport.case is not None

    denied("1 of 2 approvals", world.admit, replace(passport, case=replace(passport.case, delegations=None)))
    other = world.say("carol", "approval.delegate", "ann")
    denied("1 of 2 approvals", world.admit, replace(passport, case=replace(passport.case, delegations=(other,))))


def test_saying_it_twice_does_it_once(world):
    said = world.say("bob", "approval.delegate", "ann", lasts=DAY)
    number = ready(world)

    assert delegate(world.installation, said, world.now) == delegate(world.installation, said, world.now)
    order = said.digest
    word = world.say("ann", "change.approve-in-place", f"change/{number}", before=order, after=_content(world, number))
    for _ in range(2):
        approve_in_place(world.installation, number, Name("bob"), word, world.now)
    assert len(world.change(number).approvals) == 1
    back = world.say("bob", "approval.recall", "bob", before=order)
    assert recall(world.installation, back, world.now) == recall(world.installation, back, world.now)


@pytest.mark.parametrize(
    ("who", "to", "lasts", "reason"),
    [
        ("ann", "dave", DAY, "ann has no right to approval.delegate"),
        ("ci", "dave", DAY, "ci has no right to approval.delegate"),
        ("olivia", "dave", DAY, "olivia has no right to approval.delegate"),
        ("bob", "bob", DAY, "bob approves in person"),
        ("bob", "carol", DAY, "carol has the role approver: their approval counts once"),
        ("bob", "nobody", DAY, "nobody called nobody may act"),
        ("bob", "ci", DAY, "ci has no right to change.approve-in-place"),
        ("bob", "host-1", DAY, "host-1 has no right to change.approve-in-place"),
        ("bob", "guard", DAY, "guard has no right to change.approve-in-place"),
        ("bob", "ann", timedelta(days=30, microseconds=1), "for 30 days at most"),
        ("bob", "ann", timedelta(0), "expired"),
    ],
)
def test_only_an_approver_names_somebody_else_for_a_time(world, who, to, lasts, reason):
    denied(reason, named, world, who, to, lasts)


def test_thirty_days_are_not_too_long(world):
    named(world, "bob", "ann", timedelta(days=30))


def test_who_was_named_counts_once_with_whom_they_speak_for(world):
    number, order = ready(world), named(world, "bob", "ann")
    approved_for(world, number, "ann", "bob", order)
    world.approve(number, "bob")

    denied("1 of 2 approvals", world.activate, number)
    denied("ann has approved change .* already", approved_for, world, number, "ann", "bob", order)


def test_one_delegate_of_both_approvers_is_one_person(world):
    number = ready(world)
    for principal in ("bob", "carol"):
        approved_for(world, number, "ann", principal, named(world, principal, "ann"))

    denied("1 of 2 approvals", world.activate, number)


def test_an_author_launders_nothing_by_a_delegate(world):
    adopt(world, replace(trusting("alice", roles=(Role.AUTHOR, Role.APPROVER)), version=2))
    number = ready(world)
    own, other = named(world, "alice", "ann"), named(world, "bob", "dave")

    denied("alice is an author", approved_for, world, number, "ann", "alice", own)
    approved_for(world, number, "dave", "bob", other)


def test_an_author_is_nobodys_delegate(world):
    order = named(world, "bob", "alice")
    number = ready(world)

    denied("alice is an author", approved_for, world, number, "alice", "bob", order)


def test_who_opened_a_change_is_not_approved_for_by_their_delegate(world):
    order = named(world, "bob", "dave")
    release = world.register()
    world.attest(release)
    number = world.open(release, "dave")

    denied("dave is an author", approved_for, world, number, "dave", "bob", order)


def test_a_delegate_names_nobody(world):
    order = named(world, "bob", "ann")

    denied("ann has no right to approval.delegate", named, world, "ann", "dave")
    denied("bob named ann, not dave", approved_for, world, ready(world), "dave", "bob", order)


def test_it_ends_by_time_also_between_approval_and_activation(world):
    number, order = ready(world), named(world, "bob", "ann", timedelta(minutes=10))
    approved_for(world, number, "ann", "bob", order)
    world.approve(number, "carol")
    assert world.change(number).approvals[0].expires == world.now + timedelta(minutes=10)

    world.now += timedelta(minutes=10)
    denied("1 of 2 approvals", world.activate, number)
    denied("ended at", approved_for, world, number, "ann", "bob", order)


@pytest.mark.parametrize("how", ["recall", "another", "offboard principal", "offboard delegate", "key"])
def test_it_ends_at_once_also_between_approval_and_activation(world, how):
    number, order = ready(world), named(world, "bob", "olivia")
    approved_for(world, number, "olivia", "bob", order)
    world.approve(number, "carol")
    {
        "recall": lambda: recalled(world, order=order),
        "another": lambda: named(world, "bob", "dave"),
        "offboard principal": lambda: world.offboard("bob"),
        "offboard delegate": lambda: world.offboard("olivia", "ann"),
        "key": lambda: world.revoke("bob"),
    }[how]()

    denied("1 of 2 approvals", world.activate, number)


def test_what_was_approved_and_carried_out_outlives_the_delegation(world):
    number, order = ready(world), named(world, "bob", "olivia")
    approved_for(world, number, "olivia", "bob", order)
    world.approve(number, "carol")
    world.activate(number)
    recalled(world, order=order)
    world.now += DAY
    world.offboard("bob")
    world.offboard("olivia", "ann")

    assert world.admit().permit.in_place == {Name("olivia"): Name("bob")}


def test_what_a_recalled_delegate_approved_before_is_no_part_of_the_case(world):
    number, order = ready(world), named(world, "bob", "ann")
    approved_for(world, number, "ann", "bob", order)
    recalled(world, order=order)
    world.approve(number, "bob", "carol")
    world.activate(number)

    assert world.admit().decision.in_place is None
    assert world.admit().permit.approvers == (Name("bob"), Name("carol"))


def test_only_what_stands_is_recalled(world):
    denied("nobody approves in the place of bob", recalled, world)
    order = named(world, "bob", "ann")
    denied("the intent says before", recalled, world)
    denied("nobody approves in the place of carol", recalled, world, "carol", order)
    recalled(world, order=order)
    denied("nobody approves in the place of bob", recalled, world, order=order)
    denied("bob has recalled ann", approved_for, world, ready(world), "ann", "bob", order)


def test_who_is_named_again_may_approve_again(world):
    number, order = ready(world), named(world, "bob", "ann")
    approved_for(world, number, "ann", "bob", order)
    recalled(world, order=order)

    again = named(world, "bob", "ann", timedelta(days=2))
    denied("is not the delegation of bob", approved_for, world, number, "ann", "bob", order)
    approved_for(world, number, "ann", "bob", again)
    world.approve(number, "carol")
    world.activate(number)


def test_changes_of_the_rules_are_approved_in_person(world):
    number = world.propose(replace(ruling(provenance=False), version=2))
    order = named(world, "bob", "dave")

    denied("is about the policy", approved_for, world, number, "dave", "bob", order)


def test_where_another_role_approves_nobody_does_in_its_place(world):
    world.policy = replace(ruling(approvals=Approvals(1, Role.SECURITY_AUTHORITY)), version=2)
    adopt(world, world.policy)
    order = named(world, "bob", "ann")

    denied(
        "nobody approves in the place of somebody with the role security-authority",
        approved_for, world, ready(world), "ann", "bob", order,
    )  # fmt: skip


def test_an_approval_in_place_cites_the_word_of_that_person(world):
    order = named(world, "bob", "ann")
    number = ready(world)

    denied("is not the delegation of carol", approved_for, world, number, "ann", "carol", order)
    named(world, "carol", "dave")
    denied("is not the delegation of carol", approved_for, world, number, "ann", "carol", order)
    with pytest.raises(DeniedError, match="is not the delegation of bob"):
        approved_for(world, number, "ann", "bob", named(world, "carol", "ann"))


def _content(world, number):
    return world.change(number).content
