"""Does a change of the rules go the way of every change: asked for by one, decided by others?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.activate import assess
from lockgate.app.decide_change import reject, withdraw
from lockgate.app.propose import propose
from lockgate.core.change import RuleChange
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import change_subject
from lockgate.core.policy import Policy
from lockgate.core.proposal import Mandate
from lockgate.core.rights import Role
from lockgate.core.trust import Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.core.dossiers import ruling, trusting
from tests.world import World, trust

LAXER = replace(ruling(provenance=False), version=2)
FEWER = replace(trusting("alice", roles=()), version=2)


def reasons(world: World, number: int) -> tuple[str, ...]:
    with pytest.raises(DeniedError) as caught:
        assess(world.installation, number, world.now)
    return caught.value.reasons


@pytest.mark.parametrize("document", [LAXER, FEWER])
def test_the_next_document_is_proposed_and_approved_by_others(world: World, document: Trust | Policy) -> None:
    number = world.propose(document)
    change = world.change(number)

    assert (change.rules, change.endpoint, change.phase) == (type(document).__name__.lower(), None, "opened")
    assert world.memory.document(Digest.of(plain.encode(document))) == plain.encode(document)
    (reason,) = reasons(world, number)
    assert reason.startswith("0 of 2 approvals by somebody with the role approver")
    world.approve(number, "bob")
    assert reasons(world, number)[0].startswith("1 of 2 approvals")
    world.approve(number, "carol")
    found = assess(world.installation, number, world.now)
    assert isinstance(found, Mandate) and [str(name) for name in found.approvers] == ["bob", "carol"]


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "ci", "host-1"])
def test_only_an_admin_or_the_security_authority_proposes(world: World, who: str) -> None:
    with pytest.raises(DeniedError, match=rf"{who} has no right to rules\.propose"):
        world.propose(LAXER, who)


@pytest.mark.parametrize(
    ("document", "changes"),
    [
        (replace(LAXER, version=3), {}),
        (replace(LAXER, environment=trust("dev").environment), {}),
        (LAXER, {"before": Digest.of(b"")}),
        (LAXER, {"kind": "trust"}),
        (LAXER, {"document": Digest.of(b"")}),
        (LAXER, {"reason": ""}),
        (replace(LAXER, expires=trust().expires - timedelta(days=36_500)), {}),
        (replace(trusting("bob", roles=()), version=2), {}),
    ],
)
def test_what_could_not_come_into_force_is_not_taken_in(world: World, document: Policy, changes: dict) -> None:
    size = world.memory.size()

    with pytest.raises((DeniedError, VerificationError)):
        world.propose(document, **changes)
    assert world.memory.size() == size


def test_who_proposed_cannot_approve_even_with_the_role() -> None:
    world = World(founded_by=trusting("ann", roles=(Role.ADMIN, Role.APPROVER)))
    number = world.propose(LAXER)

    with pytest.raises(DeniedError, match="ann is an author of change"):
        world.approve(number, "ann")
    world.check()


def test_whose_rights_it_widens_cannot_approve(world: World) -> None:
    number = world.propose(replace(trusting("bob", roles=(Role.APPROVER, Role.OPERATOR)), version=2))

    with pytest.raises(DeniedError, match=f"change {number} widens the rights of bob"):
        world.approve(number, "bob")
    world.approve(number, "carol")


def test_a_proposal_that_was_rejected_or_withdrawn_is_over(world: World) -> None:
    rejected, withdrawn = world.propose(LAXER), world.propose(FEWER)
    for number, who, act, verb in (
        (rejected, "bob", "change.reject", reject),
        (withdrawn, "ann", "change.withdraw", withdraw),
    ):
        content = world.change(number).content
        verb(world.installation, number, world.say(who, act, change_subject(number), after=content), world.now)

        assert "not opened" in reasons(world, number)[0]
        with pytest.raises(DeniedError, match="not opened"):
            world.approve(number, "carol")


def test_a_change_of_the_rules_is_not_activated(world: World) -> None:
    number = world.propose(LAXER)
    world.approve(number)

    with pytest.raises(DeniedError, match=f"change {number} is about the policy: it is published, not activated"):
        world.activate(number)


def test_approvals_end_with_their_time(world: World) -> None:
    number = world.propose(LAXER)
    world.approve(number)
    world.now += timedelta(hours=1)

    assert reasons(world, number)[0].startswith("0 of 2 approvals")


def test_the_same_word_proposes_once(world: World) -> None:
    digest = Digest.of(plain.encode(LAXER))
    content = RuleChange("policy", LAXER.environment, world.installation.policy().digest, digest, 2, "why")
    said = again(world, content)
    first = propose(world.installation, content, plain.encode(LAXER), said, world.now)

    assert propose(world.installation, content, plain.encode(LAXER), said, world.now) == first
    with pytest.raises(VerificationError, match="canonical"):
        propose(world.installation, content, plain.encode(LAXER) + b" ", again(world, content), world.now)
    with pytest.raises(DeniedError, match="the intent says after"):
        propose(world.installation, replace(content, reason="x"), plain.encode(LAXER), again(world, content), world.now)


def again(world: World, content: RuleChange) -> SignedIntent:
    return world.say("ann", "rules.propose", "prod", before=content.before, after=content.digest)
