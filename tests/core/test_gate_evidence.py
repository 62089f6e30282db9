"""Which results does the gate take? Signed ones about this release, in time, that passed; never an author's word."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.policy import Evaluation
from lockgate.core.revocation import Revocation, Revocations
from lockgate.core.trust import Purpose, TrustedSigner
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.statement import TEST_RESULT, Statement, Subject, parse_statement
from tests.core.dossiers import (
    AT,
    FINISHED,
    TICK,
    built,
    denied,
    evidence,
    good,
    judged,
    release,
    release_of,
    ruling,
    run,
    statement,
    submission,
)
from tests.world import SUITE, key, trust

DAY = timedelta(days=1)
NOBODY = Digest.of(b"")


def moved(name, hexadecimal):
    predicate = parse_statement(dsse.parse(statement(release(), run())).payload).predicate
    subject = Subject(name, {"sha256": hexadecimal})
    found = Statement((subject,), TEST_RESULT, predicate)
    return dsse.sign(found.encode(), dsse.IN_TOTO, [key("results")]).encode()


FAILED, WARNED = Verdict.FAILED, Verdict.WARNED
BELOW = {"accuracy": "0.94999999"}


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        ([], "suite file-types has no result by a trusted signer"),
        ([run(suite="others")], "suite file-types has no result"),
        ([run(result=FAILED)], "suite file-types FAILED, it must have PASSED"),
        ([run(result=WARNED)], "suite file-types WARNED, it must have PASSED"),
        ([run(metrics=BELOW)], "accuracy is '0.94999999', at least 0.95 is wanted"),
        ([run(metrics={})], "accuracy is 'None', at least 0.95 is wanted"),
        ([run(metrics={"precision": "1"})], "accuracy is 'None'"),
        ([run(metrics={"accuracy": "NaN"})], "accuracy is 'NaN', at least"),
        ([run(metrics={"accuracy": "Infinity"})], "accuracy is 'Infinity', at least"),
        ([run(metrics={"accuracy": "good"})], "accuracy is 'good', at least"),
        ([run(metrics={"accuracy": "9" * 41})], "accuracy is '9{40}', at least"),
        ([run(metrics={"accuracy": "-1"})], "accuracy is '-1', at least"),
        ([run(), run(result=FAILED)], "suite file-types FAILED"),
        ([run(result=FAILED), run()], "suite file-types FAILED"),
    ],
)
def test_a_suite_that_did_not_pass_is_denied(runs, reason):
    assert len(denied(reason, evidence(*runs))) == 1


def test_a_later_failure_counts_and_an_earlier_one_does_not():
    later, earlier = FINISHED + TICK, FINISHED - TICK

    denied("FAILED", evidence(run(), replace(run(result=FAILED), finished_at=later)))
    judged(evidence(run(), replace(run(result=FAILED), finished_at=earlier)))


@pytest.mark.parametrize(
    ("finished_at", "reason"),
    [(AT - 30 * DAY - TICK, "not in the 30 days before"), (AT + TICK, "not in the 30 days before")],
)
def test_a_stale_result_and_one_from_the_future_are_denied(finished_at, reason):
    reasons = denied(reason, evidence(replace(run(), finished_at=finished_at)))

    assert reasons == (f"suite {SUITE} finished at {finished_at}, not in the 30 days before",)


@pytest.mark.parametrize("finished_at", [AT - 30 * DAY, AT])
def test_a_result_is_taken_to_the_microsecond(finished_at):
    judged(evidence(replace(run(), finished_at=finished_at)))


@pytest.mark.parametrize("accuracy", ["0.95", "0.950", "1", "9.5e-1"])
def test_a_metric_at_its_threshold_is_enough(accuracy):
    judged(evidence(run(metrics={"accuracy": accuracy})))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (moved("magika@1.0.0", NOBODY.hex), "the statement is about magika@1.0.0"),
        (moved("magika@1.0.1", release().digest.hex), "the statement is about magika@1.0.1"),
        (moved("other@1.0.0", release().digest.hex), "the statement is about other@1.0.0"),
        (statement(release(), run(), "mallory"), "no key that is trusted for this has signed it"),
        (statement(release(), run(), "components"), "no key that is trusted for this has signed it"),
        (statement(release_of(submission("1.1.0")[2]), run()), "the statement is about magika@1.1.0"),
        (b"{}", "not a DSSE envelope"),
    ],
)
def test_a_result_that_is_not_about_this_release_is_no_result(document, why):
    case = replace(good(), evidence=(statement(release(), built()), document))

    reasons = denied("suite file-types has no result", case)

    assert len(reasons) == 2 and why in reasons[1]


def test_what_cannot_be_judged_does_no_harm_beside_what_can():
    judged(evidence=(*good().evidence, b"{}", moved("magika@1.0.1", NOBODY.hex)))


@pytest.mark.parametrize("result", [FAILED, WARNED])
def test_an_author_may_report_a_failure_but_not_a_success(result):
    held = TrustedSigner(Name("lab"), Purpose.RESULT, (TEST_RESULT,), key("lab").public, person=Name("alice"))
    trusted = replace(trust(), signers=(*trust().signers, held))
    own = statement(release(), run(result=result), "lab")

    denied(f"suite file-types {result}", trusted=trusted, evidence=(*good().evidence, own))


def test_provenance_is_wanted_where_the_policy_says_so():
    case = evidence(run())

    denied("^the release has no provenance by a trusted signer$", replace(case, evidence=case.evidence[1:]))
    judged(replace(case, evidence=case.evidence[1:]), ruled=ruling(provenance=False))


def test_every_evaluation_and_every_metric_that_the_policy_names_is_wanted():
    asked = (Evaluation(SUITE, {"accuracy": "0.95", "recall": "0.9"}, 30), Evaluation("safety", {"rate": "1"}, 1))

    assert denied("recall", ruled=ruling(evaluations=asked)) == (
        f"suite {SUITE}: recall is 'None', at least 0.9 is wanted",
        "suite safety has no result by a trusted signer for this release",
    )


LAB = TrustedSigner(Name("lab"), Purpose.RESULT, (TEST_RESULT,), key("lab").public)


def lab(**changes):
    return replace(trust(), signers=(*trust().signers, replace(LAB, **changes)))


def gone(name):
    found = Revocation("key", key(name).public.key_id, None, (), "lost", Name("olivia"), NOBODY, AT, 1)
    return Revocations(Name("prod"), (found,))


@pytest.mark.parametrize(("until", "revoked"), [(None, None), (AT, None), (FINISHED, None), (None, "lab"), (AT, "lab")])
def test_a_failure_is_not_forgotten_with_the_key_that_signed_it(until, revoked):
    failed = statement(release(), replace(run(result=FAILED), finished_at=FINISHED + TICK), "lab")
    case = replace(good(), evidence=(*good().evidence, failed))

    denied("suite file-types FAILED", case, trusted=lab(until=until), revoked=gone(revoked) if revoked else None)


@pytest.mark.parametrize("result", [WARNED, Verdict.PASSED])
def test_a_success_is(result):
    newer = statement(release(), replace(run(result=result), finished_at=FINISHED + TICK), "lab")
    case = replace(good(), evidence=(*good().evidence, newer))

    assert [item.about.finished_at for item in judged(case, trusted=lab(until=AT)).evidence[1:]] == [FINISHED]
    assert judged(case, trusted=lab(), revoked=gone("lab")).passed_over == (Digest.of(newer),)


@pytest.mark.parametrize("signer", ["mallory", "components", "prod-vsa"])
def test_a_failure_by_a_key_that_never_had_a_say_is_none(signer):
    failed = statement(release(), replace(run(result=FAILED), finished_at=FINISHED + TICK), signer)

    assert judged(replace(good(), evidence=(*good().evidence, failed))).passed_over == (Digest.of(failed),)
    judged(replace(good(), evidence=(*good().evidence, failed)), trusted=lab(scope=("https://slsa.dev/provenance/v1",)))
