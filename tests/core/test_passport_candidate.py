"""Whose promotion does a host believe? That of this candidate by this change, later than its activation, in one log."""

from dataclasses import replace
from functools import cache

import pytest

from lockgate.core.decision import decision_of, sign_decision
from lockgate.core.endpoint import Activated
from lockgate.core.gate import judge
from lockgate.core.passport import admit_candidate
from lockgate.core.release import Registered
from lockgate.core.rollout import Promoted
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.core.dossiers import AT, MINUTE, NUMBER, REGISTERED, agree, approval, content_of, good, release, ruling, say
from tests.core.passports import HERE, NOW, admitted, entry, forge, logged
from tests.core.strategies import CANARY, DEMANDS, canary
from tests.world import NOTHING_REVOKED, PROD, key, policy, trust

STABLE = Digest.of(b"the release that serves")
PROMOTED_AT = 11


@cache
def rolled_out(strategy=CANARY):
    """Write the case of a candidate: the good one, for a change with a strategy."""
    content = content_of(release(), before=STABLE, epoch=5, strategy=strategy.digest)
    return replace(
        good(),
        content=content,
        opening=say("alice", "change.open", PROD, before=STABLE, after=content.digest),
        approvals=tuple(approval(content, who) for who in ("bob", "carol")),
        strategy=plain.encode(strategy),
    )


@cache
def decided(strategy=CANARY):
    permit = judge(rolled_out(strategy), PROD, agree(trust()), agree(policy()), NOTHING_REVOKED, AT)
    return sign_decision(decision_of(permit, NUMBER), key("prod-vsa")).decode()


def promotion(**changes):
    tag = release().manifest.tag
    return replace(Promoted(PROD, tag, release().digest, STABLE, NUMBER, STABLE), **changes)


def candidate(*, promoted=None, at=AT + 5 * MINUTE, here=PROMOTED_AT, activation=None, strategy=CANARY, size=16):
    """Write the passport of a candidate; `promoted` is what the log holds about its promotion."""
    dossier, tag = rolled_out(strategy), release().manifest.tag
    began = Activated(
        PROD, tag, release().digest, STABLE, NUMBER, Digest.of(decided(strategy).encode()), strategy.digest
    )
    began = replace(began, **(activation or {}))
    of_release = Registered(
        tag, release().digest, Digest.of(dossier.manifest), {}, dossier.registration.digest, Name("alice")
    )
    facts = {
        HERE["registered"]: entry(of_release, HERE["registered"], REGISTERED),
        HERE["activated"]: entry(began, HERE["activated"], AT),
    }
    if promoted is not None:
        facts[here] = entry(promoted, here, at)
    proofs = logged(facts, size=size)
    passport = forge()
    case = replace(
        passport.case,
        content=dossier.content,
        opening=dossier.opening,
        approvals=dossier.approvals,
        decision=decided(strategy),
        activated=proofs[HERE["activated"]],
        strategy=plain.encode(strategy).decode(),
        promoted=proofs[here] if promoted is not None else None,
    )
    return replace(passport, registered=proofs[HERE["registered"]], case=case)


def tried(passport, ruled=None):
    return admit_candidate(passport, PROD, agree(trust()), agree(ruled or policy()), NOTHING_REVOKED, NOW)


def refused(reason, passport, error=VerificationError, judge_it=admitted):
    with pytest.raises(error, match=reason):
        judge_it(passport)


def test_a_candidate_is_tried_by_who_asks_for_one_and_is_never_the_stable_release():
    admission = tried(candidate())

    assert admission.candidate and admission.strategy == CANARY and admission.epoch == HERE["activated"]
    refused("the passport is of a candidate at prod/magika", candidate())


def test_a_candidate_whose_promotion_is_proved_is_the_stable_release_at_the_same_epoch():
    admission = admitted(candidate(promoted=promotion()))

    assert not admission.candidate and admission.epoch == HERE["activated"]
    refused("of the stable release at prod/magika", candidate(promoted=promotion()), judge_it=tried)
    refused("of the stable release at prod/magika", forge(), judge_it=tried)


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": Endpoint.parse("prod/other")},
        {"tag": Tag.parse("magika@9.9.9")},
        {"release": STABLE},
        {"before": release().digest},
        {"change": NUMBER + 1},
    ],
)
def test_the_promotion_of_anything_else_promotes_nothing(changes):
    refused(
        "the promotion in the log is of another release, endpoint or change",
        candidate(promoted=promotion(**changes)),
    )


@pytest.mark.parametrize("when", [{"here": 8}, {"at": AT - MINUTE}])
def test_a_promotion_from_before_the_activation_is_none(when):
    refused("the promotion in the log is older than the activation", candidate(promoted=promotion(), **when))


def test_another_event_is_no_promotion():
    passport = candidate()

    refused(
        r"the log entry is endpoint\.activated/v1, not rollout\.promoted/v1",
        replace(passport, case=replace(passport.case, promoted=passport.case.activated)),
    )


def test_a_promotion_in_another_log_is_none():
    passport, other = candidate(), candidate(promoted=promotion(), size=15)

    refused(
        "proved by different log heads", replace(passport, case=replace(passport.case, promoted=other.case.promoted))
    )


def test_what_began_without_a_strategy_was_never_promoted():
    passport = forge(events={"promoted": promotion(before=None)}, here={"promoted": 11}, then={"promoted": NOW})
    case = replace(passport.case, promoted=passport.case.activated)
    refused(r"not rollout\.promoted/v1", replace(passport, case=case))


@pytest.mark.parametrize("strategy", [None, canary(on_failure="pause").digest])
def test_the_log_must_name_the_strategy_that_was_approved(strategy):
    refused("about another release, endpoint or decision", candidate(activation={"strategy": strategy}), judge_it=tried)


def test_a_host_demands_of_rollouts_what_its_own_policy_says():
    assert tried(candidate(), ruling(rollout=DEMANDS)).candidate
    strict = ruling(rollout=replace(DEMANDS, first_weight=1))
    with pytest.raises(DeniedError, match="begins with 5 % of the traffic, the policy allows 1 %"):
        tried(candidate(), strict)


def test_without_a_rollout_that_a_policy_demands_nothing_is_admitted_but_the_first():
    assert admitted(forge(), ruled=ruling(rollout=DEMANDS))
