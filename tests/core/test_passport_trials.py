"""Does a host see every trial that the decision rests on, and only those that the log holds?"""

from dataclasses import replace
from functools import cache

import pytest

from lockgate.core.decision import decision_of, sign_decision
from lockgate.core.trial import Begun
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag
from tests.core.dossiers import AT, REGISTERED, TICK, release, statement
from tests.core.passports import activated, admitted, forge
from tests.core.passports import decision as any_decision
from tests.core.trials import BEGUN, NUMBER, TRIAL, demanding, permitted, scanned
from tests.core.trials import complete as whole
from tests.world import key

OTHER = Digest.of(b"another")
TRIED = replace(TRIAL, number=NUMBER - 1)


def begun(trial=TRIAL, **changes):
    event = Begun(
        release().manifest.tag, release().digest, trial.suite, trial.suite_version, trial.suite_digest, trial.demands,
        trial.endpoint, trial.policy, trial.by,
    )  # fmt: skip
    return replace(event, **changes)


@cache
def complete():
    return whole()


@cache
def honest():
    return permitted(complete())


def passport(case=None, *, permit=None, events=None, here=None, then=None, considered="all", decided=None, **changes):
    """Write a passport of a release that was tried, with what is changed about it."""
    case, permit = case or complete(), permit or honest()
    decided = sign_decision(replace(decision_of(permit, 7), **(decided or {})), key("prod-vsa")).decode()
    what = permit.considered if considered == "all" else considered
    told = {"activated": activated(decided, considered=what), "trial": begun()} | (events or {})
    where, when = {"trial": NUMBER} | (here or {}), {"trial": BEGUN} | (then or {})
    return forge(case=case, decided=decided, events=told, here=where, then=when, **changes)


def refused(found, reason, error=VerificationError):
    with pytest.raises(error, match=reason):
        admitted(found, ruled=demanding())


def test_a_release_that_was_tried_is_admitted_with_its_trials():
    assert admitted(passport(), ruled=demanding()).permit.trials == (TRIAL,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"release": OTHER}, "trial 5 in the passport is of another release"),
        ({"tag": Tag.parse("magika@1.0.1")}, "trial 5 in the passport is of another release"),
    ],
)
def test_a_trial_of_another_release_is_none(changes, reason):
    refused(passport(events={"trial": begun(**changes)}), reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"suite": "others"}, "trial 5, which the log does not hold"),
        ({"demands": OTHER}, "begun under other demands"),
        ({"suite_digest": OTHER}, "with the content"),
        ({"policy": OTHER}, "was begun under policy"),
    ],
)
def test_the_gate_of_the_host_sees_what_the_log_says_of_a_trial(changes, reason):
    refused(passport(events={"trial": begun(**changes)}), reason, DeniedError)


@pytest.mark.parametrize(
    ("where", "when"),
    [(2, BEGUN), (10, BEGUN), (NUMBER, REGISTERED - TICK), (NUMBER, AT + TICK)],
)
def test_a_trial_lies_between_registration_and_activation(where, when):
    refused(passport(here={"trial": where}, then={"trial": when}), "not in the order in which they were begun")


def test_trials_lie_in_the_order_in_which_they_were_begun():
    found = passport(events={"trial-0": begun(TRIED)}, here={"trial-0": NUMBER - 1}, then={"trial-0": BEGUN - TICK})

    refused(found, "not in the order in which they were begun")
    refused(replace(found, trials=(found.trials[0], found.trials[0])), "not in the order")


def test_a_trial_is_one_entry_under_the_same_head():
    elsewhere = passport(log={"size": 17})

    refused(replace(passport(), trials=elsewhere.trials), "proved by different log heads")
    refused(replace(passport(), trials=(passport().registered,)), r"is release.registered/v1, not trial.begun/v1")
    refused(replace(passport(), trials=(replace(passport().trials[0], entry="{}"),)), ".")


def test_without_its_trial_a_result_counts_for_nothing():
    refused(replace(passport(), trials=None), "which the log does not hold for this release", DeniedError)


def test_a_decision_names_its_trials_and_the_passport_has_each():
    decided = decision_of(honest(), 7)

    assert decided.trials == (NUMBER,)
    refused(passport(decided={"trials": None}), "says another trials than what follows")
    refused(passport(decided={"trials": (NUMBER, NUMBER + 1)}), "says another trials than what follows")


def test_the_log_says_on_what_was_decided():
    refused(passport(considered=OTHER), "was activated on other statements or trials")
    refused(passport(considered=None), "was activated on other statements or trials")


def test_what_was_passed_over_belongs_to_the_passport_too():
    foreign = statement(release(), scanned("scan/odd"), "mallory")
    case = replace(complete(), evidence=(*complete().evidence, foreign))
    permit = permitted(case)

    assert permit.passed_over == (Digest.of(foreign),)
    assert admitted(passport(case, permit=permit), ruled=demanding()).permit.passed_over == permit.passed_over
    refused(passport(complete(), permit=permit), "not that on which the server decided")
    refused(passport(case, permit=honest()), "not that on which the server decided")
    refused(passport(case, permit=permit, considered=honest().considered), "on other statements or trials")


def test_an_activation_of_before_trials_says_nothing_of_them():
    assert admitted(forge(decided=any_decision())).permit.trials == ()
    tried = {"events": {"trial": begun()}, "here": {"trial": NUMBER}, "then": {"trial": BEGUN}}
    with pytest.raises(VerificationError, match="says another trials"):
        admitted(forge(decided=any_decision(), **tried))
