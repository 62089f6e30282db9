"""Does a result that failed, is missing, is stale or is of something else keep a release from serving?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.attest import attest
from lockgate.core.endpoint import Activated
from lockgate.core.evidence import Verdict
from lockgate.core.journal import read_fact, write_fact
from lockgate.core.omission import left_out
from lockgate.core.policy import Scans
from lockgate.core.release import Release
from lockgate.core.requirement import SCANNER
from lockgate.core.trial import considered
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.cloudevent import encode_entry
from lockgate.formats.digest import Digest
from tests.tried import begin, result_of
from tests.world import CONTENT, PROD, World, rules


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


def demanding(world: World, **changes: object) -> None:
    """Adopt a policy that wants a trial of the suite, and a scan."""
    block = replace(rules().evaluations[0], trials=2, served=True)
    ruled = replace(rules(), evaluations=(block,), scans=Scans(30))
    policy = replace(world.policy, version=2, endpoints={str(PROD): replace(ruled, **changes)})  # type: ignore[arg-type]
    world.adopt(world.trust, policy)
    world.policy = policy


def scanned(world: World, verdict: Verdict = Verdict.PASSED, suite: str = "scan", **changes: object):
    told = {"suite": suite, "harness": SCANNER, "suite_digest": CONTENT, "excused": ()} | changes
    return replace(world.ran(verdict), **told)  # type: ignore[arg-type]


def test_what_was_tried_and_scanned_as_the_policy_wants_it_serves(world: World) -> None:
    demanding(world)
    release = world.register()
    number = begin(world, release)
    world.attest(release, world.built(), result_of(world, release, number), scanned(world))
    world.approve(change := world.open(release))

    world.activate(change)
    assert world.admit().permit.trials == world.record(str(release.manifest.tag)).trials


def test_a_failed_trial_is_not_hidden_by_one_that_was_never_begun_nor_by_an_older_one(world: World) -> None:
    demanding(world)
    release = world.register()
    first, second = begin(world, release), begin(world, release)
    world.attest(release, world.built(), scanned(world), result_of(world, release, second, result=Verdict.FAILED))
    world.now += timedelta(minutes=1)
    world.approve(change := world.open(release))

    world.attest(release, world.ran())
    blocked(world, change, "the newest result is of no trial that was written down before it began")
    world.now += timedelta(minutes=1)
    world.attest(release, result_of(world, release, first, started_at=world.now))
    blocked(world, change, f"is of trial {first}, not of {second}, the newest trial")


def test_no_one_tries_until_it_passes(world: World) -> None:
    demanding(world)
    release = world.register()
    for _ in range(2):
        begin(world, release)

    with pytest.raises(DeniedError, match="suite file-types was tried 2 times, no more are allowed"):
        begin(world, release)
    world.attest(release, world.built(), scanned(world))
    blocked(world, change_of(world, release), "is unfinished")


def change_of(world: World, release: Release) -> int:
    world.approve(number := world.open(release))
    return number


def test_a_threshold_is_older_than_the_run(world: World) -> None:
    demanding(world)
    release = world.register()
    run = result_of(world, release, begin(world, release), metrics={"accuracy": "0.90"}, result=Verdict.PASSED)
    world.attest(release, world.built(), scanned(world), run)
    lowered = replace(rules().evaluations[0], trials=2, served=True, metrics={"accuracy": "0.85"})
    policy = replace(
        world.policy, version=3, endpoints={str(PROD): replace(rules(), evaluations=(lowered,), scans=Scans(30))}
    )
    world.adopt(world.trust, policy)
    world.policy = policy

    blocked(world, change_of(world, release), "was begun under other demands than the policy makes")


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        ({}, "suite scan has no result by a trusted signer"),
        ({"verdict": Verdict.FAILED}, "suite scan FAILED"),
        ({"excused": ("pickle",)}, "an exception for 'pickle', which the policy does not"),
        ({"harness": "my-scanner"}, "suite scan is by 'my-scanner', not by lockgate-scanner"),
    ],
)
def test_what_was_not_scanned_or_not_clean_is_blocked(
    world: World, scan: dict[str, object] | None, reason: str
) -> None:
    demanding(world)
    release = world.register()
    runs = [scanned(world, **scan)] if scan else []  # type: ignore[arg-type]
    world.attest(release, world.built(), result_of(world, release, begin(world, release)), *runs)

    blocked(world, change_of(world, release), reason)


def test_a_second_scanner_can_say_no_but_not_yes(world: World) -> None:
    demanding(world)
    release = world.register()
    world.attest(release, world.built(), result_of(world, release, begin(world, release)), scanned(world))
    change = change_of(world, release)
    world.attest(release, scanned(world, Verdict.FAILED, "scan/second", harness="second"))

    blocked(world, change, "suite scan/second FAILED")


def test_a_server_that_hides_a_trial_is_found_by_who_has_the_log(world: World) -> None:
    demanding(world)
    release = world.register()
    hidden = begin(world, release)
    world.attest(release, world.built(), scanned(world), result_of(world, release, hidden, result=Verdict.FAILED))
    world.now += timedelta(minutes=1)
    world.attest(release, result_of(world, release, begin(world, release)))
    world.activate(change_of(world, release))
    entries = list(world.memory.entries(0, world.memory.size()))
    assert list(left_out(entries)) == []

    def hiding(event: Activated) -> Activated:
        record = world.record(str(release.manifest.tag))
        trials = (trial.number for trial in record.trials or () if trial.number != hidden)
        return replace(event, considered=considered(record.evidence, trials))

    (at,) = (index for index, one in enumerate(entries) if isinstance(read_fact(one)[1], Activated))
    envelope, event = read_fact(entries[at])
    assert isinstance(event, Activated)
    entries[at] = encode_entry(write_fact(hiding(event), envelope))
    (found,) = left_out(entries)
    assert found.endswith(f"but was decided without trial {hidden}")
