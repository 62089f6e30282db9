"""Which statements count for a release? Signed ones about its very digest; the newest of a suite, else the worse."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.evidence import (
    CLOCK_SKEW,
    Evidence,
    Verdict,
    check_new,
    latest_runs,
    open_evidence,
    provenance,
    subject_of,
)
from lockgate.core.evidence import (
    test_result as predicate_of,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from lockgate.formats.statement import PROVENANCE, TEST_RESULT, Statement, Subject
from tests.core.dossiers import TICK, built, release, run, statement, trusting
from tests.world import NOW, key, trust

SUBJECT = subject_of(release())
A, B = Digest.of(b"a"), Digest.of(b"b")
FAR = Subject("magika@1.0.0", {"sha256": A.hex})


def signed(predicate, kind=TEST_RESULT, subjects=(SUBJECT,), signer="results"):
    return dsse.sign(Statement(subjects, kind, predicate).encode(), dsse.IN_TOTO, [key(signer)]).encode()


def opened(document, trusted=None):
    return open_evidence(document, release(), trusted or trust(), NOW)


@pytest.mark.parametrize(
    "about", [run(), run(result=Verdict.WARNED), built(), replace(built(), training_data={"d": A})]
)
def test_a_statement_reads_back_as_it_was_meant(about):
    document = statement(release(), about)

    found = opened(document)
    assert (found.about, found.digest, found.signed_by) == (about, Digest.of(document), key("results").public)


@pytest.mark.parametrize(
    "subjects",
    [
        (FAR,),
        (Subject("magika@1.0.1", SUBJECT.digest),),
        (Subject("", SUBJECT.digest),),
        (Subject(SUBJECT.name, {"sha512": SUBJECT.digest["sha256"]}),),
        (Subject(SUBJECT.name, {**SUBJECT.digest, "sha1": "00"}),),
        (SUBJECT, FAR),
        (SUBJECT, SUBJECT),
    ],
)
def test_a_statement_is_about_this_release_and_no_other(subjects):
    with pytest.raises(VerificationError, match=r"not about magika@1\.0\.0|the statement is about"):
        opened(signed(predicate_of(run()), subjects=subjects))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (signed(predicate_of(run()), signer="mallory"), "no key that is trusted"),
        (signed(predicate_of(run()), signer="components"), "no key that is trusted"),
        (signed(predicate_of(run()), kind="https://example.com/v1"), "no key that is trusted"),
        (signed(predicate_of(run()), kind=PROVENANCE), "the predicate has no object buildDefinition"),
        (signed(provenance(built())), "the predicate has no object lockgate"),
        (signed({**predicate_of(run()), "result": "passed"}), "test result.result"),
        (signed({**predicate_of(run()), "lockgate": []}), "the predicate has no object lockgate"),
        (signed({**predicate_of(run()), "lockgate": {}}), "member .* is missing"),
        (signed({key: value for key, value in predicate_of(run()).items() if key != "result"}), "test result.result"),
        (b"", "."),
        (b"{}", "not a DSSE envelope"),
        (dsse.sign(b"{}", dsse.IN_TOTO, [key("results")]).encode(), "not an in-toto statement"),
    ],
)
def test_a_statement_by_another_or_in_another_form_is_refused(document, reason):
    with pytest.raises(VerificationError, match=reason):
        opened(document)


def test_a_predicate_that_nobody_can_judge_is_refused_though_its_signer_is_trusted():
    trusted = trusting("ci-results", scope=("https://example.com/v1",))

    with pytest.raises(VerificationError, match="is not one that can be judged"):
        opened(signed({}, kind="https://example.com/v1"), trusted)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("none", "neither a list nor the word unknown"),
        (None, "neither a list nor the word unknown"),
        ([{"digest": {"sha256": A.hex}}], "a dataset has no name"),
        (["train"], "a dataset has no name"),
        ([{"name": "train"}], "training_data"),
        ([{"name": "train", "digest": "x"}], "training_data"),
        ([{"name": "train", "digest": {"sha256": "x"}}], "training_data"),
        ([{"name": "d", "digest": {"sha256": A.hex}}, {"name": "d", "digest": {"sha256": B.hex}}], "is listed twice"),
    ],
)
def test_training_data_is_listed_by_checksum_or_said_to_be_unknown(data, reason):
    made = dict(provenance(built()))
    parameters = {"authorizedBy": "alice", "trainingData": data}
    made["buildDefinition"] = {"buildType": "x", "externalParameters": parameters}

    with pytest.raises(VerificationError, match=reason):
        opened(signed(made, kind=PROVENANCE))


def held(about):
    return Evidence(about, B, key("results").public, A)


def test_the_run_that_finished_last_counts_whatever_the_order():
    old, new = run(result=Verdict.FAILED), replace(run(), finished_at=run().finished_at + TICK)

    for order in ([old, new], [new, old]):
        assert latest_runs(held(about) for about in order) == {new.suite: [new]}


@pytest.mark.parametrize(("one", "other"), [("PASSED", "FAILED"), ("PASSED", "WARNED"), ("WARNED", "FAILED")])
def test_all_that_finished_together_count_and_each_once(one, other):
    runs = [held(run(result=Verdict(word))) for word in (one, other, one)]

    for order in (runs, runs[::-1]):
        assert {found.result for found in latest_runs(order)["file-types"]} == {one, other}
        assert len(latest_runs(order)["file-types"]) == 2


RUNS = st.builds(
    lambda verdict, suite, minutes: run(result=verdict, suite=suite, harness=str(minutes)),
    st.sampled_from(Verdict),
    st.sampled_from(["a", "b"]),
    st.integers(0, 3),
)


@given(st.lists(RUNS, max_size=8), st.permutations(range(8)))
def test_the_choice_does_not_depend_on_the_order_nor_on_provenance(runs, order):
    shuffled = [runs[index] for index in order if index < len(runs)]

    chosen = latest_runs([held(built()), *map(held, shuffled)])
    assert {suite: {found.result for found in newest} for suite, newest in chosen.items()} == {
        suite: {found.result for found in newest} for suite, newest in latest_runs(map(held, runs)).items()
    }
    assert chosen.keys() == {found.suite for found in runs}


def test_a_statement_is_taken_in_once_and_not_from_a_time_to_come():
    item = held(run())
    future = held(replace(run(), finished_at=NOW + CLOCK_SKEW + TICK))

    check_new(item, [B], NOW)  # of another payload, whatever envelope
    check_new(held(replace(run(), finished_at=NOW + CLOCK_SKEW)), [], NOW)
    with pytest.raises(DeniedError, match="holds this statement already"):
        check_new(item, [B, A], NOW)
    with pytest.raises(DeniedError, match="later than now"):
        check_new(future, [], NOW)
    with pytest.raises(DeniedError, match="later than now"):
        check_new(held(replace(built(), finished_at=NOW + timedelta(days=1))), [], NOW)
