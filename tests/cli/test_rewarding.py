"""Does a person see what the metrics of a run show?"""

import json

import pytest
from click.testing import CliRunner

from lockgate.cli.main import cli
from lockgate.cli.rewarding import spark
from lockgate.errors import VerificationError
from tests.core.training_runs import STEPS, lines, records, turns

ALLOWED = {"type": "reward-allowance/v1", "kl": "12", "margin": "0.02"}


@pytest.fixture
def check(tmp_path):
    def look(metrics, *words, steps=STEPS):
        (tmp_path / "metrics.jsonl").write_bytes(metrics)
        (tmp_path / "allowance.json").write_text(json.dumps(ALLOWED))
        named = ["reward", "check", f"{tmp_path}/metrics.jsonl", "--allowance", f"{tmp_path}/allowance.json"]
        done = CliRunner().invoke(cli, [*named, "--steps", str(steps), *words], standalone_mode=False)
        if done.exception:
            raise done.exception
        return done.return_value, done.output

    return look


def test_a_healthy_run_is_drawn_and_ends_with_0(check):
    code, said = check(lines(records()))

    assert code == 0
    assert "signs of reward hacking: none" in said and "held out  ▁" in said


def test_a_hacked_run_is_said_and_ends_with_3(check):
    code, said = check(lines(records(turns)))

    assert code == 3
    assert "- between steps 610 and 1200 the held-out measure falls by" in said
    assert "signs of reward hacking: 1" in said


def test_programs_are_told_everything(check):
    code, said = check(lines(records(turns)), "--json")

    found = json.loads(said)
    assert (code, found["result"], found["metrics"]["share-without-hacking"]) == (3, "FAILED", "0.5000")
    assert [(one["sort"], one["first"], one["last"]) for one in found["findings"]] == [("over-optimised", 610, 1200)]


def test_a_run_that_was_cut_off_is_no_healthy_one(check):
    with pytest.raises(VerificationError, match="end with step 1200, and the run with step 2400"):
        check(lines(records()), steps=2400)


def test_a_picture_goes_from_the_least_to_the_most():
    assert spark(range(8)) == "▁▂▃▄▅▆▇█"
    assert spark([3]) == spark([-3]) == "▁"
    assert spark([5] * 10) == "▁" * 10
    assert len(spark(range(1000))) == 48
