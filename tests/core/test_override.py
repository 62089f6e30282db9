"""What does an override set aside? What it names, by whom the policy names, while it is in force; and nothing else."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.evidence import Verdict
from lockgate.core.override import Aside, Override, Overriding, SetAside, seen_of, set_aside
from lockgate.core.policy import OVERRIDABLE, Approvals, Overrides
from lockgate.core.requirement import Objection
from lockgate.core.revocation import Revocation, Revocations
from lockgate.core.rights import Role
from lockgate.core.trial import Trial
from lockgate.core.writing import MAX_WRITING, open_writing
from lockgate.errors import LockgateError, VerificationError
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Version
from tests.core.dossiers import AT, NUMBER, TICK, denied, evidence, good, judged, ruling, run, say, trusting
from tests.world import PROD, key, trust

OLIVIA, DAVE = Name("olivia"), Name("dave")
HOUR = timedelta(hours=1)
WHY, OTHER = Digest.of(b"it is only the test set"), Digest.of(b"other")
SUITE = Aside("evaluation", "file-types")
BLOCK = Overrides((OLIVIA,), ("evaluation",), 48)
CONTENT = good().content.digest
FAILED = evidence(run(result=Verdict.FAILED))
BOTH = (SUITE, Aside("evaluation", "another"))
SEEN = seen_of((SUITE,), FAILED.evidence, ())
DOCUMENT = Override(NUMBER, CONTENT, (SUITE,), SEEN, WHY, AT - HOUR, AT + HOUR)


def overriding(who="olivia", document=DOCUMENT, signer=None, **changes):
    said = {"act": "change.override", "object_": f"change/{NUMBER}", "before": CONTENT, "after": document.digest}
    return Overriding(document, say(who, **{**said, **changes}, signer=signer))


def ruled(**changes):
    return ruling(overrides=replace(BLOCK, **changes))


def test_what_was_overridden_is_let_through_and_the_permit_says_by_whom_until_when_and_why():
    permit = judged(FAILED, ruled=ruled(), overrides=(overriding(),))

    assert permit.aside == (SetAside(SUITE, OLIVIA, AT + HOUR, WHY),)
    other = overriding(document=replace(DOCUMENT, seen=seen_of((SUITE,), good().evidence, ())))
    assert judged(good(), ruled=ruled(), overrides=(other,)).aside == ()


def test_without_it_the_result_stays_in_the_way():
    denied("suite file-types FAILED", FAILED, ruled=ruled())


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (overriding("dave"), "the policy does not let dave override anything here"),
        (overriding("bob"), "the policy does not let bob override anything here"),
        (overriding("ci"), "ci has no right to change.override"),
        (overriding("ann"), "ann has no right to change.override"),
        (overriding("nobody"), "nobody called nobody may act"),
        (overriding(signer="mallory"), "no key that is trusted for this has signed it"),
        (overriding(act="change.approve"), "the intent says act change.approve"),
        (overriding(object_="change/8"), "the intent says object change/8"),
        (overriding(before=None), "the intent says before None"),
        (overriding(after=OTHER), "the intent says after"),
        (Overriding(replace(DOCUMENT, justification=OTHER), overriding().order), "the intent says after"),
        (overriding(document=replace(DOCUMENT, change=8)), "is about another change"),
        (overriding(document=replace(DOCUMENT, content=OTHER)), "is about another change, or another content"),
        (overriding(document=replace(DOCUMENT, about=())), "names no reason"),
        (overriding(document=replace(DOCUMENT, about=(SUITE, SUITE))), "or one twice"),
        (overriding(document=replace(DOCUMENT, about=(Aside("scan", "scan"),))), "scan:scan, which the policy lets"),
        (overriding(document=replace(DOCUMENT, about=(SUITE, Aside("integrity", "change")))), "integrity:change"),
        (overriding(document=replace(DOCUMENT, expires=AT)), "expired at"),
        (overriding(document=replace(DOCUMENT, begins=AT + TICK)), "begins at"),
        (overriding(document=replace(DOCUMENT, expires=AT + 47 * HOUR + TICK)), "longer than 48 hours"),
    ],
)
def test_a_near_miss_sets_nothing_aside(one, reason):
    reasons = denied("suite file-types FAILED", FAILED, ruled=ruled(), overrides=(one,))

    assert any(reason in found for found in reasons), reasons


@pytest.mark.parametrize(
    "document",
    [
        replace(DOCUMENT, expires=AT + TICK),
        replace(DOCUMENT, begins=AT),
        replace(DOCUMENT, expires=AT + 47 * HOUR),
        replace(DOCUMENT, about=BOTH, seen=seen_of(BOTH, FAILED.evidence, ())),
    ],
)
def test_just_inside_it_does(document):
    assert judged(FAILED, ruled=ruled(), overrides=(overriding(document=document),)).aside


@pytest.mark.parametrize(
    ("policy", "trusted", "reason"),
    [
        (ruling(), None, "the policy does not let olivia override anything here"),
        (ruled(by=(DAVE,)), None, "the policy does not let olivia override anything here"),
        (ruled(about=("scan",)), None, "which the policy lets nobody override"),
        (ruled(longest_hours=1), None, "longer than 1 hours"),
        (ruled(), trusting("olivia", roles=(Role.AUDITOR,)), "olivia has no right to change.override"),
        (ruled(), trusting("olivia", until=AT), "nobody called olivia may act"),
        (ruled(), trusting("olivia", keys=(key("mallory").public,)), "no key that is trusted for this"),
        (ruled(), trusting("ci-components", person=OLIVIA), "olivia is an author of this change and cannot override"),
    ],
)
def test_the_rules_of_the_instant_decide(policy, trusted, reason):
    reasons = denied("suite file-types FAILED", FAILED, ruled=policy, trusted=trusted, overrides=(overriding(),))

    assert any(reason in found for found in reasons), reasons


def test_a_policy_that_was_signed_with_integrity_in_it_lets_nobody_override_that():
    about = tuple(sorted({*OVERRIDABLE, "integrity", "approvals"}))
    asides = (Aside("approvals", "approvals"), Aside("integrity", "change"))
    one = overriding(document=replace(DOCUMENT, about=asides))

    denied("0 of 2 approvals", good(), ruled=ruled(about=about), overrides=(one,), approvals=())
    other = replace(good(), content=replace(good().content, reason="another"))
    denied("the intent says after", other, ruled=ruled(about=about), overrides=(one,))


def test_what_is_revoked_stays_revoked():
    gone = Revocation("release", good().content.release, None, (), "it leaks", OLIVIA, OTHER, AT, 1)

    denied(
        "is revoked", FAILED, ruled=ruled(), overrides=(overriding(),),
        revoked=Revocations(trust().environment, (gone,)),
    )  # fmt: skip


WORSE = evidence(run(result=Verdict.FAILED), run(result=Verdict.FAILED, suite_version="1.0.1"))
TRIED = (Trial(3, "file-types", Version(1, 0, 0), OTHER, OTHER, PROD, OTHER, Name("ci"), AT - HOUR),)


@pytest.mark.parametrize(
    ("case", "found"),
    [
        (WORSE, "suite file-types FAILED"),
        (evidence(run(result=Verdict.WARNED)), "suite file-types WARNED"),
        (replace(good(), evidence=good().evidence[:1]), "suite file-types has no result"),
        (replace(FAILED, trials=TRIED), "suite file-types FAILED"),
    ],
)
def test_another_result_or_another_trial_takes_another_override(case, found):
    reasons = denied(found, case, ruled=ruled(), overrides=(overriding(),))

    assert any("is about other results than there are now" in reason for reason in reasons)


def test_what_was_missing_when_it_was_overridden_does_not_cover_what_failed_afterwards():
    missing = replace(good(), evidence=good().evidence[:1])
    one = overriding(document=replace(DOCUMENT, seen=seen_of((SUITE,), missing.evidence, ())))

    assert judged(missing, ruled=ruled(), overrides=(one,)).aside
    denied("suite file-types FAILED", FAILED, ruled=ruled(), overrides=(one,))


def test_what_is_seen_are_the_statements_and_trials_of_exactly_that():
    others = (*FAILED.evidence, b"no statement", *evidence(run(suite="another")).evidence[1:])

    assert seen_of((SUITE,), others, ()) == SEEN
    parsed = [dsse.parse(one) for one in FAILED.evidence]
    again = [
        replace(one, signatures=tuple(replace(s, key_id="anew") for s in one.signatures)).encode() for one in parsed
    ]
    assert not {*again} & {*FAILED.evidence} and dsse.parse(again[1]).payload == parsed[1].payload
    assert seen_of((SUITE,), (*FAILED.evidence, *again), ()) == SEEN  # an envelope is written anew by anybody
    assert seen_of((SUITE,), FAILED.evidence[:1], ()) != SEEN
    assert seen_of((SUITE,), FAILED.evidence, [replace(TRIED[0], suite="another")]) == SEEN
    assert seen_of((SUITE,), FAILED.evidence, TRIED) != SEEN
    source = (Aside("provenance", "provenance"),)
    assert seen_of(source, FAILED.evidence, ()) == seen_of(source, good().evidence, TRIED)
    assert seen_of(source, FAILED.evidence[1:], ()) != seen_of(source, FAILED.evidence, ())


@pytest.mark.parametrize("count", [1, 2])
def test_who_overrode_does_not_approve_as_well(count):
    both = ruled(by=(Name("bob"),))
    policy = replace(both, endpoints={name: replace(one, approvals=Approvals(count, Role.APPROVER))
                                      for name, one in both.endpoints.items()})  # fmt: skip
    alone = FAILED.approvals[:count]

    reasons = denied(f"{count - 1} of {count} approvals", replace(FAILED, approvals=alone), ruled=policy,
                     overrides=(overriding("bob"),))  # fmt: skip
    assert any("bob overrode what is against this change" in reason for reason in reasons)


def test_it_sets_nothing_aside_that_it_does_not_name():
    reasons = denied(
        "1 of 2 approvals", FAILED, ruled=ruled(), overrides=(overriding(),), approvals=FAILED.approvals[:1]
    )

    assert not [reason for reason in reasons if "file-types" in reason]
    denied("no provenance", replace(FAILED, evidence=FAILED.evidence[1:]), ruled=ruled(), overrides=(overriding(),))


def test_of_two_overrides_the_one_that_lasts_longer_is_named():
    short = overriding("dave", replace(DOCUMENT, expires=AT + TICK, justification=OTHER))
    both = ruled(by=(OLIVIA, DAVE))

    assert judged(FAILED, ruled=both, overrides=(overriding(), short)).aside[0].by == OLIVIA
    assert judged(FAILED, ruled=both, overrides=(short, overriding())).aside[0].by == OLIVIA


KINDS = ["integrity", "evaluation", "scan", "provenance", "components", "pins", "rollout", "approvals"]
objections = st.lists(st.builds(Objection, st.sampled_from(KINDS), st.sampled_from("ab"), st.just("why")), max_size=6)
asides = st.lists(
    st.builds(
        SetAside,
        st.builds(Aside, st.sampled_from(KINDS), st.sampled_from("ab")),
        st.sampled_from([OLIVIA, DAVE]),
        st.sampled_from([AT, AT + HOUR]),
        st.just(WHY),
    ),
    max_size=6,
)


@given(objections, asides)
def test_whatever_is_set_aside_integrity_and_approvals_stay(found, allowed):
    kept, used = set_aside(found, [allowed])

    assert [one for one in found if one.kind not in OVERRIDABLE] == [one for one in kept if one.kind not in OVERRIDABLE]
    assert {one.what for one in used} <= {one.what for one in allowed} & {Aside(one.kind, one.about) for one in found}
    assert len(kept) + len([one for one in found if Aside(one.kind, one.about) in {a.what for a in used}]) == len(found)
    assert set_aside(found, []) == (found, ())


@pytest.mark.parametrize("text", ["", "evaluation", ":baseline", "evaluation:", "a:\n", "e:" + "x" * 200])
def test_what_is_no_name_of_a_reason_is_refused(text):
    with pytest.raises(VerificationError, match="not a reason like"):
        Aside.parse(text)


def test_a_name_of_a_reason_reads_back():
    assert Aside.parse("scan:scan/second") == Aside("scan", "scan/second")
    assert str(Aside.parse("evaluation:a:b")) == "evaluation:a:b"


@pytest.mark.parametrize(
    ("document", "digest", "reason"),
    [
        (None, WHY, "there is no justification"),
        (b"x", None, "there is no justification"),
        (b"another", WHY, "the justification is sha256"),
        (b"", Digest.of(b""), "says nothing"),
        (b" \n\t.,!", Digest.of(b" \n\t.,!"), "says nothing"),
        (b"a\0b", Digest.of(b"a\0b"), "says nothing"),
        (b"\xff\xfe", Digest.of(b"\xff\xfe"), "is no text in UTF-8"),
        (b"x" * (MAX_WRITING + 1), Digest.of(b"x" * (MAX_WRITING + 1)), "more than 65536"),
    ],
)
def test_what_nobody_can_read_was_not_written(document, digest, reason):
    with pytest.raises(LockgateError, match=reason):
        open_writing(document, digest, "justification")


def test_what_was_written_is_read():
    assert open_writing("größer\n".encode(), Digest.of("größer\n".encode()), "report") == "größer\n"
    assert open_writing(b"x" * MAX_WRITING, Digest.of(b"x" * MAX_WRITING), "report")
