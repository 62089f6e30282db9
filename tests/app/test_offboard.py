"""Who leaves: does nothing of theirs count from then on, and everything from before?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.activate import assess
from lockgate.app.grant_leases import grant_leases
from lockgate.app.publish_updates import deny_list
from lockgate.core.difference import differences
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.revocation import parse_revocations
from lockgate.core.rights import Role
from lockgate.core.roster import without_person
from lockgate.core.trust import Actor
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.core.dossiers import ruling, trusting
from tests.world import PROD, World, key, trust

BOB = Name("bob")
GONE = "nobody called bob may act in prod"


def opened(world: World) -> int:
    release = world.register()
    world.attest(release)
    return world.open(release)


def test_approvals_that_were_not_used_yet_count_no_longer(world: World) -> None:
    number = opened(world)
    world.approve(number)
    world.offboard("bob")

    with pytest.raises(DeniedError) as denied:
        world.activate(number)
    assert denied.value.reasons[0].startswith("1 of 2 approvals") and GONE in denied.value.reasons[-1]


def test_approvals_of_a_change_of_the_rules_count_no_longer() -> None:
    dora = Actor(Name("dora"), (Role.APPROVER,), (key("dora").public,))
    world = World(founded_by=replace(trust(), actors=(*trust().actors, dora)))
    number = world.propose(replace(ruling(provenance=False), version=2))
    world.approve(number)
    assess(world.installation, number, world.now)
    world.offboard("bob")

    with pytest.raises(DeniedError, match="1 of 2 approvals"):
        assess(world.installation, number, world.now)
    world.approve(number, "dora")
    assess(world.installation, number, world.now)
    world.check()


def test_what_they_approved_before_goes_on_serving(world: World) -> None:
    release = world.serve()
    world.now += timedelta(seconds=1)
    world.offboard("bob")
    world.now += timedelta(days=1)

    assert world.admit().permit.release.digest == release.digest
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, release.digest),), "sealed")
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    assert len(open_grant(document, request, world.trust, world.now).granted) == 1


def test_a_host_learns_of_it_and_believes_nothing_that_is_said_later(world: World) -> None:
    world.offboard("bob")
    listed = deny_list(world.installation)

    assert parse_revocations(plain.encode(listed), Name("prod")) == listed
    assert listed.left == {BOB: world.now} and listed.keys == frozenset()
    with pytest.raises(VerificationError, match=GONE):
        listed.applied(trust()).actor(BOB, world.now)
    assert listed.applied(trust()).actor(BOB, world.now - timedelta(microseconds=1)).keys == (key("bob").public,)


def test_they_do_nothing_more_and_no_document_brings_them_back(world: World) -> None:
    number = opened(world)
    world.offboard("alice")

    with pytest.raises(VerificationError, match="nobody called alice"):
        world.register("1.1.0")
    world.adopt(replace(trusting("alice", roles=(Role.AUTHOR, Role.OPERATOR)), version=2), world.policy)
    with pytest.raises(VerificationError, match="nobody called alice"):
        world.register("1.1.0")
    assert world.change(number).phase == "opened"


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "ci", "host-1"])
def test_only_the_security_authority_or_an_admin_says_so(world: World, who: str) -> None:
    with pytest.raises(DeniedError, match=r"has no right to person\.offboard"):
        world.offboard("carol", who)


def test_the_word_is_for_this_person_and_reason(world: World) -> None:
    for person, reason in (("erin", "left"), ("bob", " "), ("bob", "x" * 1001)):
        with pytest.raises((DeniedError, VerificationError)):
            world.offboard(person, reason=reason)
    first = world.offboard("bob")
    size = world.memory.size()
    assert world.offboard("bob", "ann").first == first.first and world.memory.size() == size


def test_the_last_admin_stays_so_that_rules_can_still_come_into_force(world: World) -> None:
    for who in ("olivia", "ann"):
        with pytest.raises(DeniedError, match="ann is the last admin"):
            world.offboard("ann", who)
    two = World(founded_by=trusting("dave", roles=(Role.OPERATOR, Role.ADMIN)))
    two.offboard("ann")
    with pytest.raises(DeniedError, match="dave is the last admin"):
        two.offboard("dave")
    two.check()


def test_a_person_and_a_key_are_told_apart(world: World) -> None:
    world.offboard("carol")
    world.revoke("carol")

    entries = world.installation.rulebook().revoked
    assert [entry.of for entry in entries] == ["person", "key"]
    assert str(entries[0]).startswith("carol is off-boarded since")


@pytest.mark.parametrize("spoilt", [{"person": None}, {"person": Name("carol")}, {"of": "key"}, {"of": "release"}])
def test_a_deny_list_that_names_somebody_wrongly_is_refused(world: World, spoilt: dict) -> None:
    world.offboard("bob")
    listed = deny_list(world.installation)
    bad = replace(listed, entries=(replace(listed.entries[0], **spoilt),))

    with pytest.raises(VerificationError, match="the deny-list names"):
        parse_revocations(plain.encode(bad), Name("prod"))


def test_the_next_document_says_what_is_so_already(world: World) -> None:
    world.offboard("alice")

    found = differences(trust(), without_person(trust(), Name("alice"), world.now))
    assert any(one.says.startswith("lets alice count until") for one in found)
