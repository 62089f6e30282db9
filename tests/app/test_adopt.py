"""Which rules come into force? The next version, signed by the threshold in force, brought by an admin."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.adopt import adopt_rules, found
from lockgate.app.publish_updates import carried_rules
from lockgate.core.policy import POLICY, Policy
from lockgate.core.rights import Role
from lockgate.core.trust import Actor, Root, Trust
from lockgate.drivers.memory import Memory
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats import dsse, plain, tuf
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import World, agreed, carried, key, policy, trust

NEW = Root(2, tuple(key(f"new{number}").public for number in (1, 2, 3)))
BOTH = ("root1", "root2", "new1", "new2")


def digest(document: Trust | Policy) -> Digest:
    return Digest.of(plain.encode(document))


def adopt(
    world: World, document: Trust | Policy, *signers: str, who: str = "ann", changes: Sequence[int] | None = None
) -> None:
    held = world.installation
    if isinstance(document, Trust):
        world.adopt(document, held.policy().document, *signers, who=who, changes=changes)
    else:
        world.adopt(held.written_trust().document, document, *signers, who=who, changes=changes)


def refused(world: World, error: type[Exception], reason: str, document: Trust | Policy, *signers: str) -> None:
    changes = world.approved(document)
    before = world.memory.size()
    with pytest.raises(error, match=reason):
        adopt(world, document, *signers, changes=changes)
    assert world.memory.size() == before


def next_trust(**changes: object) -> Trust:
    return replace(trust(), **{"version": 2, **changes})  # type: ignore[arg-type]


def next_policy(**changes: object) -> Policy:
    return replace(policy(), **{"version": 2, **changes})  # type: ignore[arg-type]


def test_the_next_documents_come_into_force(world: World) -> None:
    adopt(world, next_trust())
    adopt(world, next_policy())

    assert world.installation.trust().digest == digest(next_trust())
    assert world.installation.policy().digest == digest(next_policy())


def test_both_documents_come_into_force_in_one_act(world: World) -> None:
    receipt = world.adopt(next_trust(), next_policy())

    assert receipt.stop - receipt.first == 4  # both documents, and the changes that approved them
    assert world.installation.trust().digest == digest(next_trust())
    assert world.installation.policy().digest == digest(next_policy())


@pytest.mark.parametrize("version", [1, 3])
def test_no_version_is_skipped_or_taken_back(world: World, version: int) -> None:
    later = world.now + timedelta(days=30)
    refused(world, DeniedError, f"is version {version}, the next one is 2", next_trust(version=version, expires=later))
    refused(world, DeniedError, f"is version {version}, the next one is 2", next_policy(version=version, expires=later))


def test_a_document_below_the_threshold_never_comes_into_force(world: World) -> None:
    for document in (next_trust(), next_policy()):
        refused(world, VerificationError, "signed by 1 root keys, 2 are needed", document, "root1")


@pytest.mark.parametrize("spoilt", ["trust", "policy", "root", "targets"])
def test_each_part_needs_its_own_threshold_and_a_stranger_does_not_help(world: World, spoilt: str) -> None:
    held, _ = carried_rules(world.installation)
    one, two = (carried(next_trust(), next_policy(), *names, held=held) for names in (("root1",), ("root1", "root2")))
    half: bytes = getattr(one, spoilt)
    if spoilt in ("root", "targets"):
        half = tuf.parse(half).also([key("mallory")]).encode()
    else:
        envelope = dsse.parse(half)
        more = dsse.sign(envelope.payload, envelope.payload_type, [key("mallory")]).signatures
        half = replace(envelope, signatures=(*envelope.signatures, *more)).encode()
    mixed = replace(two, **{spoilt: half})
    before = world.installation.rulebook().targets
    said = world.say("ann", "rules.adopt", "prod", before=before, after=Digest.of(mixed.targets))

    with pytest.raises(VerificationError, match="signed by 1 root keys"):
        adopt_rules(world.installation, mixed, (), said, world.now)


def test_metadata_that_says_anything_else_than_the_documents_is_refused(world: World) -> None:
    held, _ = carried_rules(world.installation)
    good, other = (carried(next_trust(), next_policy(expires=world.now + timedelta(days=n)), held=held) for n in (8, 9))
    longer = carried(next_trust(expires=world.now + timedelta(days=9)), policy(), held=held)
    before = world.installation.rulebook().targets
    for name, mixed in (("targets", replace(good, targets=other.targets)), ("root", replace(good, root=longer.root))):
        said = world.say("ann", "rules.adopt", "prod", before=before, after=Digest.of(mixed.targets))
        with pytest.raises(VerificationError, match=f"the {name} metadata is not what follows"):
            adopt_rules(world.installation, mixed, (), said, world.now)


def test_a_document_for_another_environment_or_another_log_is_refused(world: World) -> None:
    elsewhere = replace(policy("dev"), version=2)

    refused(world, DeniedError, "is for dev, this installation is prod", next_trust(environment=Name("dev")))
    refused(world, DeniedError, "is for dev, this installation is prod", elsewhere)
    refused(
        world, DeniedError, "is for log 'other/changes'; this log is prod.example", next_trust(origin="other/changes")
    )


def test_an_expired_document_is_refused(world: World) -> None:
    for document in (next_trust(expires=world.now), next_policy(expires=world.now)):
        refused(world, VerificationError, "expired", document)


@pytest.mark.parametrize("who", ["alice", "dave", "olivia", "ci"])
def test_only_an_admin_brings_documents_in(world: World, who: str) -> None:
    for document in (next_trust(), next_policy()):
        with pytest.raises(DeniedError, match=f"{who} has no right to"):
            adopt(world, document, who=who)


def test_the_word_for_one_ceremony_brings_in_no_other(world: World) -> None:
    held, _ = carried_rules(world.installation)
    before = world.installation.rulebook().targets
    meant, other = carried(next_trust(), policy(), held=held), carried(next_trust(), next_policy(), held=held)
    said = world.say("ann", "rules.adopt", "prod", before=before, after=Digest.of(other.targets))
    stale = world.say("ann", "rules.adopt", "prod", before=None, after=Digest.of(meant.targets))

    with pytest.raises(DeniedError, match="the intent says after"):
        adopt_rules(world.installation, meant, (), said, world.now)
    with pytest.raises(DeniedError, match="the intent says before None"):
        adopt_rules(world.installation, meant, (), stale, world.now)


def test_the_policy_is_not_lost_and_nothing_is_adopted_twice(world: World) -> None:
    with pytest.raises(DeniedError, match="the policy in force would be lost"):
        world.adopt(next_trust(), None)
    with pytest.raises(DeniedError, match="in force already"):
        world.adopt(trust(), policy())


def test_a_new_root_comes_in_when_both_roots_sign_it_and_the_new_one_signs_the_policy(world: World) -> None:
    world.adopt(next_trust(root=NEW), policy(), *BOTH)

    assert world.installation.policy().digest == digest(policy())
    held, _ = carried_rules(world.installation)
    good = carried(next_trust(root=NEW), next_policy(), "new1", "new3", held=held)
    old = replace(good, policy=agreed(next_policy(), POLICY))
    before = world.installation.rulebook().targets
    said = world.say("ann", "rules.adopt", "prod", before=before, after=Digest.of(old.targets))
    with pytest.raises(VerificationError, match="no key that is trusted"):
        adopt_rules(world.installation, old, (), said, world.now)
    adopt(world, next_policy(), "new1", "new3")


@pytest.mark.parametrize("signers", [("root1", "new1", "new2"), ("root1", "root2", "new1"), ("new1", "new2")])
def test_a_new_root_comes_in_by_no_fewer_than_both_thresholds(world: World, signers: tuple[str, ...]) -> None:
    refused(world, VerificationError, "signed", next_trust(root=NEW), *signers)


def test_a_lost_root_key_is_replaced_by_the_threshold_of_those_that_are_left(world: World) -> None:
    left = trust().root
    recovered = Root(2, (*left.keys[:2], key("new1").public))

    adopt(world, next_trust(root=recovered), "root1", "root2")

    refused(world, VerificationError, "signed by 1 root keys", next_policy(), "root1")
    adopt(world, next_policy(), "root1", "new1")


def test_a_policy_is_judged_by_the_root_in_force_not_by_what_was_once_found(world: World) -> None:
    assert world.installation.policy().digest == digest(policy())
    world.adopt(next_trust(root=NEW), next_policy(), *BOTH)
    again = replace(world.installation, _agreed={})

    assert again.policy() == world.installation.policy() and again.trust() == world.installation.trust()


def test_a_revoked_key_does_not_come_back(world: World) -> None:
    world.revoke("bob")

    refused(world, DeniedError, "is revoked since", next_trust(), "root1", "root2", "root3")
    others = tuple(actor for actor in trust().actors if str(actor.name) != "bob")
    dora = Actor(Name("dora"), (Role.APPROVER,), (key("dora").public,))
    adopt(world, next_trust(actors=(*others, dora)), "root1", "root2", "root3")


def test_a_change_is_carried_out_under_the_policy_that_its_approvers_saw(world: World) -> None:
    release = world.register()
    world.attest(release)
    number = world.open(release)
    world.approve(number)
    adopt(world, next_policy())

    with pytest.raises(DeniedError, match="the change was opened under policy"):
        world.activate(number)


def test_a_change_of_role_does_not_launder_authorship(world: World) -> None:
    release = world.register()
    world.attest(release)
    number = world.open(release)
    roles = {"alice": trust().actors[1].roles}
    actors = tuple(replace(one, roles=roles.get(str(one.name), one.roles)) for one in trust().actors)
    adopt(world, next_trust(actors=actors))
    world.approve(number, "bob")

    with pytest.raises(DeniedError, match="alice is an author of change"):
        world.approve(number, "alice")
    with pytest.raises(DeniedError, match="1 of 2 approvals"):
        world.activate(number)


def test_who_left_before_the_activation_does_not_count(world: World) -> None:
    release = world.register()
    world.attest(release)
    number = world.open(release)
    world.approve(number)
    until = world.now + timedelta(minutes=1)
    actors = tuple(replace(one, until=until) if str(one.name) == "carol" else one for one in trust().actors)
    adopt(world, next_trust(actors=actors))
    world.now = until

    with pytest.raises(DeniedError, match="nobody called carol may act"):
        world.activate(number)


def test_an_installation_is_founded_once_by_the_root_that_its_founder_names() -> None:
    world = World()
    first = carried(trust(), policy())
    with pytest.raises(ConflictError, match="prod has a trust document already"):
        found(world.installation, first, trust().root, world.now)

    memory = Memory(trust().origin)
    empty = replace(world.installation, ledger=memory, catalog=memory, history=memory, checkpoints=memory, reads=memory)
    with pytest.raises(UnavailableError, match="prod has no trust document yet"):
        empty.trust()
    for signers, root in ((("root1",), trust().root), (("root1", "root2"), NEW)):
        with pytest.raises(VerificationError):
            found(empty, carried(trust(), policy(), *signers), root, world.now)
    with pytest.raises(DeniedError, match="the next one is 1"):
        found(empty, carried(next_trust(), None), trust().root, world.now)
    assert memory.size() == 0

    found(empty, carried(trust(), None), trust().root, world.now)
    with pytest.raises(DeniedError, match="no policy yet"):
        empty.policy()
