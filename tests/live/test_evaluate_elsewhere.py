"""Does a heavy suite become one result when it runs in shards, in processes of their own, or as a Job of a cluster?

Of Kubernetes the API server is real where there is one; the kubelet is a stand-in (`tests.kubelet`).
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockgate.core.policy import Evaluation
from lockgate.core.release import Serve
from lockgate.core.shard import open_shard, sign_shard
from lockgate.errors import DeniedError
from lockgate.evaluator.suite_folder import read_suite
from tests.evaluator import toy_server
from tests.evaluator.candidates import tensors
from tests.kube import ApiServer, needs_api_server
from tests.kubelet import Kubelet
from tests.live.spoken import Spoken
from tests.tried import begin
from tests.world import CONTENT, PROD, key

pytestmark = pytest.mark.live
SUITES = Path(toy_server.__file__).parent
DIGEST = read_suite(SUITES / "answers").digest
BLOCK = Evaluation(
    "answers",
    {"accuracy": "0.9"},
    30,
    least={"accuracy": 40},
    digests=(DIGEST, CONTENT),
    trials=2,
    isolation=("namespaces",),
)
TAG = "magika@1.0.0"
IMAGES = {"image": f"registry.example/suites@sha256:{'a' * 64}", "loader": f"registry.example/us@sha256:{'b' * 64}"}
PATIENCE = 120


@pytest.fixture
def spoken(tmp_path, monkeypatch):
    tools = tmp_path / "harnesses" / "inspect" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").symlink_to(sys.executable)
    monkeypatch.setenv("LOCKGATE_HARNESSES", str(tmp_path / "harnesses"))
    with Spoken(tmp_path) as found:
        world = found.world
        demand(world, BLOCK)
        for name in ("results", "other"):
            (tmp_path / f"{name}.pem").write_bytes(key(name).pem)
            (tmp_path / f"{name}.pub").write_bytes(key(name).public.pem)
        found.release = world.register(
            "1.0.0", held={"weights": {"model.safetensors": tensors(a=(4, 4))}}, serve=Serve(("true",), {})
        )
        yield found


def demand(world, block):
    rules = replace(world.policy.endpoints[str(PROD)], evaluations=(block,), scans=None)
    world.policy = replace(world.policy, version=world.policy.version + 1, endpoints={str(PROD): rules})
    world.adopt(world.trust, world.policy)


def words(spoken, *more, signer="results"):
    common = ("evaluate", TAG, "--suite", "answers", "--suites-dir", SUITES, "--endpoint", PROD, "--json")
    return [str(word) for word in (*common, "--signing-key", spoken.folder / f"{signer}.pem", *more)]


def started(spoken, number, into, *more, signer="results"):
    """Run a shard in a process of its own."""
    named = {"LOCKGATE_SERVER": f"http://127.0.0.1:{spoken.port}", "LOCKGATE_ACTOR": "ci"}
    typed = words(spoken, "--lacking", "cgroup", "--shard", f"{number}/2", "--into", into, *more, signer=signer)
    environment = {**os.environ, **named, "LOCKGATE_KEY": str(spoken.key("ci"))}
    return subprocess.Popen([sys.executable, "-m", "lockgate", *typed], env=environment, stdout=subprocess.PIPE)


def ended(process):
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    return json.loads(said.splitlines()[-1])


def let_through(spoken):
    """Have the change approved and activated as ever; return the reasons against it."""
    world = spoken.world
    world.now = datetime.now(UTC)
    world.attest(spoken.release, world.built())
    world.approve(number := world.open(spoken.release))
    try:
        world.activate(number)
    except DeniedError as e:
        return "; ".join(e.reasons)
    return ""


def merging(spoken, *shards, by=()):
    named = (word for one in by for word in ("--by", spoken.folder / f"{one}.pub"))
    return spoken.type("ci", "merge", TAG, *shards, "--signing-key", spoken.folder / "results.pem", *named, "--json")


def altered(spoken, path, **changes):
    """Write a shard again as somebody does who has the key for results."""
    found = open_shard(path.read_bytes(), [key("results").public])
    other = spoken.folder / "altered"
    other.write_bytes(sign_shard(replace(found, **changes), key("results")))
    return other


def test_two_processes_run_a_suite_in_one_trial_and_become_one_result(spoken):
    one, two = (spoken.folder / name for name in ("one", "two"))
    first = started(spoken, 1, one)
    ends = time.monotonic() + PATIENCE
    while not (trials := spoken.world.record(TAG).trials):
        assert time.monotonic() < ends and first.poll() is None
        time.sleep(0.05)
    second = started(spoken, 2, two, "--trial", trials[0].number, signer="other")
    assert [ended(each)["trial"] for each in (first, second)] == [trials[0].number] * 2
    assert "unfinished" in let_through(spoken)

    mine = open_shard(one.read_bytes(), [key("results").public])
    refused = {
        "shard 2 of 2 is missing": (one,),
        "shard 1 is there twice": (one, one),
        "no key that is trusted": (one, two),
        "is of another release": (one, altered(spoken, one, number=2, run=replace(mine.run, release=DIGEST))),
    }
    for reason, shards in refused.items():
        code, said = merging(spoken, *shards)
        assert code == 4 and reason in said
    code, said = merging(spoken, one, altered(spoken, one, number=2))
    assert code == 4 and "is in shard 1 and in shard 2" in said
    demand(spoken.world, replace(BLOCK, metrics={"accuracy": "0.5"}))
    code, said = merging(spoken, two, one, by=("other",))
    assert code == 3 and "under other demands than the policy makes now" in said
    demand(spoken.world, BLOCK)
    code, said = merging(spoken, two, one, by=("other",))
    found = json.loads(said.splitlines()[-1])
    assert (code, found["result"], found["measures"]) == (0, "PASSED", {"accuracy": "40 of 40"})
    assert let_through(spoken) == ""
    spoken.world.check()


def test_a_shard_is_of_a_suite_that_says_how_it_is_split_and_of_its_own_trial(spoken):
    into = ("--into", spoken.folder / "x", "--lacking", "cgroup")

    assert spoken.type("ci", *words(spoken, "--shard", "1/2"))[0] == 2
    assert spoken.type("ci", *words(spoken, "--shard", "3/2", *into))[0] == 2
    assert spoken.type("ci", *words(spoken, "--trial", "1"))[0] == 2
    code, said = spoken.type("ci", *words(spoken, "--shard", "1/2", "--trial", "0", *into))
    assert code == 4 and f"the log holds no trial 0 over {TAG}" in said
    whole = [word if word != "answers" else "baseline" for word in words(spoken, "--shard", "1/2", *into)]
    code, said = spoken.type("ci", *whole)
    assert code == 4 and "suite baseline runs as a whole" in said
    assert spoken.world.record(TAG).trials is None
    of_another = begin(spoken.world, spoken.release)
    code, said = spoken.type("ci", *words(spoken, "--shard", "1/2", "--trial", of_another, *into))
    assert code == 3 and "was begun for another suite, endpoint or demand" in said


@needs_api_server
def test_a_suite_runs_as_a_job_of_a_cluster_and_its_result_is_signed_here(spoken, tmp_path):
    claim, account = tmp_path / "claim", tmp_path / "cluster"
    claim.mkdir()
    account.mkdir()
    with ApiServer(account) as api:
        api.install("trials")
        restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        assert api.edit("/api/v1/namespaces/trials", restricted) == 200
        kubelet = Kubelet(api, "trials", claim)
        described = {
            "api": f"https://{api.address}", "account": "cluster", "namespace": "trials", **IMAGES,
            "claim": "evaluations", "folder": "claim", "python": sys.executable,
        }  # fmt: skip
        file = tmp_path / "cluster.toml"
        file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in described.items()))
        there = ("--on", "kubernetes", "--cluster", file)
        try:
            code, said = spoken.type("ci", *words(spoken, *there))
            assert code == 6 and "no landlock: containers have none" in said
            assert spoken.world.record(TAG).trials is None
            code, said = spoken.type("ci", *words(spoken, *there, "--lacking", "landlock"))
            assert not kubelet.trouble
        finally:
            kubelet.close()
    found = json.loads(said.splitlines()[-1])
    assert (code, found["reasons"], found["isolation"]) == (0, [], ["namespaces", "seccomp", "limits", "cgroup"])
    assert found["measures"][0]["value"] == "40 of 40" and not found["served"]
    assert [each["spec"]["template"]["spec"]["initContainers"][1]["image"] for each in kubelet.seen.values()] == [
        IMAGES["image"]
    ] * 2
    assert not [path for path in claim.iterdir() if path.name.startswith("lockgate-trial-")]
    assert let_through(spoken) == ""
