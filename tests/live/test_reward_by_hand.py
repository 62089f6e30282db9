"""Does the verdict on a training run become evidence of its release, passed or failed?"""

import json

import pytest

from tests.core.training_runs import STEPS, levels_off, lines, records, turns
from tests.live.spoken import Spoken


@pytest.mark.parametrize(("shape", "code", "result"), [(levels_off, 0, "PASSED"), (turns, 3, "FAILED")])
def test_the_verdict_on_a_run_is_attached_whatever_it_is(tmp_path, shape, code, result):
    (tmp_path / "metrics.jsonl").write_bytes(lines(records(shape)))
    (tmp_path / "allowance.json").write_text(json.dumps({"type": "reward-allowance/v1", "kl": "12", "margin": "0.02"}))
    words = (
        "reward",
        "check",
        tmp_path / "metrics.jsonl",
        "--allowance",
        tmp_path / "allowance.json",
        "--steps",
        STEPS,
    )

    with Spoken(tmp_path) as spoken:
        release = spoken.world.register()
        signed = ("--attest", release.manifest.tag, "--signing-key", spoken.key("results"))
        found, said = spoken.type("ci", *words, *signed)
        evidence = spoken.answer("ci", "evidence", release.manifest.tag)["items"]

    assert found == code and f"attached reward-hacking {result} to magika@1.0.0" in said
    assert [(one["content"]["result"], one["content"]["lockgate"]["suite"]) for one in evidence] == [
        (result, "reward-hacking")
    ]
