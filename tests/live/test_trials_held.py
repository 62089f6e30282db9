"""With bubblewrap and a real server process: what comes of a candidate that dies, hangs, breaks or is killed?"""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from lockgate.core.policy import Evaluation
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.evaluator import line, on_trial
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import conduct, missed
from lockgate.evaluator.on_trial import Surroundings, standing
from lockgate.evaluator.sandbox import Limits
from lockgate.evaluator.suite_folder import find_suite
from lockgate.scanner.folder import scan
from tests.evaluator import toy_server
from tests.evaluator.candidates import INTAKE, candidate

pytestmark = pytest.mark.live
PROGRAM = Path(toy_server.__file__).read_text()
SERVED = ("{python}", "-c", PROGRAM, "--model", "{model}", "--port", "{port}")
DEMANDS = Evaluation("baseline", {"input-contract": "1", "security-outputs": "0.9"}, 30, served=True)
FILES = {"config/intake.json": INTAKE, "config/config.json": {"model_type": "toy"}}


def run(folder, mode="good", *, command=SERVED, limits=None, **files):
    """Run the baseline over the toy, as `lockgate evaluate` does."""
    found = candidate(folder / mode, {**FILES, "config/toy.json": {"mode": mode}, **files}, command=command)
    around = Surroundings(limits or Limits(memory=1 << 30))
    given = Assignment(find_suite("baseline"), found, scan(found.folder), Bubblewrap(), around, lambda _name: None)
    return conduct(given)


def test_a_good_candidate_keeps_every_demand(tmp_path):
    measured = run(tmp_path)

    assert [*missed(DEMANDS, measured)] == []
    assert measured.served and {"namespaces", "seccomp", "landlock", "limits"} <= set(measured.isolation)
    assert measured.measures.keys() == {
        "scan", "fit", "input-contract", "security-guardrail", "utility-guardrail", "security-outputs",
        "utility-outputs",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["dies", "breaks", "changes", "lax"])
def test_a_candidate_that_is_bad_falls_short_and_the_report_says_where(tmp_path, mode):
    measured = run(tmp_path, mode)

    assert "input-contract is" in "; ".join(missed(DEMANDS, measured))
    assert json.loads(measured.records["report.json"])["failures"]["input-contract"]


def test_a_candidate_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(line, "WAITED_IN_ALL", 1.0)
    monkeypatch.setattr(line, "PATIENCE", 0.5)

    assert "input-contract is" in "; ".join(missed(DEMANDS, run(tmp_path, "hangs")))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('no weights')", "no weights"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its program ended"),
        ("import time; time.sleep(600)", "not answered 200 within 2 s"),
        ("import socket, time; s = socket.create_server(('127.0.0.1', 8080)); time.sleep(600)", "within 2 s"),
        ("x = bytearray(1 << 40)", "MemoryError"),
    ],
)
def test_a_candidate_that_never_serves_was_not_served(tmp_path, monkeypatch, program, why):
    monkeypatch.setattr(on_trial, "START_SECONDS", 2.0)
    monkeypatch.setattr(on_trial, "_ASK_SECONDS", 0.5)

    measured = run(tmp_path, command=("{python}", "-c", program))

    assert why in measured.trouble[0] and not measured.served
    assert "input-contract was not measured" in "; ".join(missed(DEMANDS, measured))


def test_a_candidate_that_runs_into_a_limit_has_failed_whatever_it_answered(tmp_path):
    measured = run(tmp_path, "talks", limits=Limits(memory=1 << 30, output=1 << 14))

    assert measured.trouble == ("the candidate ran into a limit of its sandbox: output",)
    assert measured.trouble[0] in [*missed(DEMANDS, measured)]


def test_what_the_scan_found_is_never_started(tmp_path):
    marker = tmp_path / "started"
    measured = run(
        tmp_path, command=("/usr/bin/touch", str(marker)), **{"config/evil.pkl": b"cos\nsystem\n(S'id'\ntR."}
    )

    assert measured.trouble == ("the scan found something, so the candidate was not started",)
    assert not marker.exists() and measured.isolation is None


def test_a_candidate_sees_its_own_files_and_nothing_of_ours(tmp_path, monkeypatch):
    monkeypatch.setattr(on_trial, "START_SECONDS", 20.0)
    looks = (
        "import os, sys, http.server as h\n"
        "seen = [os.path.exists(p) for p in (sys.argv[1], '/etc/shadow', '/var', '/in/model/config/toy.json')]\n"
        "class A(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200 if seen == [False, False, False, True] and 'HOME' not in os.environ else 500)\n"
        "        self.end_headers()\n"
        "h.HTTPServer(('127.0.0.1', 8080), A).serve_forever()"
    )
    secret = tmp_path / "secret.pem"
    secret.write_text("key")
    found = candidate(
        tmp_path / "toy", {**FILES, "config/toy.json": {}}, command=("{python}", "-c", looks, str(secret))
    )

    with standing(found, Bubblewrap(), Surroundings(Limits(memory=1 << 30)), "/healthz") as stands:
        assert stands.isolation


def test_a_candidate_that_is_killed_from_outside_has_failed(tmp_path):
    def kill(name):
        for pid in descendants(os.getpid()) - before if name == "input-contract" else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    before = descendants(os.getpid())
    found = candidate(tmp_path / "toy", {**FILES, "config/toy.json": {"mode": "good"}}, command=SERVED)
    around = Surroundings(Limits(memory=1 << 30))
    measured = conduct(Assignment(find_suite("baseline"), found, scan(found.folder), Bubblewrap(), around, kill))

    assert "security-outputs is 0 of 48" in "; ".join(missed(DEMANDS, measured))


def descendants(pid):
    """Find every process that a process has started, and those that these have."""
    found = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found |= {int(child) for child in path.read_text().split()}
    return found.union(*(descendants(child) for child in found))
