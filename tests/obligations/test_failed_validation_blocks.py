"""Does a result that failed, is missing, is stale or is of something else keep a release from serving?"""

from datetime import timedelta

import pytest

from lockgate.app.attest import attest
from lockgate.core.evidence import Verdict
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from tests.world import World


def blocked(world: World, number: int, reason: str) -> None:
    with pytest.raises(DeniedError, match=reason):
        world.activate(number)
    assert world.endpoint().stable is None


def approved(world: World, *runs: object) -> int:
    release = world.register()
    world.attest(release, world.built(), *runs)  # type: ignore[arg-type]
    number = world.open(release)
    world.approve(number, lasts=timedelta(days=60))
    return number


def test_a_release_that_passed_is_activated(world: World) -> None:
    world.activate(approved(world, world.ran()))

    assert world.endpoint().stable is not None


def test_a_release_without_a_result_is_blocked(world: World) -> None:
    blocked(world, approved(world), "suite file-types has no result by a trusted signer for this release")


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.WARNED])
def test_a_release_that_did_not_pass_is_blocked(world: World, verdict: Verdict) -> None:
    blocked(world, approved(world, world.ran(verdict)), f"suite file-types {verdict}, it must have PASSED")


def test_a_release_that_missed_its_threshold_is_blocked(world: World) -> None:
    blocked(world, approved(world, world.ran(accuracy="0.9499")), "accuracy is '0.9499', at least 0.95 is wanted")


def test_a_failure_after_a_success_blocks(world: World) -> None:
    number = approved(world, world.ran())
    world.now += timedelta(minutes=1)
    world.attest(_release(world), world.ran(Verdict.FAILED))

    blocked(world, number, "suite file-types FAILED")


def test_a_result_is_stale_one_microsecond_after_its_time(world: World) -> None:
    number = approved(world, world.ran())
    world.now += timedelta(days=30, microseconds=1)

    blocked(world, number, "not in the 30 days before")
    world.now -= timedelta(microseconds=1)
    world.activate(number)


def test_a_result_of_a_time_to_come_is_not_taken_in(world: World) -> None:
    release = world.register()
    world.now += timedelta(hours=1)
    tomorrow = world.ran()
    world.now -= timedelta(hours=1)

    with pytest.raises(DeniedError, match="later than now"):
        world.attest(release, tomorrow)


def test_the_success_of_another_release_does_not_count(world: World) -> None:
    release, other = world.register("1.0.0"), world.register("1.1.0")
    document = world.statement(other, world.ran())
    said = world.say("ci", "release.attest", release.manifest.tag, after=Digest.of(document))

    with pytest.raises(VerificationError, match=r"the statement is about magika@1\.1\.0"):
        attest(world.installation, release.manifest.tag, document, said, world.now)


def _release(world: World):
    from tests.core.dossiers import release_of

    _, manifest = world.submission()
    return release_of(manifest)
