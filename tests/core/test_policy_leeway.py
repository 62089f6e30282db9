"""What may a policy let go? Results, by people that it names, for a time; and emergencies, stricter elsewhere."""

from dataclasses import replace

import pytest

from lockgate.core.difference import Effect, differences, gaining
from lockgate.core.policy import Approvals, Emergencies, Overrides, check_policy, check_rules
from lockgate.core.proposal import unknown_people
from lockgate.core.rights import Role
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.core.dossiers import ruling, trusting
from tests.core.strategies import DEMANDS
from tests.world import NOW, policy, rules, trust

OLIVIA = Name("olivia")
BLOCK = Overrides((OLIVIA,), ("evaluation",), 48)
HURRY = Emergencies(Approvals(1, Role.SECURITY_AUTHORITY), 60, ("file-types",), DEMANDS, 14)
GOOD = replace(rules(), rollout=DEMANDS, overrides=BLOCK, emergencies=HURRY)


def stricter(**changes):
    return {"emergencies": replace(HURRY, rollout=replace(DEMANDS, **changes))}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"overrides": None, "emergencies": None},
        {"overrides": replace(BLOCK, about=("evaluation", "scan", "provenance"), longest_hours=720)},
        {"overrides": replace(BLOCK, by=(OLIVIA, Name("bob")), longest_hours=1)},
        {"emergencies": replace(HURRY, evaluations=(), decide_minutes=1, review_days=1)},
        {"emergencies": replace(HURRY, decide_minutes=10080, review_days=90)},
        {"emergencies": replace(HURRY, authority=Approvals(2, Role.SECURITY_AUTHORITY))},
        stricter(first_weight=1, least_seconds=301, window_seconds=3600, metrics=("errors", "latency", "tool")),
        {"rollout": None},
        {"rollout": None, **stricter(first_weight=50, least_seconds=60, metrics=("errors",))},
    ],
)
def test_these_mean_something(changes):
    check_rules("prod/magika", replace(GOOD, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"overrides": replace(BLOCK, by=())}, "overrides.by names nothing"),
        ({"overrides": replace(BLOCK, by=(OLIVIA, OLIVIA))}, "overrides.by names nothing, or something twice"),
        ({"overrides": replace(BLOCK, about=())}, "overrides.about names nothing"),
        ({"overrides": replace(BLOCK, about=("scan", "scan"))}, "or something twice"),
        *(
            ({"overrides": replace(BLOCK, about=("evaluation", kind))}, "nobody may override")
            for kind in ("integrity", "approvals", "rollout", "components", "pins", "everything", "")
        ),
        ({"overrides": replace(BLOCK, longest_hours=0)}, "an override lasts 1 to 720 hours, not 0"),
        ({"overrides": replace(BLOCK, longest_hours=721)}, "an override lasts 1 to 720 hours, not 721"),
        ({"emergencies": replace(HURRY, authority=Approvals(0, Role.SECURITY_AUTHORITY))}, "at least one security-"),
        ({"emergencies": replace(HURRY, authority=Approvals(-1, Role.SECURITY_AUTHORITY))}, "at least one security-"),
        *(
            ({"emergencies": replace(HURRY, authority=Approvals(1, role))}, "at least one security-authority")
            for role in Role
            if role is not Role.SECURITY_AUTHORITY
        ),
        ({"emergencies": replace(HURRY, decide_minutes=0)}, "decided in 1 minute to 7 days"),
        ({"emergencies": replace(HURRY, decide_minutes=10081)}, "decided in 1 minute to 7 days"),
        ({"emergencies": replace(HURRY, review_days=0)}, "reviewed in 1 to 90 days"),
        ({"emergencies": replace(HURRY, review_days=91)}, "reviewed in 1 to 90 days"),
        ({"emergencies": replace(HURRY, evaluations=("other",))}, "names a suite twice, or one that is not demanded"),
        ({"emergencies": replace(HURRY, evaluations=("file-types",) * 2)}, "names a suite twice"),
        (stricter(required=False), "an emergency always comes by a rollout"),
        (stricter(first_weight=6), "emergencies.rollout is weaker than rollout: first_weight"),
        (stricter(least_seconds=299), "emergencies.rollout is weaker than rollout: least_seconds"),
        (stricter(metrics=("errors",)), "emergencies.rollout is weaker than rollout: metrics"),
        (stricter(window_seconds=86_401), "emergencies.rollout is weaker than rollout: window_seconds"),
        ({"rollout": None, **stricter(first_weight=51)}, "begins with 50 % at most"),
        ({"rollout": None, **stricter(least_seconds=59)}, "pauses for 60 s"),
        ({"rollout": None, **stricter(metrics=())}, "and is judged"),
        (stricter(first_weight=0), "a rollout begins with 1 to 100 %"),
    ],
)
def test_what_would_let_more_go_than_anybody_means_is_refused(changes, reason):
    with pytest.raises(VerificationError, match=reason):
        check_rules("prod/magika", replace(GOOD, **changes))
    with pytest.raises(VerificationError, match=reason):
        check_policy(ruling(**{"rollout": DEMANDS, **changes}), NOW)


@pytest.mark.parametrize(
    ("name", "trusted", "unknown"),
    [
        ("olivia", trust(), False),
        ("bob", trust(), False),
        ("dave", trust(), False),
        ("nobody", trust(), True),
        ("alice", trust(), True),
        ("ci", trust(), True),
        ("olivia", trusting("olivia", roles=(Role.AUDITOR,)), True),
    ],
)
def test_who_overrides_is_somebody_of_the_trust_document_who_may_ask(name, trusted, unknown):
    found = unknown_people(ruling(overrides=replace(BLOCK, by=(Name(name),))), trusted)

    assert bool(found) == unknown
    assert unknown_people(policy(), trusted) == []


def test_a_policy_of_before_reads_as_it_was():
    written = plain.to_plain(policy())
    (old,) = written["endpoints"].values()
    del old["overrides"], old["emergencies"]

    assert plain.from_plain(type(policy()), written, "policy") == policy()


def said(old, new):
    return [(one.effect, one.says) for one in differences(ruling(**old), ruling(**new))]


@pytest.mark.parametrize(
    ("old", "new", "weakens", "says"),
    [
        ({}, {"overrides": BLOCK}, True, "lets olivia override evaluation at prod/magika"),
        ({"overrides": BLOCK}, {}, False, "lets nobody override anything at prod/magika any more"),
        ({"overrides": BLOCK}, {"overrides": replace(BLOCK, by=(OLIVIA, Name("bob")))}, True, "lets bob override at"),
        ({"overrides": BLOCK}, {"overrides": replace(BLOCK, about=("scan",))}, True, "lets scan be overridden at"),
        ({"overrides": BLOCK}, {"overrides": replace(BLOCK, longest_hours=49)}, True, "from 48 to 49"),
        ({"overrides": BLOCK}, {"overrides": replace(BLOCK, longest_hours=47)}, False, "from 48 to 47"),
        ({}, {"emergencies": HURRY}, True, "lets emergencies be at prod/magika: 1 approvals by the role security-"),
        ({"emergencies": HURRY}, {}, False, "lets no emergency be at prod/magika any more"),
        ({"emergencies": HURRY}, {"emergencies": replace(HURRY, decide_minutes=61)}, True, "from 60 to 61"),
        ({"emergencies": HURRY}, {"emergencies": replace(HURRY, review_days=13)}, False, "from 14 to 13"),
        ({"emergencies": HURRY}, {"emergencies": replace(HURRY, evaluations=())}, True, "no longer demands suite"),
        (
            {"emergencies": HURRY},
            {"emergencies": replace(HURRY, rollout=replace(DEMANDS, first_weight=4))},
            False,
            "from 5 % to 4 %",
        ),
        (
            {"emergencies": HURRY},
            {"emergencies": replace(HURRY, authority=Approvals(2, Role.SECURITY_AUTHORITY))},
            False,
            "raises how many people must approve emergencies at prod/magika, from 1 to 2",
        ),
    ],
)
def test_each_difference_says_whether_it_weakens(old, new, weakens, says):
    found = said(old, new)

    wanted = Effect.WEAKENS if weakens else Effect.STRENGTHENS
    assert any(effect is wanted and says in text for effect, text in found), found


@pytest.mark.parametrize("more", [{"about": ("evaluation", "scan")}, {"about": ("scan",)}, {"longest_hours": 49}])
def test_who_may_override_more_from_now_on_does_not_approve_that(more):
    old, new = ruling(overrides=BLOCK), ruling(overrides=replace(BLOCK, **more))

    assert OLIVIA in gaining(differences(old, new))
    assert OLIVIA not in gaining(differences(new, old)) or more == {"about": ("scan",)}


def test_who_may_override_from_now_on_does_not_approve_that():
    new = ruling(overrides=BLOCK)

    assert {one.to for one in differences(policy(), new)} == {None, OLIVIA}
