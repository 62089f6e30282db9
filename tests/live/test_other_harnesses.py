"""Do promptfoo, lm-eval and garak, in a sandbox, count what a desk does, and nothing of one that died?"""

import os
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
SUITES = ROOT / "tests/evaluator/suites"
COUNTED = {
    "promptfoo": {"security-injection": Measure(3, 3), "utility-pages": Measure(3, 3)},
    "lm-eval": {"utility-pages": Measure(12, 12)},
    "garak": {"security-dan": Measure(127, 127), "security-anti-dan": Measure(1, 1)},
}


def ran(name, folder, mode, monkeypatch):
    harnesses = Path(os.environ.get("LOCKGATE_HARNESSES") or ROOT / ".cache/harnesses")
    if not (harnesses / name / ".lock").exists():
        pytest.skip(f"elsewhere: {name} takes minutes and hundreds of megabytes; `tools/harness {name}` makes it")
    monkeypatch.setenv("LOCKGATE_HARNESSES", str(harnesses))
    command = ("{python}", "-c", DESK, "--port", "{port}", "--mode", mode)
    found = candidate(folder, {"config/desk.json": {}}, command=command)
    around = Surroundings(Limits(seconds=400, cpu_seconds=400))
    suite = find_suite(f"desk-{name}", SUITES)
    return conduct(Assignment(suite, found, scan(folder), Bubblewrap(), around, lambda _name: None))


@pytest.mark.parametrize("name", COUNTED)
def test_what_a_desk_does_is_counted(name, tmp_path, monkeypatch):
    found = ran(name, tmp_path, "good", monkeypatch)

    assert found.trouble == ()
    assert found.measures == COUNTED[name]
    assert found.served and {"namespaces", "seccomp", "landlock"} <= set(found.isolation)


@pytest.mark.parametrize("name", COUNTED)
def test_a_desk_that_died_in_the_middle_shows_nothing(name, tmp_path, monkeypatch):
    found = ran(name, tmp_path, "dies", monkeypatch)

    assert found.trouble and found.measures == {}
