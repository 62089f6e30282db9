"""Does each use case do what was said, once, for whom it was said, and nothing else?"""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from lockgate.app.activate import activate, assess
from lockgate.app.decide_change import approve, open_change, reject, withdraw
from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import export, passport_for, passport_of
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.app.record_denial import record_denial
from lockgate.app.register import Submission, register
from lockgate.core.change import Content
from lockgate.core.intent import Head, Intent, sign_intent
from lockgate.core.journal import Denied, change_subject, read_fact
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.release import Release
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.tlog.checkpoint import Checkpoint, sign_checkpoint
from tests.world import PROD, World, key, policy, rules


def opened(world: World) -> tuple[Release, int]:
    release = world.register()
    world.attest(release)
    return release, world.open(release)


def submit(world: World, submitted: Submission, manifest, who: str = "alice"):
    said = world.say(who, "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))
    return register(world.installation, submitted, said, world.now)


def test_the_same_word_is_carried_out_once(world: World) -> None:
    submitted, manifest = world.submission()
    said = world.say("alice", "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))
    receipt = register(world.installation, submitted, said, world.now)
    size = world.memory.size()

    assert register(world.installation, submitted, said, world.now) == receipt
    assert world.memory.size() == size


def test_a_name_is_bound_once(world: World) -> None:
    world.register()

    with pytest.raises(DeniedError, match=r"magika@1\.0\.0 is registered already"):
        world.register(weights=b"others")


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"endpoint": Endpoint.parse("prod/other")}, "does not name prod/other"),
        ({"tag": Tag.parse("magika@1.0.1")}, "is not registered here"),
        ({"release": Digest.of(b"")}, r"magika@1\.0\.0 is sha256:.*, not sha256:e3b0"),
        ({"before": Digest.of(b"")}, "prod/magika serves None, not sha256:e3b0"),
        ({"policy": Digest.of(b"")}, "the policy in force is sha256:.*, not sha256:e3b0"),
        ({"epoch": 0}, "prod/magika stands at entry -1, not 0"),
        ({"resumes": True}, "prod/magika is not suspended, so nothing is to be resumed"),
    ],
)
def test_a_change_is_opened_for_what_is_true(world: World, spoilt: dict, reason: str) -> None:
    release = world.register()
    good = Content(
        "normal",
        PROD,
        release.manifest.tag,
        release.digest,
        None,
        -1,
        resumes=False,
        policy=world.installation.policy().digest,
        reason="x",
    )
    content = replace(good, **spoilt)
    said = world.say("alice", "change.open", content.endpoint, before=content.before, after=content.digest)

    with pytest.raises(DeniedError, match=reason):
        open_change(world.installation, content, said, world.now)


def test_the_security_authority_approves_nothing_ordinary_and_may_reject(world: World) -> None:
    _, number = opened(world)
    said = world.say("olivia", "change.reject", change_subject(number), after=world.change(number).content)

    with pytest.raises(DeniedError, match="has no right to"):
        world.approve(number, "olivia")
    reject(world.installation, number, said, world.now)
    assert world.change(number).phase == "rejected"


@pytest.mark.parametrize("who", ["alice", "dave", "ann", "ci"])
def test_who_is_no_approver_cannot_approve_or_reject(world: World, who: str) -> None:
    _, number = opened(world)
    said = world.say(who, "change.reject", change_subject(number), after=world.change(number).content)

    with pytest.raises(DeniedError, match=r"has no right to|is an author of change"):
        world.approve(number, who)
    with pytest.raises(DeniedError, match="has no right to"):
        reject(world.installation, number, said, world.now)


def test_an_approval_that_expired_can_be_given_again(world: World) -> None:
    _, number = opened(world)
    world.approve(number)
    with pytest.raises(DeniedError, match="bob has approved change"):
        world.approve(number, "bob")
    world.now += timedelta(hours=1)
    with pytest.raises(DeniedError, match="0 of 2 approvals"):
        world.activate(number)

    world.approve(number)
    world.activate(number)
    assert world.endpoint().stable is not None


def test_what_was_rejected_or_withdrawn_is_over(world: World) -> None:
    release, rejected = opened(world)
    withdrawn = world.open(release)
    bob, alice = (rejected, "bob", "change.reject", reject), (withdrawn, "alice", "change.withdraw", withdraw)
    for number, who, act, verb in (bob, alice):
        world.approve(number)
        content = world.change(number).content
        verb(world.installation, number, world.say(who, act, change_subject(number), after=content), world.now)

        with pytest.raises(DeniedError, match="not opened"):
            world.activate(number)
        with pytest.raises(DeniedError, match="not opened"):
            world.approve(number, "carol")


def test_a_change_is_carried_out_once(world: World) -> None:
    _, number = opened(world)
    world.approve(number)
    world.activate(number)

    with pytest.raises(DeniedError, match=f"change {number} is closed, not opened"):
        world.activate(number)
    with pytest.raises(DeniedError, match="there is no change 999"):
        assess(world.installation, 999, world.now)


def test_asking_the_gate_changes_nothing(world: World) -> None:
    _, number = opened(world)
    size = world.memory.size()
    with pytest.raises(DeniedError, match="0 of 2 approvals"):
        assess(world.installation, number, world.now)
    assert world.memory.size() == size

    world.approve(number)
    assert [str(name) for name in assess(world.installation, number, world.now).approvers] == ["bob", "carol"]


def test_a_word_for_one_act_is_not_heard_as_another(world: World) -> None:
    _, number = opened(world)
    content = world.change(number).content
    approval = world.say("bob", "change.approve", change_subject(number), after=content)
    elsewhere = world.say("bob", "change.approve", change_subject(number + 1), after=content)
    expired = world.say("bob", "change.approve", change_subject(number), after=content, lasts=timedelta())

    with pytest.raises(VerificationError, match="this is change"):
        reject(world.installation, number, approval, world.now)
    with pytest.raises(DeniedError, match="the intent says object"):
        approve(world.installation, number, elsewhere, world.now)
    with pytest.raises(DeniedError, match=r"the word of bob .* expired"):
        approve(world.installation, number, expired, world.now)
    with pytest.raises(VerificationError, match="this is change"):
        activate(world.installation, number, approval, world.now)


def test_who_saw_another_log_is_not_heard(world: World) -> None:
    _, number = opened(world)
    publish_checkpoint(world.installation)
    size, root = world.memory.root()

    def approval(head: Head):
        after = world.change(number).content
        said = Intent(
            "change.approve",
            f"change/{number}",
            None,
            after,
            Name("bob"),
            "0123456789abcdef",
            world.now + timedelta(1),
            head,
        )
        return sign_intent(said, key("bob"))

    for head in (Head(size, Digest.of(b"")), Head(size + 1, Digest(root.hex()))):
        with pytest.raises(VerificationError, match=r"saw a log head of size .* that this log never had"):
            approve(world.installation, number, approval(head), world.now)
    approve(world.installation, number, approval(Head(size, Digest(root.hex()))), world.now)


def test_a_denial_is_recorded_once_a_minute_without_its_words(world: World) -> None:
    denied = DeniedError("a secret reason")

    for second in (0, 30, 60):
        now = world.now + timedelta(seconds=second)
        record_denial(world.installation, "eve", "change.approve", "change/7" + "x" * 999, denied, now)

    facts = [read_fact(entry) for entry in world.memory.entries(0, world.memory.size())]
    found = [(one.actor, event) for one, event in facts if isinstance(event, Denied)]
    assert len(found) == 2 and {actor for actor, _ in found} == {"eve"} and len(found[0][1].object) == 256
    assert b"secret" in world.memory.document(found[0][1].reasons)
    assert not any(b"secret" in entry for entry in world.memory.entries(0, world.memory.size()))


@pytest.mark.parametrize(
    ("wanted", "kept", "granted"),
    [
        ("sealed", "sealed", 1),
        ("sealed", "private", 0),
        ("sealed", "", 0),
        ("private", "private", 1),
        ("private", "sealed", 1),
    ],
)
def test_a_host_that_cannot_seal_serves_only_where_the_policy_lets_it(
    wanted: Literal["sealed", "private"], kept: str, granted: int
) -> None:
    world = World()
    world.policy = replace(policy(), version=2, endpoints={str(PROD): replace(rules(), hand_over=wanted)})
    world.adopt(world.trust, world.policy)
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, world.serve().digest),), kept)

    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    assert len(open_grant(document, request, world.trust, world.now).granted) == granted


def test_a_release_crosses_into_another_environment_with_its_passport(world: World) -> None:
    dev = World("dev")
    submitted, manifest = dev.submission()
    submit(dev, submitted, manifest)
    world.submission()
    passport = export(dev.installation, manifest.tag)

    submit(world, replace(submitted, passport=passport), manifest)
    assert world.record("magika@1.0.0").imported_from == "dev"
    with pytest.raises(DeniedError, match="is not registered here"):
        passport_of(dev.installation, Tag.parse("magika@2.0.0"))


@pytest.mark.parametrize("spoil", ["unsigned", "another release", "another environment"])
def test_a_release_does_not_cross_without_the_word_of_who_let_it_go(world: World, spoil: str) -> None:
    dev = World("dev" if spoil != "another environment" else "staging")
    submitted, manifest = dev.submission()
    submit(dev, submitted, manifest)
    world.submission()
    passport = export(dev.installation, manifest.tag)
    if spoil == "unsigned":
        passport = replace(passport, export=None)
    if spoil == "another release":
        submitted, manifest = world.submission("1.1.0")

    with pytest.raises(VerificationError):
        submit(world, replace(submitted, passport=passport), manifest)


def test_nothing_was_ever_activated_where_nothing_was(world: World) -> None:
    with pytest.raises(DeniedError, match="nothing was ever activated at prod/magika"):
        passport_for(world.installation, PROD)


def test_a_head_that_another_log_signed_is_never_extended() -> None:
    world = World()
    signer = world.heads.signer
    _, other = World().memory.root()
    assert world.installation.checkpoints.newest() is None
    note = sign_checkpoint(Checkpoint(world.trust.origin, 1, other), signer)
    world.installation.checkpoints.publish(note, 1, other)

    with pytest.raises(UnavailableError, match="frozen: consistency proof"):
        publish_checkpoint(world.installation)
