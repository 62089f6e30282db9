"""Does a person roll out, follow and take back at the command line what the specification says?"""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

import tests.world
from tests.cli.written import GOOD
from tests.live.company import Company, serving
from tests.world import PROD, key


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    return Company(tmp_path)


@pytest.fixture
def typed(company):
    """Type commands as somebody; what is printed comes back, and the exit code must be the one that is wanted."""
    with serving(company.world) as url:

        def command(who, *words, code=0):
            (company.path / f"{who}.pem").write_bytes(key(who).pem)
            speaker = ["--server", url, "--as", who, "--key", str(company.path / f"{who}.pem")]
            line = [sys.executable, "-m", "lockgate", *map(str, words), *speaker]
            done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout + done.stderr

        yield command


def test_a_rollout_at_the_command_line_from_its_opening_to_its_end(company, typed):
    world = company.world
    world.serve("1.0.0")
    world.attest(world.register("1.1.0"))
    strategy = company.path / "canary.yaml"
    strategy.write_text(GOOD)

    wanted = ("change", "open", "magika@1.1.0", "--endpoint", PROD, "--reason", "better", "--strategy", strategy)
    opened = typed("alice", *wanted)
    assert "step 1: 5 % of new traffic goes to the candidate" in opened
    number = next(word for word in opened.split("change ")[-1].split())
    for who in ("bob", "carol"):
        assert "step 7: wait 1 min" in typed(who, "change", "approve", number, "--yes")
    typed("dave", "change", "activate", number)

    ends = time.monotonic() + 60
    while "candidate  magika@1.1.0  5 %" not in (shown := typed("bob", "rollout", "status", PROD)):  # the server steps
        assert time.monotonic() < ends, shown
    assert "stable     magika@1.0.0  95 %" in shown and "▶ step " in shown and "under way" in shown
    assert "is the stable" not in typed("bob", "rollout", "promote", PROD, code=3)
    assert "one step on" in typed("dave", "rollout", "promote", PROD)
    assert "paused" in typed("dave", "rollout", "pause", PROD)
    assert json.loads(typed("bob", "rollout", "status", PROD, "--json"))["rollout"]["paused"] == "person"
    assert "aborted: the stable release has all traffic" in typed("dave", "rollback", PROD)
    assert "was aborted, because of person" in typed("bob", "rollout", "status", PROD)
    assert "no rollout is in flight" in typed("dave", "rollout", "abort", PROD, code=3)
    assert f"change {number}" in typed("bob", "change", "show", number) or world.change(int(number)).phase == "closed"


def test_a_strategy_that_means_nothing_is_refused_before_anybody_is_asked(company, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("canary: {steps: [{setWeight: 120}, {setWeight: 50}]}\nmetrics: []\n")

    line = [sys.executable, "-m", "lockgate", "strategy", "check", str(bad)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3 and done.stderr.count("denied:") == 4
