"""Are signatures checked and all bytes read before a release gets in, and is what served left alone if one is wrong?"""

from collections.abc import Callable

import pytest

from lockgate.app.register import register
from lockgate.core.journal import Subject
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.world import World

WEIGHTS = Digest.of(b"weights 1.1.0")


def flipped(world: World) -> None:
    content = bytearray(world.blobs.blobs[WEIGHTS])
    content[3] ^= 1
    world.blobs.blobs[WEIGHTS] = bytes(content)


def cut(world: World) -> None:
    world.blobs.blobs[WEIGHTS] = world.blobs.blobs[WEIGHTS][:-1]


def grown(world: World) -> None:
    world.blobs.blobs[WEIGHTS] += b"\0"


def emptied(world: World) -> None:
    world.blobs.blobs[WEIGHTS] = b""


def missing(world: World) -> None:
    del world.blobs.blobs[WEIGHTS]


def test_a_release_whose_bytes_are_all_there_is_admitted(world: World) -> None:
    first, second = world.serve("1.0.0"), world.serve("1.1.0")

    assert world.admit().permit.release.digest == second.digest != first.digest


@pytest.mark.parametrize(
    ("spoil", "error", "names"),
    [
        (flipped, VerificationError, "weights/model.onnx: the stored bytes are not those that were signed"),
        (cut, VerificationError, "weights/model.onnx: the stored bytes are not those that were signed"),
        (grown, VerificationError, "weights/model.onnx: the stored bytes are not those that were signed"),
        (emptied, VerificationError, "weights/model.onnx: the stored bytes are not those that were signed"),
        (missing, UnavailableError, f"blob {WEIGHTS} is not here"),
    ],
)
def test_one_wrong_byte_keeps_a_release_out_and_what_serves_untouched(
    world: World, spoil: Callable[[World], None], error: type[LockgateError], names: str
) -> None:
    serving = world.serve("1.0.0")
    submitted, manifest = world.submission("1.1.0")
    size = world.memory.size()
    spoil(world)
    said = world.say("alice", "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))

    with pytest.raises(error, match=names):
        register(world.installation, submitted, said, world.now)
    assert world.memory.size() == size and world.memory.find(Subject("release", "magika@1.1.0")) is None
    assert world.admit().permit.release.digest == serving.digest


@pytest.mark.parametrize("spoil", [flipped, cut, grown])
def test_a_byte_that_changed_since_fails_the_rollback_to_it(world: World, spoil: Callable[[World], None]) -> None:
    world.serve("1.0.0")
    world.serve("1.1.0")
    latest = world.serve("1.2.0")
    spoil(world)

    with pytest.raises(VerificationError, match=r"weights/model\.onnx"):
        world.roll_back()
    assert world.admit().permit.release.digest == latest.digest


def test_a_file_that_was_added_to_the_bundle_breaks_its_signature(world: World) -> None:
    submitted, manifest = world.submission()
    said = world.say("alice", "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))
    more = {**submitted.bundles, "weights": submitted.bundles["config"]}

    with pytest.raises(VerificationError, match="component weights: the bundle is not the one"):
        register(world.installation, type(submitted)(submitted.manifest, more), said, world.now)
