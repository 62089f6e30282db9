"""How is a release tried in a world? A suite is added, a trial is begun, and what came of it is attested."""

from dataclasses import replace

from lockgate.app.add_suite import NewSuite, add_suite
from lockgate.app.begin_trial import begin_trial
from lockgate.app.ports import Receipt
from lockgate.core.evidence import TestRun
from lockgate.core.policy import Evaluation
from lockgate.core.release import Release
from lockgate.core.trial import Attempt
from lockgate.formats.names import Name, Version
from tests.world import CONTENT, PROD, SUITE, World

ONE = Version(1, 0, 0)


def add(world: World, name: str = SUITE, who: str = "ci", **changes: object) -> Receipt:
    """Add a suite."""
    new = replace(NewSuite(Name(name), ONE, CONTENT, "0" * 40), **changes)  # type: ignore[arg-type]
    said = world.say(who, "suite.add", f"suite/{new.name}@{new.version}", after=new.digest)
    return add_suite(world.installation, new, said, world.now)


def block_of(world: World) -> Evaluation:
    """Return what the endpoint demands of its first suite."""
    return world.installation.policy().document.endpoints[str(PROD)].evaluations[0]


def attempt_of(world: World, release: Release, /, **changes: object) -> Attempt:
    """Describe a trial that may be begun."""
    wanted = block_of(world)
    tag = release.manifest.tag
    found = Attempt(tag, release.digest, wanted.suite, ONE, CONTENT, wanted.digest, PROD)
    return replace(found, **changes)  # type: ignore[arg-type]


def begin(world: World, release: Release, /, who: str = "ci", **changes: object) -> int:
    """Begin a trial; return its number."""
    attempt = attempt_of(world, release, **changes)
    said = world.say(who, "trial.begin", attempt.tag, after=attempt.digest)
    return begin_trial(world.installation, attempt, said, world.now).first


def result_of(world: World, release: Release, number: int, /, **changes: object) -> TestRun:
    """Describe a run of a trial that passed."""
    policy = world.installation.policy().digest
    run = replace(
        world.ran(), suite_digest=CONTENT, trial=number, log=world.trust.origin, policy=policy,
        served=release.digest, started_at=world.now,
    )  # fmt: skip
    return replace(run, **changes)  # type: ignore[arg-type]
