"""Is the release to go back to whole, before anything takes its place?"""

import pytest

from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.digest import Digest
from tests.rolling import open_rollout
from tests.world import World


def ready(world: World) -> int:
    """Approve a rollout beside release 1.0.0."""
    world.serve("1.0.0")
    release = world.register("1.1.0")
    world.attest(release)
    number = open_rollout(world, release)
    world.approve(number)
    return number


def altered(world, content: bytes):
    encrypted = world.blobs.blobs[Digest.of(content)]
    world.blobs.blobs[Digest.of(content)] = encrypted[:-1] + bytes([encrypted[-1] ^ 1])


@pytest.mark.parametrize("content", [b"weights 1.0.0", b"{}"], ids=["weights", "configuration"])
@pytest.mark.parametrize("damage", ["lost", "altered"])
def test_no_rollout_begins_without_every_byte_of_the_release_to_go_back_to(world, content: bytes, damage):
    number = ready(world)
    size = world.memory.size()
    if damage == "lost":
        del world.blobs.blobs[Digest.of(content)]
    else:
        altered(world, content)

    with pytest.raises(LockgateError):
        world.activate(number)
    assert world.memory.size() == size and world.endpoint().rollout is None


def test_no_rollout_begins_beside_a_release_that_may_not_serve_again(world):
    number = ready(world)
    world.revoke("magika@1.0.0")

    with pytest.raises(DeniedError, match="revoked"):
        world.activate(number)


def test_a_release_that_is_whole_lets_a_rollout_begin(world):
    world.activate(ready(world))

    assert world.endpoint().rollout is not None and str(world.endpoint().stable.tag) == "magika@1.0.0"
