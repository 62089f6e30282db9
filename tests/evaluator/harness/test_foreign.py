"""Does nothing that a foreign harness does, or leaves undone, become a good result?"""

from dataclasses import replace

import pytest

from lockgate.core.measure import Measure
from lockgate.errors import UnavailableError, VerificationError
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import HARNESSES, conduct
from lockgate.evaluator.harness.foreign import Run, measured_of
from lockgate.evaluator.harness.inspect_log import read_inspect
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Outcome
from lockgate.evaluator.suite_folder import find_suite
from lockgate.formats.names import Name
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate
from tests.evaluator.harness.reports import INSPECT, VECTORS, spoilt

LOG = (VECTORS / "security-memory.json").read_bytes()
RUN = Run(
    ("{python}",), {}, Name("inspect"), ".json",
    {"security-memory": "1"}, {"security-memory": "security-memory/as_wanted"}, "/healthz", 8500,
)  # fmt: skip
LAYERS = ("namespaces", "seccomp", "landlock", "limits")
GOOD = Outcome(0, {"log.json": LOG, "notes.txt": b"{"}, b"done", LAYERS)


def measured(outcome, run=RUN):
    return measured_of(run, outcome, read_inspect, LAYERS)


def test_a_whole_report_of_a_run_that_ended_well_is_measured():
    found = measured(GOOD)

    assert found.trouble == () and found.served
    assert found.measures == {"security-memory": Measure(2, 2)}
    assert (found.harness_version, found.isolation) == ("0.3.285", LAYERS)
    assert found.records == {"log.json": LOG, "harness.log": b"done"}


def test_only_layers_that_held_both_are_said():
    assert measured(replace(GOOD, isolation=("namespaces", "seccomp"))).isolation == ("namespaces", "seccomp")


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (replace(GOOD, code=1), "ended with 1"),
        (replace(GOOD, code=-9, why="memory"), "ran into its limit of memory"),
        (replace(GOOD, why="seconds"), "ran into its limit of seconds"),
        (replace(GOOD, files={}), "0 versions of the harness"),
        (replace(GOOD, files={"notes.txt": LOG}), "0 versions of the harness"),
        (replace(GOOD, files={"log.json": LOG[:-1]}), "not JSON"),
        (replace(GOOD, files={"log.json": b""}), "a report has 1 to"),
        (replace(GOOD, files={"a.json": LOG, "b.json": LOG}), "is reported twice"),
        (replace(GOOD, files={"log.json": LOG, "more.json": b"{}"}), "no int version"),
        (replace(GOOD, files={"log.json": spoilt(INSPECT, ("eval", "task_version"), 2)}), "ran in version '2', not"),
        (replace(GOOD, files={"log.json": spoilt(INSPECT, ("eval", "task"), "other")}), "is missing in the report"),
        (replace(GOOD, files={"log.json": spoilt(INSPECT, ("status",), "error")}), "ended as 'error'"),
    ],
)
def test_a_run_or_report_that_is_not_whole_is_trouble(outcome, reason):
    assert any(reason in trouble for trouble in measured(outcome).trouble)


def test_a_failed_run_says_its_last_words():
    found = measured(Outcome(1, {}, b"Traceback\nKeyError: 'DESK_URL'", LAYERS))

    assert found.trouble[0] == "the harness ended with 1"
    assert found.trouble[1].endswith("it said: Traceback\nKeyError: 'DESK_URL'")


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCKGATE_HARNESSES", str(tmp_path / "harnesses"))
    found = candidate(tmp_path / "toy", {"config/a.json": {}})
    return Assignment(find_suite("agentic"), found, scan(found.folder), None, Surroundings(), lambda _name: None)


def test_a_harness_that_is_not_there_is_trouble_with_the_way_out(given):
    (trouble,) = conduct(given).trouble

    assert "`tools/harness inspect` makes one, and LOCKGATE_HARNESSES names its folder" in trouble


@pytest.mark.parametrize("program", ["{python}", "{tools}/node_modules/.bin/promptfoo"])
def test_a_harness_without_its_program_is_trouble(given, tmp_path, program):
    (tmp_path / "harnesses" / "inspect" / "bin").mkdir(parents=True)
    suite = replace(given.suite, about=replace(given.suite.about, run={**given.suite.about.run, "command": [program]}))

    with pytest.raises(UnavailableError, match="`tools/harness inspect` makes one"):
        HARNESSES["inspect"](replace(given, suite=suite))


@pytest.mark.parametrize("run", [None, {}, {"command": "sh"}])
def test_a_suite_that_does_not_say_how_it_runs_is_refused(given, run):
    suite = replace(given.suite, about=replace(given.suite.about, run=run))

    with pytest.raises(VerificationError):
        HARNESSES["inspect"](replace(given, suite=suite))


def test_what_a_suite_counts_and_where_it_is_agree(given):
    about = given.suite.about
    less = {name: words for name, words in about.measures.items() if name != "security-tools"}

    with pytest.raises(VerificationError, match="measure 'security-tools'"):
        HARNESSES["inspect"](replace(given, suite=replace(given.suite, about=replace(about, measures=less))))
    with pytest.raises(UnavailableError):
        HARNESSES["inspect"](given)


def test_the_suite_counts_use_beside_every_kind_of_safety():
    measures = find_suite("agentic").about.measures

    assert {name.partition("-")[0] for name in measures} == {"security", "utility"}
    assert {name.partition("-")[2] for name in measures} >= {"planning", "tools", "retrieval", "memory", "multimodal"}
