"""What does the gate's signed word say? What the record of a release must tell, and nothing that does not follow."""

from dataclasses import replace

import pytest

from lockgate.core.decision import decision_of, open_decision, read_decision, sign_decision
from lockgate.core.override import Aside, SetAside
from lockgate.errors import VerificationError
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.formats.statement import VERIFICATION_SUMMARY, Statement, parse_statement
from tests.core.dossiers import AT, FINISHED, NUMBER, TICK, built, dossier, judged, release, run, submission, trusting
from tests.world import NOW, PROD, key, trust

PERMIT = judged()
VSA = key("prod-vsa")
DIGEST = Digest.of(b"x")


def signed(**changes):
    return sign_decision(replace(decision_of(PERMIT, NUMBER), **changes), VSA)


def test_a_decision_records_who_what_when_and_on_what_evidence():
    decision = decision_of(PERMIT, NUMBER)

    assert (decision.endpoint, decision.tag, decision.release) == (PROD, Tag.parse("magika@1.0.0"), release().digest)
    assert (decision.change, decision.decided_at, decision.created_at) == (NUMBER, AT, NOW)
    assert (decision.policy, decision.trust) == (PERMIT.policy, PERMIT.trust)
    assert decision.authorized_by == (Name("bob"), Name("carol")) and decision.authors == (Name("alice"),)
    assert decision.test_results == (run(),) and decision.evidence == tuple(one.digest for one in PERMIT.evidence)
    weights = decision.components["weights"]
    assert weights.key == key("components").public.key_id and weights.chain is None
    assert weights.digest == submission()[2].components["weights"].digest


@pytest.mark.parametrize(("data", "known"), [(None, False), ({"train": DIGEST, "test": DIGEST}, True)])
def test_training_data_is_recorded_by_checksum_or_as_unknown(data, known):
    permit = judged(dossier(runs=(replace(built(), training_data=data), run())))

    trained_on = decision_of(permit, NUMBER).training_data
    assert (trained_on.known, trained_on.checksums) == (known, data or {})


def test_a_decision_is_a_verification_summary_that_others_can_read():
    statement = parse_statement(dsse.parse(signed()).payload)

    assert statement.predicate_type == VERIFICATION_SUMMARY
    assert statement.predicate["verificationResult"] == "PASSED"
    assert statement.predicate["resourceUri"] == "lockgate:prod/magika"
    assert statement.predicate["policy"] == {
        "uri": "lockgate:policy/prod",
        "digest": {"sha256": PERMIT.policy.hex},
    }
    evidence = [{"digest": {"sha256": one.digest.hex}} for one in PERMIT.evidence]
    assert statement.predicate["inputAttestations"] == evidence


def test_a_decision_that_follows_is_opened():
    assert open_decision(signed(), PERMIT, NUMBER, trust()) == decision_of(PERMIT, NUMBER)
    assert read_decision(signed()).evidence == tuple(one.digest for one in PERMIT.evidence)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"endpoint": Endpoint.parse("prod/other")}, "says another endpoint"),
        ({"tag": Tag.parse("magika@1.0.1")}, "not a verification summary about this release"),
        ({"release": DIGEST}, "not a verification summary about this release"),
        ({"change": NUMBER - 1}, "says another change"),
        ({"authorized_by": ()}, "says another authorized_by"),
        ({"authorized_by": (Name("bob"), Name("carol"), Name("eve"))}, "says another authorized_by"),
        ({"components": {}}, "says another components"),
        ({"aside": (SetAside(Aside("scan", "scan"), Name("olivia"), NOW, DIGEST),)}, "says another aside"),
        ({"emergency": DIGEST}, "says another emergency"),
        ({"in_place": {Name("bob"): Name("carol")}}, "says another in_place"),
    ],
)
def test_a_decision_that_says_something_else_is_refused(changes, reason):
    with pytest.raises(VerificationError, match=reason):
        open_decision(signed(**changes), PERMIT, NUMBER, trust())


@pytest.mark.parametrize("field", ["policy", "trust"])
def test_policy_and_trust_may_have_been_others_there(field):
    open_decision(signed(**{field: DIGEST}), PERMIT, NUMBER, trust())


def reworded(kind=VERIFICATION_SUMMARY, subject=None, **members):
    statement = parse_statement(dsse.parse(signed()).payload)
    found = Statement(subject or statement.subject, kind, {**statement.predicate, **members})
    return dsse.sign(found.encode(), dsse.IN_TOTO, [VSA]).encode()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (reworded(verificationResult="FAILED"), "the decision is not PASSED"),
        (reworded(verificationResult=None), "the decision is not PASSED"),
        (reworded(kind="https://example.com"), "not a verification summary about this release"),
        (reworded(lockgate=None), "decision: found NoneType"),
        (reworded(lockgate={}), "decision: member"),
        (sign_decision(decision_of(PERMIT, NUMBER), key("mallory")), "no key that is trusted"),
        (sign_decision(decision_of(PERMIT, NUMBER), key("prod-lease")), "no key that is trusted"),
        (b"{}", "not a DSSE envelope"),
    ],
)
def test_a_decision_in_other_words_or_by_another_is_refused(document, reason):
    with pytest.raises(VerificationError, match=reason):
        open_decision(document, PERMIT, NUMBER, trust())


def test_the_gate_key_counts_when_it_decided():
    open_decision(signed(), PERMIT, NUMBER, trusting("server-vsa", until=AT + TICK))
    with pytest.raises(VerificationError, match="no key that is trusted"):
        open_decision(signed(), PERMIT, NUMBER, trusting("server-vsa", until=AT))
    assert FINISHED < AT
