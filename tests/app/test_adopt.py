"""Which rules come into force? The next version, signed by the threshold in force, brought by an admin."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.adopt import adopt_policy, adopt_trust, found
from lockgate.core.policy import POLICY, Policy
from lockgate.core.trust import TRUST, Root, Trust
from lockgate.drivers.memory import Memory
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import World, agreed, key, policy, trust

NEW = Root(2, tuple(key(f"new{number}").public for number in (1, 2, 3)))
BOTH = ("root1", "root2", "new1", "new2")


def digest(document: Trust | Policy) -> Digest:
    return Digest.of(plain.encode(document))


def adopt(world: World, document: Trust | Policy, *signers: str, who: str = "ann") -> None:
    kind, act, payload_type, verb = (
        (adopt_trust, "trust.adopt", TRUST, world.installation.trust)
        if isinstance(document, Trust)
        else (adopt_policy, "policy.adopt", POLICY, world.installation.policy)
    )
    said = world.say(who, act, "prod", before=verb().digest, after=digest(document))
    kind(world.installation, agreed(document, payload_type, *signers), said, world.now)


def refused(world: World, error: type[Exception], reason: str, document: Trust | Policy, *signers: str) -> None:
    before = world.memory.size()
    with pytest.raises(error, match=reason):
        adopt(world, document, *signers)
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


@pytest.mark.parametrize("version", [0, 1, 3])
def test_no_version_is_skipped_or_taken_back(world: World, version: int) -> None:
    refused(world, DeniedError, f"is version {version}, the next one is 2", next_trust(version=version))
    refused(world, DeniedError, f"is version {version}, the next one is 2", next_policy(version=version))


@pytest.mark.parametrize("signers", [("root1",), ("root1", "mallory")])
def test_a_document_below_the_threshold_never_comes_into_force(world: World, signers: tuple[str, ...]) -> None:
    for document in (next_trust(), next_policy()):
        refused(world, VerificationError, "signed by 1 root keys, 2 are needed", document, *signers)


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


def test_the_word_for_one_document_brings_in_no_other(world: World) -> None:
    said = world.say("ann", "trust.adopt", "prod", before=digest(trust()), after=digest(trust()))
    stale = world.say("ann", "policy.adopt", "prod", before=None, after=digest(next_policy()))

    with pytest.raises(DeniedError, match="the intent says after"):
        adopt_trust(world.installation, agreed(next_trust(), TRUST), said, world.now)
    with pytest.raises(DeniedError, match="the intent says before None"):
        adopt_policy(world.installation, agreed(next_policy(), POLICY), stale, world.now)


def test_a_new_root_comes_in_when_the_policy_in_force_is_signed_by_it_too(world: World) -> None:
    adopt(world, next_policy(), *BOTH)
    adopt(world, next_trust(root=NEW), *BOTH)

    assert world.installation.policy().digest == digest(next_policy())
    refused(world, VerificationError, "no key that is trusted", next_policy(version=3), "root1", "root2")
    adopt(world, next_policy(version=3), "new1", "new3")


def test_a_new_root_that_would_leave_the_policy_unsigned_is_refused(world: World) -> None:
    refused(world, DeniedError, "the policy in force is not signed by the new root", next_trust(root=NEW), *BOTH)


def test_a_policy_is_judged_by_the_root_in_force_not_by_what_was_once_found(world: World) -> None:
    assert world.installation.policy().digest == digest(policy())
    adopt(world, next_policy(), *BOTH)
    adopt(world, next_trust(root=NEW), *BOTH)
    again = replace(world.installation, _agreed={})

    assert again.policy() == world.installation.policy() and again.trust() == world.installation.trust()


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
    with pytest.raises(ConflictError, match="prod has a trust document already"):
        found(world.installation, agreed(trust(), TRUST), trust().root, world.now)

    memory = Memory(trust().origin)
    empty = replace(world.installation, ledger=memory, catalog=memory, history=memory, checkpoints=memory, reads=memory)
    with pytest.raises(UnavailableError, match="prod has no trust document yet"):
        empty.trust()
    for signers, root in ((("root1",), trust().root), (("new1", "new2"), NEW)):
        with pytest.raises(VerificationError):
            found(empty, agreed(trust(), TRUST, *signers), root, world.now)
    with pytest.raises(DeniedError, match="the next one is 1"):
        found(empty, agreed(next_trust(), TRUST), trust().root, world.now)
    assert memory.size() == 0
