"""Who can begin which trial, is each one written down once, and does what came of it decide?"""

from dataclasses import replace

import pytest

from lockgate.app.begin_trial import begin_trial
from lockgate.core.evidence import Verdict
from lockgate.core.journal import release_subject
from lockgate.core.rights import Role
from lockgate.core.trial import Trial
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag, Version
from tests.core.dossiers import MINUTE
from tests.tried import ONE, add, attempt_of, begin, block_of, result_of
from tests.world import CONTENT, NOW, PROD, SUITE, World, rules

OTHER = Digest.of(b"another")


@pytest.fixture
def world():
    world = World()
    demanded(world)
    yield world
    world.check()


def demanded(world, **changes):
    """Adopt a policy that wants trials of the suite."""
    block = replace(rules().evaluations[0], digests=(CONTENT,), versions=">=1.0.0 <2.0.0", trials=2, **changes)
    ruled = replace(rules(), evaluations=(block,))
    policy = replace(world.policy, version=world.policy.version + 1, endpoints={str(PROD): ruled})
    world.adopt(world.trust, policy)
    world.policy = policy


def refused(reason, error=DeniedError):
    return pytest.raises(error, match=reason)


def test_a_trial_is_written_down_under_what_is_demanded_now(world):
    release = world.register()

    number = begin(world, release)

    policy = world.installation.policy().digest
    trial = Trial(number, SUITE, ONE, CONTENT, block_of(world).digest, PROD, policy, Name("ci"), NOW)
    assert world.record("magika@1.0.0").trials == (trial,)


def test_what_came_of_it_lets_the_release_serve_and_only_that(world):
    release = world.register()
    world.attest(release, world.built(), world.ran())
    world.approve(change := world.open(release))
    with refused("is of no trial that was written down"):
        world.activate(change)

    number = begin(world, release)
    with refused(f"trial {number} of suite file-types is unfinished"):
        world.activate(change)
    world.now += MINUTE
    world.attest(release, result_of(world, release, number))

    world.activate(change)
    assert world.endpoint().stable.release == release.digest


def test_an_unfinished_trial_blocks_and_so_does_a_failed_one(world):
    release = world.register()
    world.attest(release, world.built(), result_of(world, release, begin(world, release)))
    world.now += MINUTE
    world.approve(change := world.open(release))
    number = begin(world, release)

    with refused(f"trial {number} of suite file-types is unfinished"):
        world.activate(change)
    world.attest(release, result_of(world, release, number, result=Verdict.FAILED))
    with refused("suite file-types FAILED"):
        world.activate(change)
    with refused("suite file-types was tried 2 times, no more are allowed"):
        begin(world, release)


def test_saying_it_twice_begins_it_once(world):
    release = world.register()
    attempt = attempt_of(world, release)
    said = world.say("ci", "trial.begin", attempt.tag, after=attempt.digest)

    first, second = (begin_trial(world.installation, attempt, said, world.now) for _ in range(2))

    assert first == second and len(world.record("magika@1.0.0").trials) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"release": OTHER}, f"magika@1.0.0 is sha256:.*, not {OTHER}"),
        ({"suite": "others"}, "the policy demands nothing of suite 'others' at prod/magika"),
        ({"suite": "scan"}, "the policy demands nothing of suite 'scan'"),
        ({"suite_version": Version(2, 0, 0)}, "the policy wants versions >=1.0.0 <2.0.0"),
        ({"suite_digest": OTHER}, f"the policy does not list suite file-types with the content {OTHER}"),
        ({"demands": OTHER}, f"the policy demands sha256:.* of suite file-types, not {OTHER}"),
        ({"endpoint": Endpoint.parse("prod/other")}, "does not name prod/other"),
        ({"endpoint": Endpoint.parse("dev/magika")}, "dev/magika is not of this installation"),
        ({"tag": Tag.parse("magika@1.0.1")}, "magika@1.0.1 is not registered here"),
    ],
)
def test_no_trial_is_begun_for_nothing(world, changes, reason):
    release = world.register()

    with refused(reason):
        begin(world, release, **changes)


@pytest.mark.parametrize("who", ["bob", "dave", "olivia", "ann", "host-1", "guard"])
def test_only_authors_and_the_ci_begin_trials(world, who):
    release = world.register()

    with refused(f"{who} has no right to trial.begin"):
        begin(world, release, who)
    begin(world, release, "alice")


def test_one_trial_is_not_another(world):
    release = world.register()
    attempt = attempt_of(world, release)
    said = world.say("ci", "trial.begin", attempt.tag, after=replace(attempt, suite_version=Version(1, 9, 0)).digest)

    with refused("the intent says after"):
        begin_trial(world.installation, attempt, said, world.now)
    with refused("the intent says 'suite.add'", VerificationError):
        begin_trial(world.installation, attempt, replace(said, intent=replace(said.intent, act="suite.add")), NOW)


def test_a_suite_that_was_added_is_the_one_that_was_added(world):
    release = world.register()
    add(world, digest=OTHER)

    with refused(f"file-types@1.0.0 is {OTHER}, not {CONTENT}"):
        begin(world, release)
    add(world, version=Version(1, 0, 1))
    begin(world, release, suite_version=Version(1, 0, 1))


def test_a_revoked_release_is_not_tried(world):
    release = world.register()
    world.revoke("magika@1.0.0")

    with refused("revoked"):
        begin(world, release)


def test_a_result_names_a_trial_that_there_is(world):
    release = world.register()
    number = begin(world, release)

    for wrong in ({"trial": number + 1}, {"suite": "others"}):
        with refused("the log holds no trial"):
            world.attest(release, result_of(world, release, number, **wrong))
    world.attest(release, result_of(world, release, number + 1, log="dev.example/changes"))
    world.attest(release, result_of(world, release, number))
    assert len(world.record("magika@1.0.0").evidence) == 2


def test_the_server_that_was_tested_had_this_release(world):
    release = world.register()
    number = begin(world, release)

    with refused(f"the server that suite 'file-types' tested had release {OTHER}", VerificationError):
        world.attest(release, result_of(world, release, number, served=OTHER))


def test_a_changed_demand_asks_for_another_trial(world):
    release = world.register()
    world.attest(release, world.built(), result_of(world, release, begin(world, release)))
    demanded(world, least={"accuracy": 1})
    world.approve(change := world.open(release))

    with refused("was begun under other demands than the policy makes"):
        world.activate(change)
    begin(world, release)
    assert len(world.memory.find(release_subject(release.manifest.tag)).trials) == 2


def open_to_versions(world):
    """Adopt a policy that lists no content of the suite, but versions."""
    block = replace(rules().evaluations[0], digests=None, versions=">=1.0.0 <2.0.0", trials=2)
    policy = replace(world.policy, version=3, endpoints={str(PROD): replace(rules(), evaluations=(block,))})
    add(world, SUITE, version=Version(1, 9, 0), digest=OTHER)
    world.adopt(world.trust, policy)
    world.policy = policy


def test_the_content_of_a_suite_is_chosen_by_somebody_else(world):
    open_to_versions(world)
    release = world.register()

    with refused("nobody has added the suite file-types@1.0.0, and the policy pins no content"):
        begin(world, release)
    add(world)
    begin(world, release)


def test_an_author_of_the_release_does_not_choose_it(world):
    open_to_versions(world)
    add(world, SUITE, "ann")
    release = world.register("1.0.0", authors=(Name("alice"), Name("ann")))

    with refused(r"ann added the suite file-types@1\.0\.0, and is an author of magika@1\.0\.0: another adds it"):
        begin(world, release)
    demanded_again = replace(world.policy, version=4, endpoints=pinned())
    world.adopt(world.trust, demanded_again)
    begin(world, release)


def pinned():
    block = replace(rules().evaluations[0], digests=(CONTENT,), trials=2)
    return {str(PROD): replace(rules(), evaluations=(block,))}


def test_nobody_uses_up_the_tries_of_others(world):
    trusted = replace(
        world.trust,
        version=2,
        actors=tuple(
            replace(actor, roles=(*actor.roles, Role.AUTHOR)) if str(actor.name) == "dave" else actor
            for actor in world.trust.actors
        ),
    )
    world.adopt(trusted, world.policy)
    release = world.register()

    with refused(r"dave is no author of magika@1\.0\.0: its trials are begun by the CI or by its authors"):
        begin(world, release, "dave")
    assert not world.record("magika@1.0.0").trials


def test_who_registered_a_release_may_try_it(world):
    release = world.register("1.0.0", "ci", authors=(Name("carol"),))

    with refused("alice is no author"):
        begin(world, release, "alice")
    begin(world, release, "ci")


def test_the_same_release_under_another_version_is_not_another_try(world):
    first = world.register("1.0.0", weights=b"the same")
    begin(world, first)
    begin(world, first)
    second = world.register("1.0.1", weights=b"the same")

    with refused("suite file-types was tried 2 times, no more are allowed"):
        begin(world, second)
    begin(world, world.register("1.1.0", weights=b"others"))
