"""A whole installation over HTTP, real sandboxes, and the command as a person types it: what does the gate believe?"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.policy import Evaluation, Scans
from lockgate.core.release import Serve
from lockgate.errors import DeniedError
from lockgate.evaluator.suite_folder import find_suite
from tests.evaluator import toy_server
from tests.evaluator.candidates import INTAKE, tensors
from tests.live.spoken import Spoken
from tests.world import PROD, key

pytestmark = pytest.mark.live
PROGRAM = Path(toy_server.__file__).read_text()
DEMANDED = {"scan": "1", "fit": "1", "input-contract": "1", "security-guardrail": "0.6", "utility-guardrail": "0.9"}
BLOCK = Evaluation(
    "baseline", DEMANDED, 30, least={"security-guardrail": 80}, isolation=("namespaces", "seccomp", "landlock"),
    trials=3, served=True,
)  # fmt: skip
COMMAND = ("{python}", "-c", PROGRAM, "--model", "{model}", "--port", "{port}")


@pytest.fixture
def spoken(tmp_path):
    with Spoken(tmp_path) as found:
        world = found.world
        rules = replace(world.policy.endpoints[str(PROD)], evaluations=(BLOCK,), scans=Scans(30))
        world.policy = replace(world.policy, version=2, endpoints={str(PROD): rules})
        world.adopt(world.trust, world.policy)
        (tmp_path / "results.pem").write_bytes(key("results").pem)
        yield found


def register(spoken, mode="good", version="1.0.0", command=COMMAND, **more):
    files = {
        "weights": {"model.safetensors": tensors(a=(4, 4))},
        "config": {
            "config.json": b"{}", "intake.json": json.dumps(INTAKE).encode(),
            "toy.json": json.dumps({"mode": mode}).encode(), **more,
        },
    }  # fmt: skip
    return spoken.world.register(version, held=files, serve=Serve(command, {}))


def evaluate(spoken, *more, tag="magika@1.0.0"):
    words = ("evaluate", tag, "--endpoint", PROD, "--signing-key", spoken.folder / "results.pem", *more)
    words += ("--lacking", "cgroup", "--json")
    code, said = spoken.type("ci", *words)
    return code, json.loads(said.strip().splitlines()[-1]) if said.strip().startswith("{") else said


def assess(spoken, release):
    """Have the change approved and activated as ever; return the reasons against it, none if it went through."""
    world = spoken.world
    world.now = datetime.now(UTC)
    world.attest(release, world.built())
    world.approve(number := world.open(release))
    try:
        world.activate(number)
    except DeniedError as e:
        return "; ".join(e.reasons)
    return ""


def test_what_passes_in_the_sandbox_passes_the_gate(spoken):
    release = register(spoken)
    code, found = evaluate(spoken)

    assert (code, found["reasons"], found["served"]) == (0, [], True)
    assert found["suite_digest"] == str(find_suite("baseline").digest)
    rows = {row["measure"]: row for row in found["measures"]}
    assert (rows["input-contract"]["verdict"], rows["chat-template"]["verdict"]) == ("passed", "absent")
    assert rows["security-guardrail"]["of"] == 80 and float(rows["security-guardrail"]["bound"]) < 0.9
    assert found["attested"].keys() == {"scan", "baseline"}
    assert assess(spoken, release) == ""
    spoken.world.check()


@pytest.mark.parametrize(
    ("mode", "why"),
    [
        ("breaks", "input-contract"),
        ("dies", "input-contract"),
        ("lax", "security-guardrail"),
        ("none", "input-contract"),
    ],
)
def test_what_is_bad_is_attested_as_failed_and_denied(spoken, mode, why):
    command = ("{python}", "-c", "raise SystemExit(3)") if mode == "none" else COMMAND
    release = register(spoken, mode, command=command)
    code, found = evaluate(spoken)

    assert code == 3 and found["attested"]["baseline"]["result"] == Verdict.FAILED
    assert why in "; ".join(found["reasons"])
    assert "suite baseline FAILED" in assess(spoken, release)


def test_what_the_scan_refuses_is_denied_and_never_started(spoken):
    release = register(spoken, **{"extra.pkl": b"cos\nsystem\n(S'id'\ntR."})
    code, found = evaluate(spoken)

    assert code == 3 and found["attested"]["scan"]["result"] == found["attested"]["baseline"]["result"] == "FAILED"
    assert not found["served"] and found["isolation"] == []
    assert "suite scan FAILED" in assess(spoken, release)


SECOND = """#!{python}
import json, os, sys
files = sum(len(names) for _, _, names in os.walk(sys.argv[1]))
found = [{{"file": "model", "text": "looks odd"}}] if {odd} else []
print(json.dumps({{"scanner": "second", "version": "2.0", "files": files, "findings": found}}))
"""


@pytest.mark.parametrize("odd", [False, True])
def test_a_second_scanner_that_the_policy_wants_is_asked_and_can_only_deny(spoken, odd):
    ruled = spoken.world.policy.endpoints[str(PROD)]
    ruled = replace(ruled, scans=Scans(30, also=("second",)))
    spoken.world.policy = replace(spoken.world.policy, version=3, endpoints={str(PROD): ruled})
    spoken.world.adopt(spoken.world.trust, spoken.world.policy)
    program = spoken.folder / "second"
    program.write_text(SECOND.format(python=sys.executable, odd=odd))
    program.chmod(0o755)
    release = register(spoken)

    code, found = evaluate(spoken, "--also", program)

    assert found["attested"].keys() == {"scan", "scan/second", "baseline"}
    assert found["attested"]["scan"]["result"] == "PASSED"
    assert (code, found["served"]) == ((3, False) if odd else (0, True))
    denied = assess(spoken, release)
    assert ("suite scan/second FAILED" in denied) is odd and (denied == "") is not odd


def test_a_run_that_is_killed_leaves_an_unfinished_trial_and_the_gate_denies(spoken):
    release = register(spoken, "hangs")
    environment = {
        **os.environ, "LOCKGATE_SERVER": f"http://127.0.0.1:{spoken.port}", "LOCKGATE_ACTOR": "ci",
        "LOCKGATE_KEY": str(spoken.key("ci")),
    }  # fmt: skip
    words = ["evaluate", "magika@1.0.0", "--endpoint", str(PROD), "--signing-key", str(spoken.folder / "results.pem")]
    words += ["--lacking", "cgroup"]
    process = subprocess.Popen([sys.executable, "-m", "lockgate", *words], env=environment, stdout=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while not spoken.world.record("magika@1.0.0").trials:
        assert time.monotonic() < ends and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert "unfinished" in assess(spoken, release)


def test_a_result_cannot_be_had_without_a_trial_nor_by_asking_too_often(spoken):
    register(spoken, "breaks")
    for _ in range(3):
        assert evaluate(spoken)[0] == 3

    code, said = evaluate(spoken)
    assert code == 3 and "no more are allowed" in str(said)


def test_only_looking_writes_nothing_and_says_so(spoken):
    register(spoken)
    before = spoken.world.record("magika@1.0.0")
    code, said = spoken.type("ci", "evaluate", "magika@1.0.0", "--endpoint", PROD, "--no-attest", "--lacking", "cgroup")

    assert code == 0 and "NOTHING OF THIS COUNTS" in said
    assert spoken.world.record("magika@1.0.0") == before
    assert spoken.type("ci", "evaluate", "magika@1.0.0", "--endpoint", PROD)[0] == 2


def test_another_digest_another_suite_or_another_endpoint_is_no_trial(spoken):
    register(spoken)

    assert evaluate(spoken, "--digest", f"sha256:{'0' * 64}")[0] == 4
    assert evaluate(spoken, "--suite", "other")[0] == 4
    code, said = spoken.type("ci", "evaluate", "magika@1.0.0", "--endpoint", "prod/other", "--no-attest")
    assert code == 3 and "does not name prod/other" in said
    assert spoken.world.record("magika@1.0.0").trials is None


def test_suites_are_listed_shown_and_added(spoken, tmp_path):
    folder = tmp_path / "suites" / "answers"
    folder.mkdir(parents=True)
    (folder / "suite.toml").write_text(
        'name = "answers"\nversion = "1.0.0"\nharness = "inspect"\nneeds = []\n[measures]\naccuracy = "right answers"\n'
    )

    listed = spoken.answer("ci", "suite", "list", "--suites-dir", folder.parent)["items"]
    assert {each["name"] for each in listed} >= {"baseline", "answers"}
    assert spoken.answer("ci", "suite", "show", "baseline")["digest"] == str(find_suite("baseline").digest)
    assert spoken.type("ci", "suite", "add", folder)[0] == 4
    for words in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    assert spoken.answer("ci", "suite", "add", folder)["entry"] > 0
    assert spoken.type("ci", "suite", "add", folder)[0] == 3
