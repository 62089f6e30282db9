"""Does a suite run in portions only if it says how, over files if it wants no more, and with its samples named?"""

from dataclasses import replace
from pathlib import Path

import pytest

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.assignment import Assignment, Portion
from lockgate.evaluator.conducting import check_runs, conduct
from lockgate.evaluator.harness.foreign import run_of
from lockgate.evaluator.harness.reported import Reported, Task, sampled
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Outcome
from lockgate.evaluator.suite_folder import find_suite, read_suite
from lockgate.scanner.folder import scan
from tests.evaluator import answers as _answers
from tests.evaluator.candidates import candidate
from tests.evaluator.harness.reports import VECTORS

ANSWERS = read_suite(Path(_answers.__path__[0]))
LOG = (VECTORS / "security-memory.json").read_bytes()
HALF = Portion(2, 3)


def suite(run=None, **about):
    said = {**ANSWERS.about.run, **(run or {})}
    said = {name: value for name, value in said.items() if value is not None}
    return replace(ANSWERS, about=replace(ANSWERS.about, run=said, **about))


class Seen:
    """A sandbox that writes down what it is asked to run, and leaves one report."""

    def __init__(self, log=LOG):
        self.job, self.log = None, log

    def run(self, job):
        self.job = job
        return Outcome(0, {"log.json": self.log}, b"", ("namespaces", "limits"))


def given(tmp_path, sandbox, **changes):
    found = candidate(tmp_path / "toy", {"weights/a.json": {}})
    run = {"versions": {"security-memory": "1"}, "measures": {"accuracy": "security-memory/as_wanted"}}
    asked = Assignment(suite(run), found, scan(found.folder), sandbox, Surroundings(python="python3"), lambda _: None)
    return replace(asked, **changes)


def test_a_suite_of_files_is_run_on_them_and_nothing_serves(tmp_path):
    sandbox = Seen()
    found = conduct(given(tmp_path, sandbox))

    assert (found.trouble, found.served, found.isolation) == ((), False, ("namespaces", "limits"))
    assert (found.measures, found.samples) == ({"accuracy": Measure(2, 2)}, {})
    assert sandbox.job.command == ("python3", "/in/suite/ask.py", "/in/model", "1", "1")
    assert sandbox.job.inputs.keys() == {"model", "suite"} and not sandbox.job.reach


def test_a_portion_is_told_which_it_is_and_names_its_samples(tmp_path):
    sandbox = Seen()
    found = conduct(given(tmp_path, sandbox, portion=HALF))

    assert sandbox.job.command[-2:] == ("2", "3")
    assert {name: len(samples) for name, samples in found.samples.items()} == {"accuracy": 2}


@pytest.mark.parametrize(
    ("spoiled", "portion", "reason"),
    [
        (suite({"command": ["{python}", "{shard}"]}), HALF, "does not ask for its {shard} of {shards}"),
        (suite({"command": ["{python}", "{shards}"]}), HALF, "does not ask for its {shard} of {shards}"),
        (find_suite("agentic"), HALF, "suite agentic does not ask"),
        (find_suite("baseline"), HALF, "suite baseline runs as a whole"),
        (suite(harness="other"), Portion(), "nobody here knows the harness"),
        (suite({"ready": "/healthz"}), Portion(), "says `ready` and `port` if it needs what is served"),
        (suite({"port": 8500}), Portion(), "says `ready` and `port`"),
        (suite(needs=("served",)), Portion(), "says `ready` and `port`"),
        (suite({"measures": {"recall": "a/b"}}), Portion(), "and not both"),
    ],
)
def test_a_suite_that_cannot_run_so_is_refused_before_anything_begins(spoiled, portion, reason):
    with pytest.raises(VerificationError, match=reason):
        check_runs(spoiled, portion)


def test_a_suite_that_can_is_not():
    for portion in (Portion(), HALF):
        check_runs(ANSWERS, portion)
        assert run_of(ANSWERS, portion).is_split
    check_runs(find_suite("agentic"), Portion())
    check_runs(find_suite("baseline"), Portion())


def test_reports_that_name_no_samples_are_of_no_shard():
    told = Reported("1", {"task": Task("1", {"right": Measure(1, 1)})})

    with pytest.raises(VerificationError, match="do not name samples, so shards cannot be told apart"):
        sampled(told, {"accuracy": "task/right"})
