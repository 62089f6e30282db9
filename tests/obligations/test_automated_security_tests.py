"""Are the agreed suites run by a versioned harness, over the release itself, and does their result decide?"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockgate import __version__
from lockgate.core.evidence import TestRun
from lockgate.core.policy import Evaluation
from lockgate.drivers.bubblewrap.outer import Bubblewrap
from lockgate.errors import DeniedError
from lockgate.evaluator.assignment import Assignment
from lockgate.evaluator.conducting import Trial, conduct, result_of
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Limits
from lockgate.evaluator.suite_folder import find_suite
from lockgate.formats.digest import Digest
from lockgate.scanner.folder import scan
from tests.evaluator import toy_server
from tests.evaluator.candidates import INTAKE, candidate
from tests.world import PROD, World

PROGRAM = Path(toy_server.__file__).read_text()
SERVED = (sys.executable, "-c", PROGRAM, "--model", "{model}", "--port", "{port}")
WANTED = {"scan": "1", "fit": "1", "input-contract": "1", "security-outputs": "0.9", "utility-outputs": "0.8"}
BLOCK = Evaluation("baseline", WANTED, 30, digests=(find_suite("baseline").digest,), served=True)


@pytest.fixture
def held(world: World) -> World:
    """Make the world demand the baseline, as it is today, of the release itself."""
    rules = replace(world.policy.endpoints[str(PROD)], evaluations=(BLOCK,))
    world.policy = replace(world.policy, version=2, endpoints={str(PROD): rules})
    world.adopt(world.trust, world.policy)
    world.now = datetime.now(UTC)
    return world


def run(folder: Path, mode: str, release: Digest) -> TestRun:
    """Run the baseline over a candidate that serves in a sandbox."""
    files = {"config/intake.json": INTAKE, "config/toy.json": {"mode": mode}, "config/config.json": json.dumps({})}
    found = replace(candidate(folder, files, command=SERVED), release=release)
    around = Surroundings(Limits(memory=1 << 30))
    given = Assignment(find_suite("baseline"), found, scan(folder), Bubblewrap(), around, lambda _name: None)
    began = datetime.now(UTC)
    trial = Trial(0, "", began, BLOCK, Digest.of(b"policy"))
    written = result_of(given, conduct(given), trial, began, datetime.now(UTC))
    return replace(written, trial=None, log=None, policy=None, started_at=None)


@pytest.mark.parametrize(("mode", "why"), [("good", ""), ("breaks", "input-contract"), ("lax", "security-outputs")])
def test_a_release_serves_only_if_it_passed_the_agreed_suite(held: World, tmp_path: Path, mode: str, why: str) -> None:
    release = held.register()
    found = run(tmp_path / "toy", mode, release.digest)
    held.now = datetime.now(UTC)
    held.attest(release, held.built(), found)
    held.approve(number := held.open(release))

    assert (found.harness, found.harness_version, found.suite_version) == ("lockgate", __version__, "1.0.0")
    if why:
        with pytest.raises(DeniedError, match=why):
            held.activate(number)
    else:
        held.activate(number)
        assert held.endpoint().stable is not None


def test_another_version_of_the_suite_is_another_suite(held: World, tmp_path: Path) -> None:
    release = held.register()
    found = run(tmp_path / "toy", "good", release.digest)
    held.now = datetime.now(UTC)
    held.attest(release, held.built(), replace(found, suite_digest=Digest.of(b"an easier baseline")))
    held.approve(number := held.open(release))

    with pytest.raises(DeniedError, match="baseline"):
        held.activate(number)
