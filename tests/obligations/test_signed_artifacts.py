"""Is every component of a release signed by somebody whom the environment trusts for its kind, and all else refused?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.register import Submission, register
from lockgate.core.release import Part
from lockgate.core.trust import MANIFESTS
from lockgate.errors import VerificationError
from lockgate.formats import oms, plain
from lockgate.formats.digest import Digest
from tests.world import World, file_digest, key, sign_manifest, trust


def submit(world, submitted, manifest):
    said = world.say("alice", "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))
    return register(world.installation, submitted, said, world.now)


def weights_by(world, signer):
    """Submit a release whose weights `signer` sealed; the manifest lists that very bundle and is signed as always."""
    submitted, manifest = world.submission()
    bundle = oms.seal([file_digest("model.onnx", b"weights 1.0.0")], key(signer))
    part = replace(manifest.components["weights"], bundle=Digest.of(bundle))
    manifest = replace(manifest, components={**manifest.components, "weights": part})
    return Submission(sign_manifest(manifest), {**submitted.bundles, "weights": bundle.decode()}), manifest


def trust_signer(world, **changes):
    """Adopt a trust document in which the signer of components is another than before."""
    signers = tuple(replace(one, **changes) if str(one.name) == "ci-components" else one for one in trust().signers)
    world.adopt(replace(trust(), version=2, signers=signers), world.policy)


def test_a_release_whose_components_are_all_signed_is_registered(world: World) -> None:
    release = world.register()

    assert world.record("magika@1.0.0").release == release.digest


@pytest.mark.parametrize("signer", ["mallory", "results", "prod-vsa", "alice"])
def test_a_component_signed_by_anybody_else_is_refused(world: World, signer: str) -> None:
    with pytest.raises(VerificationError, match="component weights: no key that is trusted for this has signed it"):
        submit(world, *weights_by(world, signer))


def test_an_unsigned_component_is_refused(world: World) -> None:
    submitted, manifest = world.submission()
    fewer = Submission(submitted.manifest, {"config": submitted.bundles["config"]})

    with pytest.raises(VerificationError, match="no bundle, or no component, named 'weights'"):
        submit(world, fewer, manifest)


def test_a_manifest_that_nobody_trusted_signed_is_refused(world: World) -> None:
    submitted, manifest = world.submission()

    with pytest.raises(VerificationError, match="no key that is trusted"):
        submit(world, Submission(sign_manifest(manifest, "mallory"), submitted.bundles), manifest)


def test_a_signer_who_is_not_authorised_for_the_kind_is_refused(world: World) -> None:
    trust_signer(world, scope=("config", MANIFESTS))

    with pytest.raises(VerificationError, match="component weights: no key that is trusted"):
        world.register()


def test_a_signer_whose_time_is_over_registers_nothing_more(world: World) -> None:
    world.register("1.0.0")
    trust_signer(world, until=world.now + timedelta(hours=1))
    world.register("1.1.0")
    world.now += timedelta(hours=1)

    with pytest.raises(VerificationError, match="no key that is trusted"):
        world.register("1.2.0")


def test_a_bundle_of_one_component_does_not_cover_another(world: World) -> None:
    submitted, manifest = world.submission()
    config = manifest.components["config"]
    manifest = replace(
        manifest,
        components={
            "config": config,
            "weights": Part(manifest.components["weights"].kind, config.digest, config.bundle),
        },
    )
    bundles = {"config": submitted.bundles["config"], "weights": submitted.bundles["weights"]}

    with pytest.raises(VerificationError, match="weights: the bundle is not the one that the manifest lists"):
        submit(world, Submission(sign_manifest(manifest), bundles), manifest)
