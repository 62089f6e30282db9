"""When does a rollout begin, and what does a host believe of a candidate, before and after it was promoted?"""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lockgate.app.activate import assess
from lockgate.app.decide_change import open_change
from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.core.box import Occasion, sealing_key, unseal
from lockgate.core.lease import Grant, Request, Want, open_grant, sign_request
from lockgate.core.strategy import SetWeight
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.strategies import CANARY, DEMANDS, canary
from tests.rolling import (
    asked,
    begin,
    content,
    demand,
    go_on,
    open_rollout,
    order,
    rollout,
    try_candidate,
    weights,
)
from tests.world import PROD, key


def test_a_rollout_begins_only_if_what_it_may_have_to_go_back_to_is_whole(world):
    world.serve("1.0.0")
    release = world.register("1.1.0")
    world.attest(release)
    number = open_rollout(world, release)
    world.approve(number)
    size, lost = world.memory.size(), world.blobs.blobs.pop(Digest.of(b"weights 1.0.0"))

    with pytest.raises(UnavailableError):
        world.activate(number)
    assert world.memory.size() == size and weights(world) == {"magika@1.0.0": 100}
    world.blobs.blobs[Digest.of(b"weights 1.0.0")] = lost
    world.activate(number)


def test_a_rollout_does_not_begin_beside_a_revoked_release(world):
    world.serve("1.0.0")
    release = world.register("1.1.0")
    world.attest(release)
    number = open_rollout(world, release)
    world.approve(number)
    world.revoke("magika@1.0.0")

    with pytest.raises(DeniedError, match="revoked"):
        world.activate(number)


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (canary(steps=(SetWeight(120),)), "step 1 sets the weight 120"),
        (canary(steps=(SetWeight(50), SetWeight(5))), "it never falls"),
        (canary(metrics=()), "no metric brings data that counts"),
    ],
)
def test_a_strategy_that_means_nothing_is_not_asked_for(world, strategy, reason):
    world.serve("1.0.0")

    with pytest.raises(DeniedError, match=reason):
        open_rollout(world, world.register("1.1.0"), strategy)


def test_a_strategy_is_asked_for_beside_another_release_only(world):
    first = world.register("1.0.0")
    with pytest.raises(DeniedError, match="nothing serves at prod/magika that a candidate could be compared with"):
        open_rollout(world, first)
    world.attest(first)
    number = world.open(first)
    world.approve(number)
    world.activate(number)

    with pytest.raises(DeniedError, match=r"prod/magika serves magika@1\.0\.0 already"):
        open_rollout(world, first)
    world.shut_down()
    with pytest.raises(DeniedError, match="nothing serves at prod/magika that a candidate"):
        open_rollout(world, world.register("1.1.0"))


def test_a_strategy_and_its_digest_go_together(world):
    world.serve("1.0.0")
    release = world.register("1.1.0")
    for document, digest in ((None, CANARY.digest), (plain.encode(CANARY), None), (b"{}", CANARY.digest)):
        wanted = replace(content(world, release), strategy=digest)
        signed = world.say("alice", "change.open", PROD, before=wanted.before, after=wanted.digest)
        with pytest.raises(DeniedError, match="the strategy"):
            open_change(world.installation, wanted, signed, world.now, document)


def test_what_a_policy_demands_of_rollouts_is_asked_when_a_change_is_opened_and_carried_out(world):
    world.serve("1.0.0")
    release = world.register("1.1.0")
    world.attest(release)
    before = open_rollout(world, release, None)
    demand(world, DEMANDS)

    with pytest.raises(DeniedError, match="the policy demands a rollout, and the change has no strategy"):
        open_rollout(world, release, None)
    with pytest.raises(DeniedError, match="the candidate begins with 20 % of the traffic, the policy allows 5 %"):
        open_rollout(world, release, canary(steps=(SetWeight(20), *CANARY.steps[1:])))
    with pytest.raises(DeniedError, match="was opened under policy"):
        assess(world.installation, before, world.now)
    number = open_rollout(world, release)
    world.approve(number)
    world.activate(number)
    assert rollout(world).weight == 0


def test_the_first_activation_and_a_resumption_need_no_strategy(world):
    demand(world, DEMANDS)
    release = world.serve("1.0.0")
    world.shut_down()
    number = world.open(release, resumes=True)
    world.approve(number)
    world.activate(number)

    assert world.admit().candidate is False


def test_a_host_tries_a_candidate_by_its_passport_and_takes_it_for_nothing_else(world):
    begin(world)
    admission = try_candidate(world)
    lease = asked(world, "magika@1.1.0")["magika@1.1.0"]

    assert admission.candidate and admission.strategy == CANARY and admission.epoch == lease.epoch
    with pytest.raises(VerificationError, match="the passport is of a candidate at prod/magika"):
        world.admit(passport_for(world.installation, PROD, candidate=True))
    with pytest.raises(VerificationError, match="the passport is of the stable release at prod/magika"):
        try_candidate(world, passport_for(world.installation, PROD))


def test_after_the_promotion_the_passport_is_of_the_stable_release(world):
    begin(world)
    epoch = try_candidate(world).epoch
    order(world, "promote")

    admission = world.admit()
    assert not admission.candidate and admission.epoch == epoch
    with pytest.raises(DeniedError, match="no rollout is in flight"):
        passport_for(world.installation, PROD, candidate=True)


def test_after_an_abort_the_passport_of_the_candidate_gets_no_lease(world):
    begin(world)
    kept = passport_for(world.installation, PROD, candidate=True)
    order(world, "abort")

    assert try_candidate(world, kept).candidate and asked(world, "magika@1.1.0") == {}
    assert str(world.admit().permit.release.manifest.tag) == "magika@1.0.0"


def test_after_a_rollback_to_what_was_promoted_the_passport_tells_both(world):
    begin(world)
    order(world, "promote")
    world.serve("1.2.0")
    world.roll_back()

    passport = passport_for(world.installation, PROD)
    assert passport.case.promoted and passport.case.rolled_back
    assert world.admit(passport).epoch == asked(world, "magika@1.1.0")["magika@1.1.0"].epoch
    with pytest.raises(VerificationError, match="a rollback to what was never promoted"):
        world.admit(replace(passport, case=replace(passport.case, promoted=None)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strategy": None}, "the strategy is sha256:e3b0"),
        ({"strategy": plain.encode(canary(on_failure="pause")).decode()}, f"not {CANARY.digest}"),
    ],
)
def test_a_passport_whose_strategy_nobody_approved_is_refused(world, changes, reason):
    begin(world)
    passport = passport_for(world.installation, PROD, candidate=True)

    with pytest.raises(DeniedError, match=reason):
        try_candidate(world, replace(passport, case=replace(passport.case, **changes)))


def test_a_passport_without_the_strategy_that_the_log_names_is_refused(world):
    begin(world)
    passport = passport_for(world.installation, PROD, candidate=True)
    other = replace(passport.case.content, strategy=None)

    with pytest.raises(DeniedError, match="the intent says after"):
        world.admit(replace(passport, case=replace(passport.case, content=other, strategy=None)))


def test_only_the_promotion_of_this_very_candidate_makes_it_stable(world):
    begin(world)
    candidate = passport_for(world.installation, PROD, candidate=True)
    order(world, "promote")
    whole = passport_for(world.installation, PROD)
    assert world.admit(whole)

    for name in ("activated", "registered"):
        entry = whole.registered if name == "registered" else whole.case.activated
        with pytest.raises(VerificationError, match=r"not rollout\.promoted/v1"):
            world.admit(replace(whole, case=replace(whole.case, promoted=entry)))
    with pytest.raises(VerificationError, match="proved by different log heads"):
        world.admit(replace(whole, case=replace(whole.case, activated=candidate.case.activated)))


def test_the_log_keeps_its_time_for_every_step(world):
    begin(world)
    started = rollout(world).candidate.at
    go_on(world, after=5)

    assert rollout(world).since == started + timedelta(seconds=5)


def test_a_host_that_may_try_a_candidate_gets_the_keys_of_its_files_until_it_is_aborted(world):
    begin(world)
    secret = X25519PrivateKey.generate()
    want = Want(PROD, world.record("magika@1.1.0").release, keys=True)
    request = Request(Name("host-1"), "0123456789abcdef", (want,), "sealed", sealing_key(secret))

    def answered() -> Grant:
        document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
        return open_grant(document, request, world.trust, world.now)

    box = answered().granted[0].keys
    assert box is not None
    occasion = Occasion(Name("host-1"), request.nonce, want.release, PROD)
    assert Digest.of(b"weights 1.1.0") in unseal(box, secret, occasion)
    order(world, "abort")
    assert answered().granted == ()
