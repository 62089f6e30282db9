"""Is a result signed by somebody trusted for it, and bound to what was tested, the harness and the thresholds?"""

from dataclasses import replace

import pytest

from lockgate.app.attest import attest
from lockgate.core.release import Release
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse
from lockgate.formats.digest import Digest
from tests.world import SUITE, World


def take(world: World, release: Release, document: bytes, who: str = "ci", about: bytes = b"") -> None:
    said = world.say(who, "release.attest", release.manifest.tag, after=Digest.of(about or document))
    attest(world.installation, release.manifest.tag, document, said, world.now)


def test_a_result_names_suite_harness_and_thresholds_and_is_kept_with_its_release(world: World) -> None:
    release = world.serve()

    (run,) = world.admit().decision.test_results
    assert (run.suite, run.suite_version, run.harness, run.harness_version) == (SUITE, "1.0.0", "harness", "2.0.0")
    assert dict(run.thresholds) == {"accuracy": "0.95"} and dict(run.metrics) == {"accuracy": "0.99"}
    assert len(world.record(str(release.manifest.tag)).evidence) == 2


@pytest.mark.parametrize("signer", ["mallory", "components", "ci", "alice", "prod-vsa"])
def test_a_result_by_anybody_else_is_refused(world: World, signer: str) -> None:
    release = world.register()

    with pytest.raises(VerificationError, match="no key that is trusted for this has signed it"):
        take(world, release, world.statement(release, world.ran(), signer))


def test_an_edited_result_is_refused(world: World) -> None:
    release = world.register()
    envelope = dsse.parse(world.statement(release, world.ran(accuracy="0.91")))
    edited = replace(envelope, payload=envelope.payload.replace(b'"0.91"', b'"0.99"')).encode()

    with pytest.raises(VerificationError, match="no key that is trusted for this has signed it"):
        take(world, release, edited)


def test_a_result_cannot_be_moved_to_another_release(world: World) -> None:
    first, second = world.register("1.0.0"), world.register("1.1.0")

    with pytest.raises(VerificationError, match=r"the statement is about magika@1\.0\.0"):
        take(world, second, world.statement(first, world.ran()))


def test_a_result_is_taken_in_once_and_by_who_may(world: World) -> None:
    release = world.register()
    document = world.statement(release, world.ran())
    take(world, release, document)

    with pytest.raises(DeniedError, match="the release holds this statement already"):
        take(world, release, document)
    with pytest.raises(DeniedError, match="bob has no right to release"):
        take(world, release, document, "bob")
    with pytest.raises(DeniedError, match="the intent says after"):
        take(world, release, document, about=b"another statement")
