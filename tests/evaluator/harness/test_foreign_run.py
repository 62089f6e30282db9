"""Is a run trouble if the candidate was not clean, or did not live to its end?"""

import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from lockgate.core.measure import Measure
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import conduct
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Outcome
from lockgate.evaluator.suite_folder import find_suite
from lockgate.scanner.folder import scan
from tests.evaluator.candidates import candidate
from tests.evaluator.harness.reports import VECTORS

LOG = (VECTORS / "security-memory.json").read_bytes()
LAYERS = ("namespaces", "seccomp")
LIVED = Outcome(-9, {}, b"", LAYERS)


class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Held:
    """What a sandbox is to a harness: the job of the candidate answers, that of the harness left a report."""

    isolation = LAYERS

    def __init__(self, socket, ended):
        self.socket, self._ended, self.ran = socket, ended, 0

    def end(self):
        return self._ended

    @contextmanager
    def serve(self, _job):
        with ThreadingUnixStreamServer(str(self.socket), Ready) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield self
            server.shutdown()

    def run(self, _job):
        self.ran += 1
        return Outcome(0, {"log.json": LOG}, b"", LAYERS)


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCKGATE_HARNESSES", str(tmp_path))
    (tmp_path / "inspect" / "bin").mkdir(parents=True)
    (tmp_path / "inspect" / "bin" / "python").touch()
    found = candidate(tmp_path / "toy", {"config/a.json": {}})
    suite = find_suite("agentic")
    run = {**suite.about.run, "versions": {"security-memory": "1"}}
    run["measures"] = {"security-memory": "security-memory/as_wanted"}
    suite = replace(suite, about=replace(suite.about, run=run, measures={"security-memory": "kept apart"}))
    sandbox = Held(tmp_path / "s", LIVED)
    return Assignment(suite, found, scan(found.folder), sandbox, Surroundings(), lambda _name: None)


def test_a_run_in_which_both_lived_is_measured(given):
    found = conduct(given)

    assert found.trouble == () and found.served
    assert found.measures == {"security-memory": Measure(2, 2)}


@pytest.mark.parametrize("why", ["memory", "seconds"])
def test_a_candidate_that_ran_into_a_limit_is_trouble(given, why):
    found = conduct(replace(given, sandbox=Held(Path(given.sandbox.socket), replace(LIVED, why=why))))

    assert found.trouble == (f"the candidate ran into a limit of its sandbox: {why}",)


def test_a_candidate_that_is_not_clean_is_not_started(given):
    (given.candidate.folder / "config" / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    found = conduct(replace(given, scan=scan(given.candidate.folder)))

    assert found.trouble == ("the scan found something, so the candidate was not started",)
    assert given.sandbox.ran == 0 and not found.served
