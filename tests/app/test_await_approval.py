"""Does everybody see exactly the changes that wait for them?"""

from dataclasses import replace
from datetime import timedelta

from lockgate.app.await_approval import waiting_for
from lockgate.app.delegate import recall
from lockgate.core.change import Change
from lockgate.formats.names import Name
from tests.core.dossiers import ruling
from tests.exceptional import named
from tests.world import World


def waiting(world: World, who: str):
    changes = [one for one in world.memory.listing("change") if isinstance(one, Change)]
    return list(waiting_for(world.installation, Name(who), changes, world.now))


def opened(world: World) -> int:
    release = world.register()
    world.attest(release)
    return world.open(release)


def test_an_approver_sees_what_waits_and_what_for(world: World) -> None:
    number = opened(world)

    (found,) = waiting(world, "bob")
    assert (found.change, found.about, found.does) == (number, "prod/magika", "serve magika@1.0.0")
    assert (found.author, found.reason, found.in_place_of) == (Name("alice"), "because", None)
    assert found.waits == ("0 of 2 approvals by somebody with the role approver who is no author",)


def test_nobody_else_sees_it(world: World) -> None:
    opened(world)

    assert [who for who in ("alice", "dave", "olivia", "ann", "ci") if waiting(world, who)] == []


def test_what_one_has_approved_waits_no_more_until_it_expires(world: World) -> None:
    number = opened(world)
    world.approve(number, "bob", lasts=timedelta(minutes=5))

    assert waiting(world, "bob") == []
    (found,) = waiting(world, "carol")
    assert found.waits[0].startswith("1 of 2 approvals")
    world.now += timedelta(minutes=5)
    assert len(waiting(world, "bob")) == 1


def test_what_is_over_waits_for_nobody(world: World) -> None:
    number = opened(world)
    world.approve(number)
    world.activate(number)

    assert waiting(world, "bob") == []


def test_an_author_who_may_approve_others_does_not_see_their_own(world: World) -> None:
    release = world.register(authors=(Name("alice"), Name("bob")))
    world.attest(release)
    world.open(release)

    assert waiting(world, "bob") == [] and len(waiting(world, "carol")) == 1


def test_other_rules_wait_for_who_may_approve_them(world: World) -> None:
    number = world.propose(replace(ruling(provenance=False), version=2))

    (found,) = waiting(world, "bob")
    assert (found.change, found.about, found.does) == (number, "policy", "version 2")
    assert waiting(world, "ann") == []


def test_a_delegate_sees_what_waits_for_whom_they_speak(world: World) -> None:
    opened(world)
    world.propose(replace(ruling(provenance=False), version=2))
    order = named(world, "bob", "dave")

    (found,) = waiting(world, "dave")
    assert (found.about, found.in_place_of) == ("prod/magika", Name("bob"))
    recall(world.installation, world.say("bob", "approval.recall", "bob", before=order), world.now)
    assert waiting(world, "dave") == []


def test_a_delegate_sees_nothing_that_their_principal_has_approved_or_made(world: World) -> None:
    number = opened(world)
    named(world, "bob", "dave")
    world.approve(number, "bob")
    assert waiting(world, "dave") == []

    release = world.register("1.1.0", authors=(Name("alice"), Name("carol")))
    world.attest(release)
    world.open(release)
    named(world, "carol", "ann")
    assert [one.does for one in waiting(world, "ann")] == ["serve magika@1.0.0"]
