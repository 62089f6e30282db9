"""Do data keys reach the one holder that they are for, on the one occasion, and nobody else?"""

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.box import Occasion, seal, sealing_key, unseal
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.world import PROD

HOLDER, OTHER = (X25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (7, 8))
KEYS = {Digest.of(b"a"): bytes(32), Digest.of(b"b"): bytes(range(32))}
RELEASE = Digest.of(b"release")
OCCASION = Occasion(Name("host-1"), "0123456789abcdef", RELEASE, PROD)
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def sealed(content):
    """Seal any bytes as a server does."""
    public = X25519PublicKey.from_public_bytes(base64.b64decode(sealing_key(HOLDER)))
    return base64.b64encode(SUITE.encrypt(content, public, plain.encode(OCCASION))).decode()


def test_the_holder_opens_the_box_on_its_occasion():
    assert unseal(seal(KEYS, sealing_key(HOLDER), OCCASION), HOLDER, OCCASION) == KEYS


def test_a_box_is_sealed_anew_each_time_and_shows_nothing():
    one, two = (seal(KEYS, sealing_key(HOLDER), OCCASION) for _ in range(2))

    assert one != two
    assert KEYS[Digest.of(b"b")] not in base64.b64decode(one)


@pytest.mark.parametrize(
    ("holder", "spoilt"),
    [
        (OTHER, {}),
        (HOLDER, {"holder": Name("host-2")}),
        (HOLDER, {"nonce": "0123456789abcdee"}),
        (HOLDER, {"release": Digest.of(b"other")}),
        (HOLDER, {"endpoint": Endpoint.parse("prod/other")}),
        (HOLDER, {"endpoint": None}),
    ],
)
def test_near_misses_open_nothing(holder, spoilt):
    box = seal(KEYS, sealing_key(HOLDER), OCCASION)

    with pytest.raises(VerificationError, match="not for this holder and this occasion"):
        unseal(box, holder, replace(OCCASION, **spoilt))


@given(data=st.data())
def test_a_box_that_was_touched_opens_nothing(data):
    box = bytearray(base64.b64decode(seal(KEYS, sealing_key(HOLDER), OCCASION)))
    at = data.draw(st.integers(0, len(box) - 1))
    if at == 31:  # X25519 does not look at the highest bit of a public key (RFC 7748 §5), but HPKE hashes it
        box[at] ^= 0x80
    else:
        box[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(VerificationError):
        unseal(base64.b64encode(box).decode(), HOLDER, OCCASION)


@pytest.mark.parametrize("box", ["", "AAAA", "not base64", "AAA", base64.b64encode(bytes(80)).decode()])
def test_what_is_no_box_is_refused(box):
    with pytest.raises(VerificationError):
        unseal(box, HOLDER, OCCASION)


@pytest.mark.parametrize("content", [bytes(63), bytes(65), b"{}"])
def test_a_box_with_half_a_key_in_it_is_refused(content):
    with pytest.raises(VerificationError, match="not a multiple of 64"):
        unseal(sealed(content), HOLDER, OCCASION)


def test_a_box_with_nothing_in_it_gives_nothing():
    assert unseal(sealed(b""), HOLDER, OCCASION) == unseal(seal({}, sealing_key(HOLDER), OCCASION), HOLDER, OCCASION)


@pytest.mark.parametrize(
    "to", ["", "not base64", "AAAA", base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(33)).decode()]
)
def test_nothing_is_sealed_to_what_is_no_key(to):
    with pytest.raises(VerificationError):
        seal(KEYS, to, OCCASION)
