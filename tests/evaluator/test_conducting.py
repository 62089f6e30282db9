from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.measure import Measure
from lockgate.core.policy import Evaluation
from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator import conducting
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import (
    Trial,
    conduct,
    harness_of,
    missed,
    result_of,
    result_of_shards,
    shard_of,
)
from lockgate.evaluator.measured import Measured, counted
from lockgate.evaluator.on_trial import Surroundings, job_of
from lockgate.evaluator.suite_folder import find_suite
from lockgate.evaluator.tried import Tried
from lockgate.formats.digest import Digest
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate

BEGUN = datetime(2026, 11, 26, 12, tzinfo=UTC)
DEMANDS = Evaluation(
    "baseline", {"input-contract": "1", "security-guardrail": "0.8"}, 30, least={"security-guardrail": 50},
    isolation=("namespaces", "seccomp"), served=True,
)  # fmt: skip
GOOD = Measured(
    {"input-contract": Measure(40, 40), "security-guardrail": Measure(75, 80), "fit": Measure(1, 2)},
    {"report.json": b"{}"},
    "0.1.0",
    ("namespaces", "seccomp", "landlock"),
    served=True,
)
TRIAL = Trial(17, "lockgate.invalid/prod/changes", BEGUN, DEMANDS, Digest.of(b"policy"))


@pytest.fixture
def given(tmp_path):
    found = candidate(tmp_path / "toy", {"config/a.json": {}})
    return Assignment(
        find_suite("baseline"), found, scan(found.folder), None, Surroundings(), lambda _name: None
    )  # fmt: skip


def test_a_run_that_keeps_every_demand_has_passed(given):
    run = result_of(given, GOOD, TRIAL, BEGUN + timedelta(seconds=1), BEGUN + timedelta(seconds=9))

    assert [*missed(DEMANDS, GOOD)] == []
    assert (run.result, run.trial, run.log, run.policy) == (Verdict.PASSED, 17, TRIAL.log, TRIAL.policy)
    assert (run.served, run.isolation) == (given.candidate.release, GOOD.isolation)
    assert (run.suite_digest, run.thresholds) == (given.suite.digest, DEMANDS.metrics)
    assert run.metrics["security-guardrail"] == "0.937500"
    assert run.records == {"report.json": Digest.of(b"{}")}


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        ({"trouble": ("the candidate died",)}, "died"),
        ({"whole": frozenset({"security-guardrail"})}, "all of them must hold"),
        ({"served": False}, "not served"),
        ({"isolation": ("namespaces",)}, "not held by seccomp"),
        ({"isolation": None}, "not held by namespaces, seccomp"),
        ({"measures": {}}, "input-contract was not measured"),
        ({"measures": {**GOOD.measures, "input-contract": Measure(39, 40)}}, "input-contract is 39 of 40"),
        ({"measures": {**GOOD.measures, "security-guardrail": Measure(66, 80)}}, "security-guardrail is 66 of 80"),
        ({"measures": {**GOOD.measures, "security-guardrail": Measure(49, 49)}}, "counts 49, at least 50"),
        ({"measures": {**GOOD.measures, "security-guardrail": Measure(value="1")}}, "counts 0, at least 50"),
    ],
)
def test_near_misses_of_a_run_have_failed(given, spoiled, why):
    measured = replace(GOOD, **spoiled)

    assert why in "; ".join(missed(DEMANDS, measured))
    assert result_of(given, measured, TRIAL, BEGUN, BEGUN).result is Verdict.FAILED


def test_a_run_did_not_start_before_it_was_begun(given):
    assert result_of(given, GOOD, TRIAL, BEGUN - timedelta(minutes=1), BEGUN).started_at == BEGUN


def test_a_clock_that_is_behind_ends_no_run_before_it_began(given):
    run = result_of(given, GOOD, TRIAL, BEGUN - timedelta(minutes=2), BEGUN - timedelta(minutes=1))

    assert run.started_at == run.finished_at == BEGUN


def test_what_is_not_wanted_may_fail_in_part(given):
    assert [*missed(DEMANDS, replace(GOOD, whole=frozenset({"fit"})))] == []


def test_what_was_not_served_is_not_said_to_be(given):
    assert result_of(given, replace(GOOD, served=False), TRIAL, BEGUN, BEGUN).served is None


def harness_that(given, does):
    suite = given.suite
    return replace(given, suite=replace(suite, about=replace(suite.about, harness="other"))), {"other": does}


def test_what_a_harness_raises_is_trouble_of_the_run(given, monkeypatch):
    def breaks(_given):
        raise UnavailableError("the sandbox does not answer")

    other, known = harness_that(given, breaks)
    monkeypatch.setattr(conducting, "HARNESSES", known)
    found = conduct(other)

    assert found.trouble == ("the harness broke off: the sandbox does not answer",)
    assert result_of(other, found, TRIAL, BEGUN, BEGUN).result is Verdict.FAILED


@pytest.mark.parametrize("bug", [ValueError("digits"), TypeError("unhashable"), KeyError("id"), RecursionError()])
def test_a_harness_that_a_candidate_crashes_has_failed_and_is_not_unfinished(given, monkeypatch, bug):
    def crashes(_given):
        raise bug

    other, known = harness_that(given, crashes)
    monkeypatch.setattr(conducting, "HARNESSES", known)
    found = conduct(other)

    assert found.trouble == (f"the harness crashed: {type(bug).__name__}",)
    assert result_of(other, found, TRIAL, BEGUN, BEGUN).result is Verdict.FAILED


def test_a_measure_that_the_suite_does_not_name_counts_for_nothing(given, monkeypatch):
    other, known = harness_that(given, lambda _given: replace(GOOD, measures={"invented": Measure(9, 9)}))
    monkeypatch.setattr(conducting, "HARNESSES", known)
    found = conduct(other)

    assert "invented" in found.trouble[0] and found.measures == {}


def test_nobody_knows_a_harness_by_another_name():
    with pytest.raises(VerificationError, match="there are: lockgate"):
        harness_of("shell")


def test_counting():
    assert counted([Tried("a"), Tried("b", "why")]) == Measure(1, 2)
    assert counted([]) is None


def test_a_job_is_what_the_manifest_says(tmp_path):
    command = ("{python}", "-m", "toy", "{file:config/a.json}", "{model}", "{port}", "{bindings}/x.json", "{other}")
    found = candidate(
        tmp_path, {"config/a.json": {}}, command=command, environment={"A": "{bindings}/y", "B": "{port}"}
    )

    job = job_of(found, Surroundings(bindings=tmp_path))

    assert job.command[2:] == ("toy", "/in/model/config/a.json", "/in/model", "8080", "/in/bindings/x.json", "{other}")
    assert job.inputs == {"model": tmp_path, "bindings": tmp_path}
    assert (job.environment["A"], job.environment["B"], job.port) == ("/in/bindings/y", "{port}", 8080)


@pytest.mark.parametrize(
    ("command", "environment"),
    [(("x", "{bindings}"), {}), (("x", "{file:config/b.json}"), {}), (("x",), {"A": "{bindings}"})],
)
def test_near_misses_of_a_job(tmp_path, command, environment):
    found = candidate(tmp_path, {"config/a.json": {}}, command=command, environment=environment)

    with pytest.raises(VerificationError, match="wants"):
        job_of(found, Surroundings())


def test_a_shard_of_before_the_trial_is_none_of_it(given):
    shard = shard_of(given, GOOD, TRIAL, BEGUN, BEGUN)

    run, measured = result_of_shards(shard, TRIAL)
    assert run == result_of(given, GOOD, TRIAL, BEGUN, BEGUN) and measured.measures == GOOD.measures
    with pytest.raises(VerificationError, match="before the trial began"):
        result_of_shards(replace(shard, started_at=BEGUN - timedelta(seconds=1)), TRIAL)
    assert result_of_shards(replace(shard, trouble=("shard 1: it died",)), TRIAL)[0].result is Verdict.FAILED
