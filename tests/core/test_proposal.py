"""When may the rules change? When enough other people approved exactly that document, and no sooner."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.change import RuleChange
from lockgate.core.policy import Approvals, Policy
from lockgate.core.proposal import InForce, Proposal, barred_from, check_proposal, judge_proposal, read_document
from lockgate.core.revocation import KeyRevoked, Offboarded, Revocations, evolve
from lockgate.core.rights import Role
from lockgate.core.trust import Actor, Retiring, Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.dossiers import AT, EXPIRES, NUMBER, TICK, agree, approval, ruling, say, trusting
from tests.world import NOW, key, policy, rule_of, trust

OTHER = Digest.of(b"other")
NEXT = replace(policy(), version=2)
LAXER = replace(ruling(provenance=False), version=2)


def digest(document):
    return Digest.of(plain.encode(document))


def in_force(trusted=None, ruled=None, *, off=(), without=()):
    """Judge by these documents, from which people are off-boarded (since `AT`) and keys revoked."""
    entries = [evolve(Offboarded(Name("prod"), Name(who), "why", Name("olivia"), OTHER), 1, AT) for who in off]
    entries += [evolve(KeyRevoked(Name("prod"), key(who).public.key_id, "why", Name("olivia"), OTHER), 2, AT)
                for who in without]  # fmt: skip
    return InForce(agree(trusted or trust()), agree(ruled or policy()), Revocations(Name("prod"), tuple(entries)))


def content_of(document, /, **changes):
    before = digest(trust() if isinstance(document, Trust) else policy())
    content = RuleChange(rule_of(document), Name("prod"), before, digest(document), document.version, "why")
    return replace(content, **changes)


def opening_of(content, who="ann", **changes):
    said = {"act": "rules.propose", "object_": content.environment, "before": content.before, "after": content.digest}
    return say(who, **(said | changes))


def proposal(document=LAXER, *, who="ann", approvers=("bob", "carol"), content=None, **changes):
    content = content or content_of(document)
    approvals = tuple(approval(content, name) for name in approvers)
    return replace(Proposal(content, document, NUMBER, opening_of(content, who), approvals), **changes)


def judged(found, rules=None, at=AT):
    return judge_proposal(found, rules or in_force(), at)


def denied(reason, found, rules=None, at=AT):
    with pytest.raises(DeniedError) as caught:
        judged(found, rules, at)
    assert any(reason in one for one in caught.value.reasons), caught.value.reasons
    return caught.value.reasons


@pytest.mark.parametrize(
    "document", [NEXT, LAXER, replace(trust(), version=2), replace(trusting("bob", until=AT), version=2)]
)
def test_what_two_other_people_approved_may_change(document):
    mandate = judged(proposal(document))

    assert mandate.approvers == (Name("bob"), Name("carol")) and mandate.author == Name("ann")
    assert mandate.content.document == digest(document)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"document": OTHER}, f"the change is about document {OTHER}"),
        ({"before": OTHER}, f"the change is about policy {OTHER}"),
        ({"before": digest(trust())}, "the change is about policy"),
        ({"version": 1}, "the change says version 1, not 2"),
        ({"version": 3}, "the change says version 3, not 2"),
        ({"environment": Name("dev")}, "document and change are for prod and dev, this installation is prod"),
        ({"kind": "trust"}, "the change is about the trust, the document is a policy"),
    ],
)
def test_a_change_for_something_else_is_no_mandate(content, reason):
    denied(reason, proposal(content=content_of(LAXER, **content)))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (replace(LAXER, version=3), "version 3 does not follow 1"),
        (replace(LAXER, version=1), "version 1 does not follow 1"),
        (replace(LAXER, environment=Name("dev")), "document and change are for dev and prod"),
        (replace(LAXER, expires=LAXER.expires + TICK), "the change is about document"),
    ],
)
def test_an_approved_change_lets_no_other_document_in(document, reason):
    denied(reason, proposal(document, content=content_of(LAXER)))
    denied("the change is about document", proposal(document, content=content_of(LAXER)))


@pytest.mark.parametrize(
    ("approvers", "count"),
    [((), 0), (("bob",), 1), (("bob", "bob"), 1), (("bob", "alice"), 1), (("bob", "ann"), 1), (("dave", "olivia"), 0)],
)
def test_fewer_people_than_the_policy_names_are_no_mandate(approvers, count):
    reasons = denied(f"{count} of 2 approvals by somebody with the role approver", proposal(approvers=approvers))

    assert len(reasons) == 1 + len([name for name in approvers if name not in ("bob", "carol")])


def test_who_proposes_does_not_approve():
    everyone = in_force(trusting("ann", roles=(Role.ADMIN, Role.APPROVER)))

    denied("ann is an author of change 7", proposal(approvers=("bob", "ann")), everyone)
    denied("1 of 2 approvals", proposal(who="bob"), in_force(trusting("bob", roles=(Role.ADMIN, Role.APPROVER))))


WIDER = Actor(Name("bob"), (Role.APPROVER, Role.ADMIN), (key("bob").public,))


def test_who_gains_by_it_does_not_approve():
    document = replace(trusting("bob", roles=WIDER.roles), version=2)
    dora = Actor(Name("dora"), (Role.APPROVER,), (key("dora").public,))
    held = replace(trust(), actors=(*trust().actors, dora))
    wider = replace(document, actors=(*document.actors, dora))
    content = content_of(wider, before=digest(held))

    denied("change 7 widens the rights of bob", proposal(document))
    assert judged(proposal(wider, content=content, approvers=("carol", "dora")), in_force(held)).approvers == (
        Name("carol"), Name("dora"),
    )  # fmt: skip
    assert barred_from(proposal(NEXT), in_force()).keys() == {Name("ann")}
    rotated = trusting("bob", keys=(key("new").public,), retiring=(Retiring(key("bob").public, AT),))
    assert barred_from(proposal(replace(rotated, version=2)), in_force()).keys() == {Name("ann")}


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"act": "change.reject"}, "the intent says act change.reject"),
        ({"object_": "change/8"}, "the intent says object change/8"),
        ({"after": OTHER}, "the intent says after"),
        ({"before": OTHER}, "the intent says before"),
        ({"expires": AT}, "the word of bob to change.approve change/7 expired"),
        ({"signer": "carol"}, "no key that is trusted"),
        ({"signer": "root1"}, "no key that is trusted"),
        ({"signer": "mallory"}, "no key that is trusted"),
    ],
)
def test_an_approval_of_something_else_or_by_somebody_else_does_not_count(spoilt, reason):
    content = content_of(LAXER)
    spoiled = approval(content, "bob", **spoilt)

    reasons = denied("1 of 2 approvals", proposal(approvals=(spoiled, approval(content, "carol"))))
    assert reason in reasons[-1]


@pytest.mark.parametrize("spoilt", [{"act": "change.open"}, {"after": OTHER}, {"signer": "carol"}, {"object_": "dev"}])
def test_a_proposal_that_nobody_made_is_no_mandate(spoilt):
    content = content_of(LAXER)

    with pytest.raises(DeniedError):
        judged(proposal(opening=opening_of(content, **spoilt)))


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (in_force(off=["carol"]), "nobody called carol may act in prod"),
        (in_force(without=["carol"]), "no key that is trusted"),
    ],
)
def test_who_has_left_or_lost_their_key_does_not_count(rules, why):
    assert why in denied("1 of 2 approvals", proposal(), rules)[-1]


def test_what_was_approved_by_whom_leaves_later_counts_until_then():
    judged(proposal(), in_force(off=["carol"]), at=AT - TICK)


@pytest.mark.parametrize("rules", [in_force(off=["carol"]), in_force(without=["carol"])])
def test_who_was_taken_out_is_not_among_those_who_are_left(rules):
    for document in (LAXER, replace(trusting("alice", roles=()), version=2)):
        with pytest.raises(DeniedError, match="only 1 people would have the role approver"):
            checked(document, rules)
        checked(document)


def test_who_proposed_must_still_be_there():
    denied("nobody called ann may act in prod", proposal(), in_force(off=["ann"]))
    judged(proposal(), in_force(off=["ann"]), at=AT - TICK)


def test_approvals_last_until_they_expire():
    judged(proposal(), at=EXPIRES - TICK)
    denied("0 of 2 approvals", proposal(), at=EXPIRES)


def test_the_policy_in_force_says_how_many():
    one = replace(policy(), rule_changes=Approvals(1, Role.APPROVER))
    easier = replace(one, version=2)

    denied("1 of 2 approvals", proposal(easier, approvers=("bob",)))
    harder = replace(policy(), version=2)
    content = content_of(harder, before=digest(one))
    judged(proposal(harder, approvers=("bob",), content=content), in_force(ruled=one))


def test_a_policy_that_has_expired_can_still_be_replaced():
    over = replace(policy(), expires=NOW)

    judged(proposal(NEXT, content=content_of(NEXT, before=digest(over))), in_force(ruled=over))


def checked(document, /, rules=None, **changes):
    check_proposal(content_of(document, **changes), document, rules or in_force(), AT)


@pytest.mark.parametrize(
    ("document", "changes", "reason"),
    [
        (LAXER, {"reason": " "}, "a change of the rules has a reason"),
        (LAXER, {"reason": "x" * 2001}, "a change of the rules has a reason"),
        (LAXER, {"document": OTHER}, "the change is about document"),
        (replace(trust(), version=2, expires=AT), {}, "the document expired"),
        (replace(trusting("carol", roles=()), version=2), {}, "only 1 people would have the role approver"),
        (replace(trusting("carol", until=AT), version=2), {}, "only 1 people would have the role approver"),
        (replace(trusting("carol", keys=()), version=2), {}, "only 1 people would have the role approver"),
        (replace(policy(), version=2, rule_changes=Approvals(3, Role.APPROVER)), {}, "of whom 3 must approve"),
    ],
)
def test_what_could_not_come_into_force_or_could_never_be_changed_again_is_not_proposed(document, changes, reason):
    with pytest.raises(DeniedError, match=reason):
        checked(document, **changes)
    checked(LAXER, reason="x" * 2000)
    checked(replace(trusting("carol", until=AT + TICK), version=2))


def test_who_has_only_an_old_key_counts_until_its_time_is_over():
    for until, error in ((AT + TICK, None), (AT, DeniedError)):
        document = replace(trusting("carol", keys=(), retiring=(Retiring(key("carol").public, until),)), version=2)
        with pytest.raises(error, match="only 1 people") if error else nullcontext():
            checked(document)


@pytest.mark.parametrize(
    "document",
    [
        replace(policy(), version=2, rule_changes=Approvals(0, Role.APPROVER)),
        replace(policy(), version=2, expires=AT),
        replace(trusting("bob", keys=(key("carol").public,)), version=2),
        replace(trust(), version=2, root=replace(trust().root, threshold=0)),
        replace(trust(), version=2, root=replace(trust().root, threshold=-1)),
    ],
)
def test_what_means_nothing_is_not_proposed(document):
    with pytest.raises(VerificationError):
        checked(document)


def test_a_document_is_proposed_in_its_one_spelling():
    assert read_document("policy", plain.encode(LAXER)) == LAXER
    assert read_document("trust", plain.encode(trust())) == trust()
    for kind, data in (
        ("policy", plain.encode(LAXER) + b" "),
        ("policy", canonical.encode({"type": "policy/v1"})),
        ("policy", plain.encode(trust())),
        ("trust", plain.encode(LAXER)),
        ("trust", b""),
    ):
        with pytest.raises(VerificationError):
            read_document(kind, data)


@pytest.mark.parametrize(
    "spoilt",
    [{"kind": "trust"}, {"environment": Name("dev")}, {"before": OTHER}, {"document": OTHER}, {"version": 9},
     {"reason": "another"}],
)  # fmt: skip
def test_every_part_of_the_content_is_in_its_digest(spoilt):
    assert content_of(LAXER, **spoilt).digest != content_of(LAXER).digest


@given(
    st.lists(st.sampled_from(["bob", "carol", "ann", "alice", "dave"]), max_size=5), st.integers(1, 3), st.booleans()
)
def test_different_people_of_the_role_count_and_nothing_else(approvers, count, late):
    ruled = replace(policy(), rule_changes=Approvals(count, Role.APPROVER))
    document = replace(ruled, version=2)
    found = proposal(document, approvers=approvers, content=content_of(document, before=digest(ruled)))
    good = set() if late else {name for name in approvers if name in ("bob", "carol")}

    try:
        mandate = judged(found, in_force(ruled=ruled), EXPIRES + timedelta(1) if late else AT)
    except DeniedError:
        assert len(good) < count
    else:
        assert len(good) >= count and {str(name) for name in mandate.approvers} == good


def test_only_the_two_documents_can_be_proposed():
    assert {rule_of(document) for document in (trust(), policy())} == {"trust", "policy"}
    assert isinstance(read_document("policy", plain.encode(policy())), Policy)
