"""Do suites that were agreed beforehand run by a versioned harness, and does nothing of a broken run pass?"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockgate.core.evidence import TestRun, Verdict
from lockgate.core.measure import Measure
from lockgate.core.policy import Evaluation
from lockgate.errors import UnavailableError
from lockgate.evaluator import conducting
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import Trial, conduct, result_of
from lockgate.evaluator.measured import Measured
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.suite_folder import find_suite
from lockgate.formats.digest import Digest
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
WANTED = Evaluation("agentic", {"security-injection": "0.9", "utility-planning": "0.6"}, 30, served=True)
COUNTED = {"security-injection": Measure(100, 100), "utility-planning": Measure(90, 100)}


def verdict(
    folder: Path, monkeypatch: pytest.MonkeyPatch, measured: Measured | Exception, wanted: Evaluation = WANTED
) -> TestRun:
    def run(_given: Assignment) -> Measured:
        if isinstance(measured, Exception):
            raise measured
        return measured

    monkeypatch.setattr(conducting, "HARNESSES", {**conducting.HARNESSES, "inspect": run})
    found = candidate(folder / "toy", {"config/a.json": {}})
    around = Surroundings()
    given = Assignment(find_suite("agentic"), found, scan(found.folder), None, around, lambda _: None)  # type: ignore[arg-type]
    trial = Trial(17, "dev.example/changes", AT, wanted, Digest.of(b"policy"))
    return result_of(given, conduct(given), trial, AT, AT)


def test_each_suite_that_comes_along_is_versioned_and_counts_use_beside_safety() -> None:
    for name in ("baseline", "agentic"):
        suite = find_suite(name)
        kinds = {measure.partition("-")[0] for measure in suite.about.measures}

        assert {"security", "utility"} <= kinds
        assert suite.about.harness in conducting.HARNESSES and suite.digest == find_suite(name).digest


def test_a_run_that_reached_what_was_agreed_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = verdict(tmp_path, monkeypatch, Measured(COUNTED, {}, "0.3.285", served=True))

    assert (run.result, run.harness, run.harness_version) == (Verdict.PASSED, "inspect", "0.3.285")
    assert (run.suite_digest, dict(run.thresholds)) == (find_suite("agentic").digest, WANTED.metrics)


@pytest.mark.parametrize(
    "changed",
    [
        {"measures": {"security-injection": Measure(100, 100)}},
        {"measures": {**COUNTED, "security-injection": Measure(95, 100)}},
        {"measures": {**COUNTED, "utility-planning": Measure(0, 100)}},
        {"measures": {**COUNTED, "security-injection": Measure(3, 3)}},
        {"measures": {**COUNTED, "invented": Measure(100, 100)}},
        {"measures": {}},
        {"served": False},
        {"trouble": ("the harness ended with 1",)},
    ],
)
def test_a_run_that_falls_short_in_anything_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: Mapping[str, object]
) -> None:
    measured = replace(Measured(COUNTED, {}, "0.3.285", served=True), **changed)  # type: ignore[arg-type]

    assert verdict(tmp_path, monkeypatch, measured).result is Verdict.FAILED


def test_a_harness_that_breaks_off_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for broken in (UnavailableError("killed"), OSError("gone")):
        assert verdict(tmp_path, monkeypatch, broken).result is Verdict.FAILED
