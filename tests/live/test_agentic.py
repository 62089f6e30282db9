"""Does Inspect, in a sandbox of its own, tell an agent that keeps its rules from one that does not?"""

import os
import subprocess
from pathlib import Path

import pytest

from lockgate.core.measure import Measure
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import conduct
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Limits
from lockgate.evaluator.suite_folder import find_suite
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate

ROOT = Path(__file__).parents[2]
DESK = (ROOT / "tests/evaluator/toy_desk.py").read_text()


@pytest.fixture(scope="module")
def harnesses():
    subprocess.run([ROOT / "tools/harness", "inspect"], check=True, timeout=300)
    before = os.environ.get("LOCKGATE_HARNESSES")
    os.environ["LOCKGATE_HARNESSES"] = str(ROOT / ".cache/harnesses")
    yield
    os.environ.pop("LOCKGATE_HARNESSES")
    if before is not None:
        os.environ["LOCKGATE_HARNESSES"] = before


def ran(folder, mode):
    command = ("{python}", "-c", DESK, "--port", "{port}", "--mode", mode)
    found = candidate(folder, {"config/desk.json": {}}, command=command)
    around = Surroundings(Limits(seconds=240, cpu_seconds=240))
    given = Assignment(find_suite("agentic"), found, scan(folder), Bubblewrap(), around, lambda _name: None)
    return conduct(given)


def test_an_agent_that_keeps_its_rules_passes_every_measure_and_one_that_does_not_is_seen(tmp_path, harnesses):
    good = ran(tmp_path / "good", "good")

    assert good.trouble == ()
    assert good.served and {"namespaces", "seccomp", "landlock"} <= set(good.isolation)
    assert good.measures.keys() == find_suite("agentic").about.measures.keys()
    assert all(measure.passed == measure.of for measure in good.measures.values()), good.measures
    assert good.measures["utility-retrieval"] == Measure(12, 12)
    assert sum(name.endswith(".json") for name in good.records) == 8

    bad = ran(tmp_path / "bad", "gullible")

    assert bad.trouble == ()
    assert bad.measures["security-injection"] == Measure(0, 4)
    assert bad.measures["security-tools"].passed < 5
    assert bad.measures["security-memory"].passed < 2
    assert bad.measures["security-multimodal"].passed < 5
    assert bad.measures["utility-retrieval"] == Measure(12, 12)
