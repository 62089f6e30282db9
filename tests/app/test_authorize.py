"""Does a document come into force only by a change that other people approved, for exactly this document?"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.activate import assess
from lockgate.app.adopt import adopt_rules, found
from lockgate.app.decide_change import reject, withdraw
from lockgate.app.publish_updates import carried_rules
from lockgate.core.change import RuleChange
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import change_subject, read_fact
from lockgate.core.metadata import Carried
from lockgate.core.policy import POLICY, Approvals, Policy, PolicyAdopted
from lockgate.core.proposal import Mandate
from lockgate.core.rights import Role
from lockgate.core.trust import Actor, Root, Trust, TrustAdopted
from lockgate.drivers.memory import Memory
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.dossiers import ruling, trusting
from tests.world import World, agreed, carried, key, policy, trust

LAXER = replace(ruling(provenance=False), version=2)
FEWER = replace(trusting("alice", roles=()), version=2)
EVERY_ROOT = ("root1", "root2", "root3")
DORA = Actor(Name("dora"), (Role.APPROVER,), (key("dora").public,))


def adopt(world: World, document: Trust | Policy, changes: Sequence[int], *signers: str) -> None:
    if isinstance(document, Trust):
        world.adopt(document, world.installation.policy().document, *signers, changes=changes)
    else:
        world.adopt(world.installation.written_trust().document, document, *signers, changes=changes)


def refused(world: World, reason: str, document: Trust | Policy, changes: Sequence[int], *signers: str) -> None:
    size = world.memory.size()
    with pytest.raises(LockgateError) as error:
        adopt(world, document, changes, *signers)
    reasons = error.value.reasons if isinstance(error.value, DeniedError) else (str(error.value),)
    assert any(reason in one for one in reasons), reasons
    assert world.memory.size() == size


def approved(world: World, document: Trust | Policy) -> int:
    (number,) = world.approved(document)
    return number


@pytest.mark.parametrize("document", [LAXER, FEWER])
def test_an_approved_document_comes_into_force_and_closes_its_change(world: World, document: Trust | Policy) -> None:
    number = approved(world, document)

    adopt(world, document, [number])

    change = world.change(number)
    assert (change.phase, change.decision) == ("closed", None)
    last = [read_fact(entry)[1] for entry in world.memory.entries(0, world.memory.size())][-2]
    assert isinstance(last, TrustAdopted | PolicyAdopted)
    assert last.change == number and last.digest == Digest.of(plain.encode(document))
    assert world.memory.document(last.digest) == plain.encode(document)
    refused(world, "in force already", document, [number])


@pytest.mark.parametrize("document", [LAXER, FEWER])
def test_root_signatures_alone_bring_nothing_into_force(world: World, document: Trust | Policy) -> None:
    kind = type(document).__name__.lower()

    refused(world, f"no change approves the {kind}", document, [])
    refused(world, f"no change approves the {kind}", document, [], *EVERY_ROOT)
    refused(world, "there is no change 999", document, [999])


def test_approvals_alone_bring_nothing_into_force(world: World) -> None:
    for document in (LAXER, FEWER):
        number = approved(world, document)
        refused(world, "signed by 1 root keys, 2 are needed", document, [number], "root1")


def test_one_root_key_counts_once_however_often_it_signed(world: World) -> None:
    number = approved(world, LAXER)
    held, _ = carried_rules(world.installation)
    good = carried(trust(), LAXER, held=held)
    twice = replace(good, policy=agreed(LAXER, POLICY, "root1", "root1"))

    with pytest.raises(VerificationError, match="signed by 1 root keys, 2 are needed"):
        adopt_rules(world.installation, twice, [number], word_for(world, twice), world.now)
    adopt_rules(world.installation, good, [number], word_for(world, good), world.now)


def word_for(world: World, rules: Carried) -> SignedIntent:
    """Let ann bring `rules` in."""
    before = world.installation.rulebook().targets
    return world.say("ann", "rules.adopt", "prod", before=before, after=Digest.of(rules.targets))


@pytest.mark.parametrize(
    "other",
    [
        replace(LAXER, expires=LAXER.expires + timedelta(microseconds=1)),
        replace(ruling(provenance=False, rollback_seconds=61), version=2),
        replace(LAXER, rule_changes=Approvals(1, Role.APPROVER)),
    ],
)
def test_a_document_that_differs_in_anything_from_the_approved_one_is_refused(world: World, other: Policy) -> None:
    number = approved(world, LAXER)

    refused(world, "no change approves the policy", other, [number])
    adopt(world, LAXER, [number])


def test_a_document_of_which_one_byte_differs_is_not_even_read(world: World) -> None:
    number = approved(world, LAXER)
    held, _ = carried_rules(world.installation)
    good = carried(trust(), LAXER, held=held)
    assert good.policy is not None
    envelope = dsse.parse(good.policy)
    for spoilt in (envelope.payload.replace(b'"count":2', b'"count":1', 1), envelope.payload + b" "):
        bad = replace(good, policy=replace(envelope, payload=spoilt).encode())
        with pytest.raises(VerificationError):
            adopt_rules(world.installation, bad, [number], word_for(world, bad), world.now)


def test_a_change_for_another_document_or_kind_does_not_help(world: World) -> None:
    other = replace(ruling(rollback_seconds=99), version=2)
    first, second, third = (approved(world, one) for one in (LAXER, other, FEWER))

    refused(world, "no change approves the policy", LAXER, [second])
    refused(world, f"change {second} is about another document", LAXER, [first, second])
    refused(world, "no change approves the trust", FEWER, [first])
    refused(world, f"change {third} is about another document", LAXER, [first, third])
    release = world.register()
    refused(world, "is about prod/magika, not about the rules", LAXER, [world.open(release)])


@pytest.mark.parametrize("people", [(), ("bob",)])
def test_a_change_that_too_few_approved_does_not_help(world: World, people: tuple[str, ...]) -> None:
    number = world.propose(LAXER)
    for who in people:
        world.approve(number, who)

    refused(world, f"{len(people)} of 2 approvals", LAXER, [number])


def test_a_change_that_was_rejected_or_withdrawn_or_whose_approvals_expired_does_not_help(world: World) -> None:
    rejected, withdrawn, expired = (world.propose(LAXER) for _ in range(3))
    for number in (rejected, withdrawn, expired):
        world.approve(number)
    ends = ((rejected, "bob", "change.reject", reject), (withdrawn, "ann", "change.withdraw", withdraw))
    for number, who, act, verb in ends:
        said = world.say(who, act, change_subject(number), after=world.change(number).content)
        verb(world.installation, number, said, world.now)
        refused(world, "not opened", LAXER, [number])
    world.now += timedelta(hours=1)
    refused(world, "0 of 2 approvals", LAXER, [expired])
    world.approve(expired)
    adopt(world, LAXER, [expired])


def test_an_approval_by_a_key_that_was_revoked_does_not_count(world: World) -> None:
    many = World(founded_by=replace(trust(), actors=(*trust().actors, DORA)))
    number = many.propose(LAXER)
    many.approve(number)
    many.revoke("bob")

    refused(many, "1 of 2 approvals", LAXER, [number])
    many.approve(number, "dora")
    adopt(many, LAXER, [number])
    many.check()


def test_a_change_is_for_the_document_that_was_in_force_when_it_was_proposed(world: World) -> None:
    later = replace(ruling(rollback_seconds=99), version=2)
    first, second = approved(world, LAXER), approved(world, later)
    adopt(world, LAXER, [first])

    refused(world, "version 2, the next one is 3", later, [second])
    with pytest.raises(DeniedError, match="is in force"):
        assess(world.installation, second, world.now)


def test_a_trust_document_leaves_open_proposals_of_the_policy_alone(world: World) -> None:
    number = approved(world, LAXER)
    adopt(world, FEWER, [approved(world, FEWER)])

    assert isinstance(assess(world.installation, number, world.now), Mandate)
    adopt(world, LAXER, [number])


def test_both_documents_need_a_change_each(world: World) -> None:
    numbers = world.approved(FEWER, LAXER)

    for some in ([], numbers[:1], numbers[1:]):
        with pytest.raises(DeniedError, match="no change approves the"):
            world.adopt(FEWER, LAXER, changes=some)
    world.adopt(FEWER, LAXER, changes=numbers)
    assert {world.change(number).phase for number in numbers} == {"closed"}


def test_a_policy_that_only_got_the_signatures_of_a_new_root_needs_no_change(world: World) -> None:
    recovered = replace(trust(), version=2, root=Root(2, (*trust().root.keys[1:], key("new1").public)))
    number = approved(world, recovered)

    world.adopt(recovered, policy(), "root2", "root3", "new1", changes=[number])
    assert world.installation.policy().digest == Digest.of(plain.encode(policy()))


def test_the_first_policy_needs_no_change_and_no_policy_means_nobody_approves() -> None:
    world = World(ruled=False)
    world.adopt(FEWER, None, changes=[])
    with pytest.raises(DeniedError, match="has no policy yet"):
        world.propose(LAXER)
    world.adopt(FEWER, policy(), changes=[])

    refused(world, "no change approves the policy", LAXER, [])
    world.check()


def test_rules_that_nobody_could_change_again_do_not_come_into_force(world: World) -> None:
    three = replace(policy(), version=2, rule_changes=Approvals(3, Role.APPROVER))
    alone = replace(trust(), version=2, actors=tuple(one for one in trust().actors if str(one.name) != "carol"))

    for document in (three, alone):
        refused(world, "nobody could change them again", document, [], *EVERY_ROOT)
    memory = Memory(trust().origin)
    empty = replace(world.installation, ledger=memory, catalog=memory, history=memory, checkpoints=memory)
    with pytest.raises(DeniedError, match="nobody could change them again"):
        found(empty, carried(trust(), replace(three, version=1)), trust().root, world.now)


def test_an_installation_that_lost_its_approvers_is_recovered_by_every_root_key(world: World) -> None:
    world.revoke("bob")
    others = tuple(one for one in trust().actors if str(one.name) != "bob")
    recovered = replace(trust(), version=2, actors=(*others, DORA))

    for signers in (("root1", "root2"), ("root2", "root3")):
        refused(world, "signed by 2 root keys, 3 are needed", recovered, [], *signers)
    one = replace(policy(), version=2, rule_changes=Approvals(1, Role.APPROVER))
    refused(world, "nobody could change them again", LAXER, [], *EVERY_ROOT)
    refused(world, "signed by 2 root keys, 3 are needed", one, [], "root1", "root2")
    adopt(world, recovered, [], *EVERY_ROOT)

    refused(world, "no change approves the policy", LAXER, [], *EVERY_ROOT)
    number = world.propose(LAXER)
    world.approve(number, "carol", "dora")
    adopt(world, LAXER, [number])


def test_what_a_change_says_is_what_is_compared(world: World) -> None:
    number = approved(world, LAXER)
    content = plain.decode(RuleChange, world.memory.document(world.change(number).content))

    assert content.document == Digest.of(plain.encode(LAXER)) and content.before == Digest.of(plain.encode(policy()))
    assert isinstance(world.memory, Memory)
