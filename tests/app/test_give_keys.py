"""Who gets keys? A host with a lease for that release, and a person who asked for them in the log; nobody else."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lockgate.app.give_keys import open_keys
from lockgate.app.grant_leases import grant_leases
from lockgate.app.open_blob import data_key
from lockgate.core.box import Occasion, sealing_key, unseal
from lockgate.core.journal import read_fact
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.release import KeysOpened, Release
from lockgate.core.wrap import Kek
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import PROD, World, key

HOLDER = X25519PrivateKey.from_private_bytes(bytes([7]) * 32)
NONCE = "0123456789abcdef"
FILES = (b"weights 1.0.0", b"{}")


def asking(release: Release, **changes) -> Request:
    want = Want(PROD, release.digest, keys=True)
    return replace(Request(Name("host-1"), NONCE, (want,), "sealed", sealing_key(HOLDER)), **changes)


def answered(world: World, request: Request):
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    return open_grant(document, request, world.trust, world.now)


def keys(world: World):
    return {Digest.of(content): data_key(world.installation, Digest.of(content)) for content in FILES}


def test_a_host_gets_the_keys_of_what_it_is_granted(world: World) -> None:
    release = world.serve()

    (granted,) = answered(world, asking(release)).granted

    assert granted.keys is not None
    occasion = Occasion(Name("host-1"), NONCE, release.digest, PROD)
    assert unseal(granted.keys, HOLDER, occasion) == keys(world)


@pytest.mark.parametrize("missing", ["seal_to", "wants"])
def test_who_does_not_ask_gets_none(world: World, missing: str) -> None:
    release = world.serve()
    left = {"seal_to": None} if missing == "seal_to" else {"wants": (Want(PROD, release.digest),)}

    (granted,) = answered(world, asking(release, **left)).granted

    assert granted.keys is None


def test_what_is_refused_comes_without_keys(world: World) -> None:
    first = world.serve("1.0.0")
    second = world.serve("1.1.0")
    superseded = answered(world, asking(first))
    assert superseded.granted == () and len(superseded.superseded or ()) == 1

    world.shut_down()
    refused = answered(world, asking(second))
    assert refused.granted == () and len(refused.refused) == 1


def test_keys_that_cannot_be_had_cost_no_permission(world: World) -> None:
    release = world.serve()
    world.vault.destroy(Kek.of_release(release.digest))

    (granted,) = answered(world, asking(release)).granted

    assert granted.keys is None


@pytest.mark.parametrize("seal_to", ["", "AAAA", "not base64", "A" * 43 + "="])
def test_keys_are_not_sealed_to_what_is_no_key(world: World, seal_to: str) -> None:
    release = world.serve()

    with pytest.raises(VerificationError):
        answered(world, asking(release, seal_to=seal_to))


def take(world: World, release: Release, who: str = "alice", said=None, **changes):
    seal_to = changes.pop("seal_to", sealing_key(HOLDER))
    after = Digest.of(sealing_key(HOLDER).encode())
    tag = release.manifest.tag
    wanted = {"before": release.digest, "after": after, "object_": tag, "act": "release.open-keys", **changes}
    said = said or world.say(who, **wanted)
    return said, *open_keys(world.installation, tag, seal_to, said, world.now)


@pytest.mark.parametrize("who", ["alice", "dave", "ci"])
def test_a_person_who_may_gets_the_keys_and_the_log_says_so(world: World, who: str) -> None:
    release = world.register()

    said, receipt, box = take(world, release, who)

    assert unseal(box, HOLDER, Occasion(Name(who), said.intent.nonce, release.digest)) == keys(world)
    envelope, event = read_fact(next(iter(world.memory.entries(receipt.first, receipt.stop))))
    assert event == KeysOpened(release.manifest.tag, release.digest, Name(who), said.digest)
    assert (envelope.actor, receipt.stop) == (who, world.memory.size())
    world.check()


def test_the_same_word_gets_a_box_again_and_is_recorded_once(world: World) -> None:
    release = world.register()
    said, receipt, _ = take(world, release)

    again = take(world, release, said=said)

    assert again[1] == receipt and world.memory.size() == receipt.stop
    assert unseal(again[2], HOLDER, Occasion(Name("alice"), said.intent.nonce, release.digest)) == keys(world)


@pytest.mark.parametrize("who", ["bob", "olivia", "ann", "host-1"])
def test_who_has_no_right_gets_nothing(world: World, who: str) -> None:
    release = world.register()
    size = world.memory.size()

    with pytest.raises(DeniedError, match=r"has no right to release\.open-keys"):
        take(world, release, who)
    assert world.memory.size() == size


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"before": Digest.of(b"other")}, "the intent says before"),
        ({"before": None}, "the intent says before"),
        ({"after": Digest.of(b"other")}, "the intent says after"),
        ({"after": None}, "the intent says after"),
        ({"object_": "magika@1.0.1"}, "the intent says object"),
        ({"seal_to": sealing_key(X25519PrivateKey.from_private_bytes(bytes([8]) * 32))}, "the intent says after"),
        ({"act": "release.register"}, "the intent says 'release.register', this is release.open-keys"),
    ],
)
def test_a_word_about_something_else_gets_nothing(world: World, spoilt, reason: str) -> None:
    release = world.register()
    size = world.memory.size()

    with pytest.raises((DeniedError, VerificationError), match=reason):
        take(world, release, **spoilt)
    assert world.memory.size() == size


def test_a_word_that_expired_gets_nothing_even_if_it_was_heard_before(world: World) -> None:
    release = world.register()
    said, *_ = take(world, release)
    world.now = said.intent.expires

    with pytest.raises(DeniedError, match="expired"):
        take(world, release, said=said)


def test_a_release_whose_key_was_destroyed_gives_none(world: World) -> None:
    release = world.register()
    world.vault.destroy(Kek.of_release(release.digest))
    size = world.memory.size()

    with pytest.raises(DeniedError, match="was destroyed"):
        take(world, release)
    assert world.memory.size() == size


def test_a_release_that_was_revoked_gives_none_to_anybody(world: World) -> None:
    release = world.serve()
    world.revoke("magika@1.0.0")

    assert answered(world, asking(release)).granted == ()
    with pytest.raises(DeniedError, match="revoked"):
        take(world, release)


def test_a_release_that_is_not_registered_gives_none(world: World) -> None:
    _, manifest = world.submission()
    release = Release(manifest, Digest.of(b"release"), ())

    with pytest.raises(DeniedError, match="is not registered here"):
        take(world, release)
