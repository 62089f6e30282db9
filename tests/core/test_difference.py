"""Is every difference between two documents said, in words that tell whether it weakens?"""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.binding import Bound
from lockgate.core.breaker import (
    Breaker,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
)
from lockgate.core.danger import Danger, Severity
from lockgate.core.difference import Effect, differences, gaining
from lockgate.core.difference.leeway import OVERRIDES
from lockgate.core.difference.proving import EVALUATION, SCANS
from lockgate.core.difference.ruled import APPROVALS, EMERGENCIES, LEASE, POLICY, ROLLOUT, RULES
from lockgate.core.difference.sentence import each_field
from lockgate.core.difference.trusted import ACTOR, MAY, ROOT, SIGNER, TRUST
from lockgate.core.policy import Approvals, Demands, Emergencies, Evaluation, Lease, Overrides, Policy, Rules, Scans
from lockgate.core.release import Kind
from lockgate.core.rights import Role
from lockgate.core.trust import Actor, Purpose, Retiring, Root, Trust, TrustedSigner
from lockgate.formats.names import Name
from tests.core.dossiers import TICK, ruling, trusting
from tests.world import NOW, PROD, key, policy, rules, trust

WEAKENS, STRENGTHENS, NEUTRAL = Effect
TABLES = {
    Policy: POLICY, Rules: RULES, Evaluation: EVALUATION, Approvals: APPROVALS, Lease: LEASE,
    Overrides: OVERRIDES, Emergencies: EMERGENCIES,
    Scans: SCANS, Demands: ROLLOUT, Trust: TRUST, Root: ROOT, Actor: ACTOR, TrustedSigner: SIGNER,
}  # fmt: skip
WHOLE = {
    Retiring,
    Bound,
    Breaker,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
}  # said by the words of the list that it stands in

names = st.sampled_from([Name("bob"), Name("carol"), Name("eve")])
instants = st.sampled_from([NOW, NOW + TICK, NOW + timedelta(days=9)])
spans = st.sampled_from([1, 2, 30])
words = st.sampled_from(["release", "weights", "odd \n word"])
keys = st.sampled_from([key(name).public for name in ("bob", "carol", "eve", "root1")])


def lists(of, most=3):
    return st.lists(of, max_size=most).map(tuple)


approvals = st.builds(Approvals, spans, st.sampled_from(Role))
evaluations = st.builds(
    Evaluation, words, st.dictionaries(words, st.sampled_from(["0.9", "0.90", "0.8", "odd"]), max_size=2), spans
)
demands = st.builds(
    Demands, st.booleans(), spans, spans, lists(st.sampled_from(["errors", "latency"])), st.sampled_from([60, 3600])
)
conditions = st.one_of(
    st.builds(OnAlerts, lists(st.sampled_from(Danger)), st.sampled_from(Severity), spans, spans),
    st.builds(OnFailures, st.sampled_from(["errors", "tool", "guardrail"]), spans, spans, spans),
    st.builds(OnUnguarded, spans, spans, spans),
    st.builds(OnRevoked),
    st.builds(OnProviderChanged, st.sampled_from(["pinned", "before"])),
    st.builds(OnOverrideExpired),
)
breakers = st.builds(Breaker, names, conditions, st.sampled_from([None, "shutdown", "flag"]))
kinds = st.builds(Bound, st.sampled_from(["postgres", "redis", "mcp"]))
bindings = st.dictionaries(names, kinds, min_size=1, max_size=3)
leeway = st.builds(Overrides, lists(names), lists(st.sampled_from(["evaluation", "scan"])), spans)
hurry = st.builds(Emergencies, approvals, spans, lists(words), demands, spans)
ruled = st.builds(
    Rules,
    components=lists(st.sampled_from(Kind)),
    provenance=st.booleans(),
    evaluations=lists(evaluations),
    approvals=approvals,
    lease=st.builds(Lease, spans, st.sampled_from(["stop", "grace"]), st.none() | st.sampled_from([0, 1])),
    rollback_seconds=spans,
    hand_over=st.sampled_from(["sealed", "private"]),
    rollout=st.none() | demands,
    breakers=st.none() | lists(breakers),
    appearances=st.sampled_from([None, "shown", "heeded"]),
    bindings=st.none() | bindings,
    overrides=st.none() | leeway,
    emergencies=st.none() | hurry,
)
policies = st.builds(
    Policy, names, spans, instants, st.dictionaries(st.sampled_from(["prod/a", "prod/b"]), ruled), approvals
)
actors = st.builds(
    Actor, names, lists(st.sampled_from(Role)), lists(keys), st.none() | instants,
    st.none() | lists(st.builds(Retiring, keys, instants)),
)  # fmt: skip
signers = st.builds(
    TrustedSigner, names, st.sampled_from(Purpose), lists(words), st.none() | keys, st.none() | words,
    st.none() | names, st.none() | instants,
)  # fmt: skip
trusts = st.builds(
    Trust, names, spans, instants, words, st.builds(Root, spans, lists(keys)), lists(actors), lists(signers)
)


@st.composite
def changed(draw, value, of):
    """Draw a document that differs from `value` in one place, if it differs at all."""
    other = draw(of)
    name = draw(st.sampled_from([field.name for field in fields(value)]))
    return replace(value, **{name: getattr(other, name)})


def said(old, new):
    found = differences(old, new)
    assert bool(found) == (old != new), (old, new)
    for one in found:
        assert one.says.isprintable()
    return found


@given(st.data())
def test_any_difference_between_two_policies_is_said(data):
    old = data.draw(policies)
    said(old, data.draw(policies | changed(old, policies)))


@given(st.data())
def test_any_difference_between_two_trust_documents_is_said(data):
    old = data.draw(trusts)
    said(old, data.draw(trusts | changed(old, trusts)))


@given(st.data())
def test_what_weakens_one_way_does_not_weaken_the_other_way_alone(data):
    old, new = data.draw(ruled), data.draw(ruled)
    there = [one.effect for one in each_field(RULES, old, new, "prod/a")]
    back = [one.effect for one in each_field(RULES, new, old, "prod/a")]

    assert not (STRENGTHENS in there and STRENGTHENS in back and WEAKENS not in [*there, *back])
    if there == [STRENGTHENS]:
        assert back == [WEAKENS]


def reachable(kind, seen):
    """Collect the dataclasses that a document is made of."""
    if is_dataclass(kind) and isinstance(kind, type) and kind.__module__.startswith("lockgate.core"):
        seen.add(kind)
        for hint in get_type_hints(kind).values():
            reachable(hint, seen)
    for part in get_args(kind):
        reachable(part, seen)
    return seen


@pytest.mark.parametrize("document", [Trust, Policy])
def test_no_field_of_a_document_is_without_words(document):
    for kind in reachable(document, set()) - WHOLE:
        names_of = {field.name for field in fields(kind)}
        assert names_of == set(TABLES[kind]), f"say in lockgate.core.difference what a change of {kind.__name__} means"


def test_a_field_without_words_weakens():
    table = {name: words_of for name, words_of in RULES.items() if name != "hand_over"}

    (found,) = each_field(table, rules(), replace(rules(), hand_over="private"), "prod/magika")
    assert (found.says, found.effect) == ("changes hand_over of prod/magika", WEAKENS)


def test_every_role_says_what_it_may():
    assert set(MAY) == set(Role)


def evaluation(**changes):
    return ruling(evaluations=(replace(rules().evaluations[0], **changes),))


def lease(*parts):
    return ruling(lease=Lease(*parts))


IN_SUITE = "in suite file-types at prod/magika"


@pytest.mark.parametrize(
    ("new", "effect", "says"),
    [
        (evaluation(metrics={"accuracy": "0.80"}), WEAKENS,
         f"lowers the evaluation threshold of accuracy {IN_SUITE} from 0.95 to 0.80"),
        (evaluation(metrics={"accuracy": "0.99"}), STRENGTHENS,
         f"raises the evaluation threshold of accuracy {IN_SUITE} from 0.95 to 0.99"),
        (evaluation(metrics={"accuracy": "0.950"}), NEUTRAL,
         f"writes the evaluation threshold of accuracy {IN_SUITE} in another way: from 0.95 to 0.950"),
        (evaluation(metrics={"accuracy": "high"}), WEAKENS,
         f"changes the evaluation threshold of accuracy {IN_SUITE} from 0.95 to high, which is no number"),
        (evaluation(metrics={"accuracy": "0.95", "f1": "0.9"}), STRENGTHENS, f"asks for f1 of at least 0.9 {IN_SUITE}"),
        (evaluation(max_age_days=60), WEAKENS,
         f"raises how many days old a result may be {IN_SUITE}, from 30 to 60"),
        (evaluation(max_age_days=7), STRENGTHENS,
         f"lowers how many days old a result may be {IN_SUITE}, from 30 to 7"),
        (ruling(evaluations=()), WEAKENS,
         "no longer demands suite file-types (accuracy at least 0.95, at most 30 days old) at prod/magika"),
        (ruling(components=(Kind.WEIGHTS,)), WEAKENS, "no longer demands a component of kind config at prod/magika"),
        (ruling(components=(Kind.CONFIG, Kind.WEIGHTS)), NEUTRAL,
         "writes the components of prod/magika in another order, or some of them twice"),
        (ruling(provenance=False), WEAKENS, "no longer demands provenance at prod/magika"),
        (ruling(approvals=Approvals(1, Role.APPROVER)), WEAKENS,
         "lowers how many people must approve prod/magika, from 2 to 1"),
        (ruling(approvals=Approvals(3, Role.APPROVER)), STRENGTHENS,
         "raises how many people must approve prod/magika, from 2 to 3"),
        (ruling(approvals=Approvals(2, Role.OPERATOR)), WEAKENS,
         "counts approvals of prod/magika by the role operator, no longer by approver"),
        (lease(300, "stop"), WEAKENS, "lengthens the lease of prod/magika from 30 s to 300 s"),
        (lease(10, "stop"), STRENGTHENS, "shortens the lease of prod/magika from 30 s to 10 s"),
        (ruling(rollback_seconds=90), WEAKENS, "lengthens the window for a rollback of prod/magika from 60 s to 90 s"),
        (ruling(hand_over="private"), WEAKENS, "hands files over at prod/magika as private, no longer as sealed"),
        (replace(policy(), endpoints={}), STRENGTHENS,
         "removes the endpoint prod/magika: nothing may serve there"),
        (replace(policy(), rule_changes=Approvals(1, Role.APPROVER)), WEAKENS,
         "lowers how many people must approve changes of the rules, from 2 to 1"),
        (replace(policy(), version=2), NEUTRAL, "is version 2, the one after 1"),
        (replace(policy(), version=3), WEAKENS, "is version 3, which is not the one after 1"),
        (replace(policy(), environment=Name("dev")), WEAKENS, "is for the environment dev, no longer for prod"),
        (replace(policy(), expires=policy().expires + timedelta(days=1)), WEAKENS, "lets the policy count until"),
        (replace(policy(), expires=policy().expires - timedelta(days=1)), STRENGTHENS,
         "no longer lets the policy count until"),
    ],
)  # fmt: skip
def test_a_difference_of_policies_is_said_in_words(new, effect, says):
    (found,) = differences(policy(), new)

    assert (found.says if len(found.says) == len(says) else found.says[: len(says)], found.effect) == (says, effect)
    assert found.to is None


def test_a_new_endpoint_is_told_with_what_it_demands():
    (found,) = differences(replace(policy(), endpoints={}), policy())

    assert found.effect is WEAKENS
    assert found.says == (
        "adds the endpoint prod/magika, where nothing might serve; it demands weights, config; provenance; suite "
        "file-types (accuracy at least 0.95, at most 30 days old); 2 approvals by the role approver; "
        "a lease of 30 s (stop)"
    )


def test_what_holders_do_in_silence_is_told_with_its_grace():
    found = differences(policy(), lease(30, "grace", 60))

    assert [(one.says, one.effect) for one in found] == [
        ("what holders at prod/magika do when nobody answers: grace, no longer stop", WEAKENS),
        ("changes the grace of prod/magika when nobody answers from none to 60 s", WEAKENS),
    ]
    assert {one.effect for one in differences(lease(30, "grace", 60), policy())} == {STRENGTHENS}


BOB, EVE, ROOT1, ROOT4 = (key(name).public.key_id.hex[:16] for name in ("bob", "eve", "root1", "root4"))
LATER = "2026-11-30T12:00:00.000000Z"
AT = NOW + timedelta(days=9)


def rooted(**changes):
    return replace(trust(), root=replace(trust().root, **changes))


def joined(*more):
    everybody = [*trust().actors, *(one for one in more if isinstance(one, Actor))]
    return replace(
        trust(),
        actors=tuple(everybody),
        signers=(*trust().signers, *(one for one in more if isinstance(one, TrustedSigner))),
    )


MALLORY = Actor(Name("mallory"), (Role.APPROVER,), (key("eve").public,))
LAB = TrustedSigner(Name("lab"), Purpose.RESULT, ("a/b",), key("eve").public, person=Name("bob"))


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (rooted(threshold=1), [(WEAKENS, "lowers the root threshold from 2 to 1", None)]),
        (rooted(threshold=3), [(STRENGTHENS, "raises the root threshold from 2 to 3", None)]),
        (rooted(keys=trust().root.keys[1:]), [(STRENGTHENS, f"takes the root key {ROOT1}… away", None)]),
        (rooted(keys=(*trust().root.keys, key("root4").public)), [(WEAKENS, f"adds the root key {ROOT4}…", None)]),
        (rooted(keys=trust().root.keys[::-1]),
         [(NEUTRAL, "writes the root keys in another order, or some of them twice", None)]),
        (replace(trust(), origin="x.example/y"),
         [(WEAKENS, "is for the log x.example/y, no longer for prod.example/changes", None)]),
        (replace(trust(), actors=trust().actors[::-1]), [(NEUTRAL, "writes the people in another order", None)]),
        (replace(trust(), actors=trust().actors[1:]),
         [(STRENGTHENS, "removes alice: what they said before counts no longer either", None)]),
        (joined(MALLORY), [
            (WEAKENS, "adds mallory, without end", "mallory"),
            (WEAKENS, "lets mallory approve (role approver)", "mallory"),
            (WEAKENS, f"gives mallory the key {EVE}…", None),
        ]),
        (trusting("bob", roles=(Role.APPROVER, Role.ADMIN)),
         [(WEAKENS, "lets bob propose and adopt trust and policy (role admin)", "bob")]),
        (trusting("bob", roles=()), [(STRENGTHENS, "no longer lets bob approve (role approver)", None)]),
        (trusting("bob", keys=()), [(STRENGTHENS, f"takes the key {BOB}… from bob", None)]),
        (trusting("bob", keys=(key("bob").public, key("eve").public)),
         [(WEAKENS, f"gives bob the key {EVE}…", None)]),
        (trusting("bob", until=AT), [(STRENGTHENS, f"lets bob count until {LATER} only, no longer without end", None)]),
        (trusting("bob", keys=(key("eve").public,), retiring=(Retiring(key("bob").public, AT),)), [
            (STRENGTHENS, f"takes the key {BOB}… from bob", None),
            (WEAKENS, f"gives bob the key {EVE}…", None),
            (WEAKENS, f"lets bob use the old key {BOB}… until {LATER}", None),
        ]),
        (trusting("bob", retiring=()), [(NEUTRAL, "writes the old keys of bob differently", None)]),
        (joined(LAB), [
            (WEAKENS, "adds the signer lab for result, without end", "bob"),
            (WEAKENS, "lets the signer lab sign a/b", "bob"),
            (WEAKENS, f"gives the signer lab the key {EVE}…", None),
        ]),
        (trusting("ci-results", scope=()), [
            (STRENGTHENS, "no longer lets the signer ci-results sign https://slsa.dev/provenance/v1", None),
            (STRENGTHENS,
             "no longer lets the signer ci-results sign https://in-toto.io/attestation/test-result/v0.1", None),
        ]),
        (trusting("ci-results", person=Name("bob")),
         [(STRENGTHENS, "says that bob holds the signer ci-results, and so is an author of what it signs", None)]),
        (trusting("ci-results", purpose=Purpose.VSA),
         [(WEAKENS, "lets the signer ci-results sign for vsa, no longer for result", None)]),
        (trusting("dev-export", until=AT),
         [(STRENGTHENS, f"lets the signer dev-export count until {LATER} only, no longer without end", None)]),
    ],
)  # fmt: skip
def test_a_difference_of_trust_documents_is_said_in_words(new, told):
    found = [(one.effect, one.says, str(one.to) if one.to else None) for one in differences(trust(), new)]

    assert found == told


@pytest.mark.parametrize(
    ("old", "new", "to"),
    [
        (trusting("bob", until=NOW), trusting("bob", until=AT), {"bob"}),
        (trusting("bob", until=AT), trusting("bob", until=NOW), set()),
        (trusting("bob", until=NOW), trust(), {"bob"}),
        (trust(), trusting("bob", until=AT), set()),
        (trusting("ci-results", person=Name("bob")), trusting("ci-results", person=Name("carol")), {"carol"}),
        (joined(LAB), joined(replace(LAB, scope=("a/b", "c/d"))), {"bob"}),
        (joined(LAB), joined(replace(LAB, key=key("mallory").public)), set()),
        (joined(LAB), joined(replace(LAB, key=None, root="PEM")), {"bob"}),
    ],
)
def test_whose_rights_grow_is_told(old, new, to):
    assert {str(name) for name in gaining(differences(old, new))} == to


def test_words_of_the_document_cannot_be_taken_for_ours():
    odd = "x at prod/magika from 0.1 to 0.9\nstrengthens everything"
    (found,) = differences(policy(), ruling(evaluations=(*rules().evaluations, Evaluation(odd, {odd: "1"}, 1))))

    assert "\n" not in found.says and found.says.count(ascii(odd)) == 2
    assert re.fullmatch(r"demands suite '.*' \('.*' at least 1, at most 1 days old\) at prod/magika", found.says)


def test_a_document_that_stays_as_it_is_has_no_difference():
    assert differences(trust(), trust()) == differences(policy(), policy()) == ()
    assert str(PROD) in policy().endpoints
