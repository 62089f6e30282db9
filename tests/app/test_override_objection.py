"""Can a result be overridden by exactly those whom the policy names, in writing, for a time, for everybody to see?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.decide_change import withdraw
from lockgate.app.issue_passport import passport_for
from lockgate.controllers.concessions import Concessions
from lockgate.core.concession import Lapsed, flags
from lockgate.core.evidence import CLOCK_SKEW, Verdict
from lockgate.core.journal import read_fact
from lockgate.core.override import Aside, SetAside
from lockgate.errors import LockgateError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.exceptional import BLOCK, WHY, conceded, failed_change, lenient, lenient_world, overridden
from tests.world import PROD

DAY = timedelta(days=1)
SUITE = Aside("evaluation", "file-types")


@pytest.fixture
def world():
    made = lenient_world()
    yield made
    made.check()


def denied(reason, act, *arguments, **more):
    with pytest.raises(LockgateError, match=reason):
        act(*arguments, **more)


def carried_out(world):
    number = failed_change(world)
    overridden(world, number)
    world.approve(number)
    world.activate(number)
    return number


def test_what_was_overridden_is_carried_out_and_every_host_proves_it(world):
    number = carried_out(world)

    aside = (SetAside(SUITE, Name("olivia"), world.now + DAY, Digest.of(WHY)),)
    admission = world.admit()
    assert admission.permit.aside == admission.decision.aside == aside
    assert conceded(world, number).aside == aside and conceded(world, number).due is None
    (held,) = world.change(number).overrides
    assert (held.by, held.about, held.expires) == (Name("olivia"), (SUITE,), world.now + DAY)
    assert world.memory.document(held.justification) == WHY


def test_without_an_override_or_without_approvals_nothing_is(world):
    number = failed_change(world)
    world.approve(number)
    denied("suite file-types FAILED", world.activate, number)
    overridden(world, other := world.open(_release(world)))
    denied("0 of 2 approvals", world.activate, other)


def test_a_passport_without_the_override_or_with_another_one_proves_nothing(world):
    carried_out(world)
    passport = passport_for(world.installation, PROD)
    (one,) = passport.case.overrides
    later = replace(one, document=replace(one.document, expires=one.document.expires + DAY))

    for overrides in (None, (), (later,)):
        denied(
            "suite file-types FAILED", world.admit, replace(passport, case=replace(passport.case, overrides=overrides))
        )


def test_a_host_whose_policy_lets_nobody_override_refuses_it(world):
    carried_out(world)
    passport = passport_for(world.installation, PROD)
    world.policy = replace(lenient(overrides=None), version=2)
    world.adopt(world.trust, world.policy)

    denied("suite file-types FAILED", world.admit, passport)


@pytest.mark.parametrize(
    ("who", "changes", "reason"),
    [
        ("dave", {}, "the policy does not let dave override anything here"),
        ("bob", {}, "the policy does not let bob override anything here"),
        ("ann", {}, "ann has no right to change.override"),
        ("ci", {}, "ci has no right to change.override"),
        ("alice", {}, "alice has no right to change.override"),
        ("olivia", {"about": ("provenance:provenance",)}, "which the policy lets nobody override"),
        ("olivia", {"about": ("integrity:change",)}, "which the policy lets nobody override"),
        ("olivia", {"about": ("approvals:approvals",)}, "which the policy lets nobody override"),
        ("olivia", {"about": ("evaluation:another",)}, "nothing is against change .* in evaluation:another"),
        ("olivia", {"about": ()}, "names no reason"),
        ("olivia", {"lasts": timedelta(hours=48, microseconds=1)}, "longer than 48 hours"),
        ("olivia", {"why": b""}, "the justification says nothing"),
        ("olivia", {"why": b" \n"}, "the justification says nothing"),
        ("olivia", {"why": b"x" * 65537}, "more than 65536"),
        ("olivia", {"justification": Digest.of(b"other")}, "the justification is sha256"),
        ("olivia", {"content": Digest.of(b"other")}, "is about another change, or another content"),
    ],
)
def test_a_near_miss_is_not_taken(world, who, changes, reason):
    number = failed_change(world)
    size = world.memory.size()

    denied(reason, overridden, world, number, who, **changes)
    assert world.memory.size() == size and world.change(number).overrides is None


def test_it_begins_now_give_or_take_a_clock(world):
    number = failed_change(world)
    denied("begins at", overridden, world, number, begins=world.now + CLOCK_SKEW + timedelta(seconds=1))
    overridden(world, number, begins=world.now + CLOCK_SKEW)

    world.approve(number)
    denied("suite file-types FAILED", world.activate, number)
    world.now += CLOCK_SKEW
    world.activate(number)


def test_nobody_overrides_what_they_made():
    world = lenient_world(overrides=replace(BLOCK, by=(Name("dave"),)))
    release = _failed(world)
    number = world.open(release, "dave")

    denied("dave is an author of this change and cannot override", overridden, world, number, "dave")


def test_it_counts_while_it_is_in_force(world):
    number = failed_change(world)
    overridden(world, number, lasts=timedelta(minutes=30))
    world.approve(number)
    world.now += timedelta(minutes=30)

    denied("the override of olivia expired at", world.activate, number)
    overridden(world, number, lasts=timedelta(minutes=30))
    world.activate(number)


@pytest.mark.parametrize("how", ["offboard", "key"])
def test_who_is_gone_overrides_nothing(world, how):
    number = failed_change(world)
    overridden(world, number)
    world.approve(number)
    world.offboard("olivia", "ann") if how == "offboard" else world.revoke("olivia", "ann")

    denied("suite file-types FAILED", world.activate, number)


def test_what_else_comes_in_the_way_is_not_covered(world):
    number = failed_change(world)
    overridden(world, number)
    world.approve(number)
    world.revoke("results")

    denied("no provenance by a trusted signer", world.activate, number)


def test_a_result_that_comes_afterwards_takes_another_override(world):
    number = failed_change(world)
    overridden(world, number)
    world.approve(number)
    world.now += timedelta(minutes=1)
    world.attest(_release(world), world.ran(Verdict.FAILED, "0.01"))

    denied("is about other results than there are now", world.activate, number)
    denied("is about other results than there are now", overridden, world, number, seen=Digest.of(b"other"))
    overridden(world, number)
    world.activate(number)


def test_what_is_over_is_not_overridden(world):
    number = failed_change(world)
    said = world.say("alice", "change.withdraw", f"change/{number}", after=world.change(number).content)
    withdraw(world.installation, number, said, world.now)

    denied("is withdrawn, not opened", overridden, world, number)


def test_when_it_is_over_and_the_release_still_serves_everybody_is_told_once(world):
    number = carried_out(world)
    controller = Concessions(world.installation, lambda: world.now)
    controller.look()
    assert "until" in next(flags(conceded(world, number), world.now, serves=True))

    world.now += DAY
    for _ in range(3):
        controller.look()

    entries = [read_fact(entry)[1] for entry in world.memory.entries(0, world.memory.size())]
    assert [type(event) for event in entries].count(Lapsed) == 1
    assert conceded(world, number).lapsed
    assert "the override has expired" in next(flags(conceded(world, number), world.now, serves=True))


def test_each_override_that_runs_out_is_told_when_it_does():
    world = lenient_world(overrides=replace(BLOCK, about=("evaluation", "provenance")))
    release = world.register()
    world.attest(release, world.ran(Verdict.FAILED))
    number = world.open(release)
    overridden(world, number)
    overridden(world, number, about=("provenance:provenance",), lasts=DAY * 3 / 2)
    world.approve(number)
    world.activate(number)
    controller, told = Concessions(world.installation, lambda: world.now), []
    for span in (DAY, DAY / 2, DAY / 2):
        world.now += span
        controller.look()
        entries = [read_fact(entry)[1] for entry in world.memory.entries(0, world.memory.size())]
        told.append([type(event) for event in entries].count(Lapsed))

    assert told == [1, 2, 2]


def test_when_another_release_serves_nobody_needs_to_be_told(world):
    number = carried_out(world)
    world.serve("1.1.0", weights=b"new")
    world.now += 2 * DAY
    Concessions(world.installation, lambda: world.now).look()

    assert not conceded(world, number).lapsed
    assert list(flags(conceded(world, number), world.now, serves=False)) == []


def test_saying_it_twice_does_it_once(world):
    from lockgate.app.override_objection import override_objection
    from lockgate.core.override import Override, seen_of

    number = failed_change(world)
    held = [world.memory.document(digest) for digest in world.record("magika@1.0.0").evidence]
    content, seen = world.change(number).content, seen_of((SUITE,), held, ())
    document = Override(number, content, (SUITE,), seen, Digest.of(WHY), world.now, world.now + DAY)
    said = world.say("olivia", "change.override", f"change/{number}", before=document.content, after=document.digest)

    first = override_objection(world.installation, document, WHY, said, world.now)
    assert override_objection(world.installation, document, WHY, said, world.now) == first
    assert len(world.change(number).overrides) == 1


def _failed(world):
    failed_change(world)
    return _release(world)


def _release(world):
    from tests.core.dossiers import release_of

    _, manifest = world.submission()
    return release_of(manifest)
