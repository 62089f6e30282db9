"""Is metadata written so that everyone reads the same, and does nobody count who did not sign?"""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import Metadata

from lockgate.errors import VerificationError
from lockgate.formats import canonical, tuf
from lockgate.formats.keys import PrivateKey
from tests.world import key


def elliptic(curve):
    made = ec.generate_private_key(curve)
    return PrivateKey.from_pem(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


KEYS = [key("a"), elliptic(ec.SECP256R1()), elliptic(ec.SECP384R1())]
PUBLIC = [one.public for one in KEYS]
AT = datetime(2036, 1, 1, tzinfo=UTC)


def root(**changes):
    role = tuf.write_role(PUBLIC, 3)
    roles = dict.fromkeys(("root", "targets", "snapshot", "timestamp"), role)
    keys = tuf.write_keys(PUBLIC)
    return {**tuf.write_head("root", 1, AT), "consistent_snapshot": True, "keys": keys, "roles": roles, **changes}


SIGNED = tuf.sign(root(), KEYS)


def test_python_tuf_reads_and_believes_what_is_written_here():
    read = Metadata.from_bytes(SIGNED.encode())

    read.signed.verify_delegate("root", read.signed_bytes, read.signatures)
    assert read.signed_bytes == SIGNED.message
    assert read.signed.expires == tuf.expiry(SIGNED.signed) == AT


def test_metadata_reads_back_as_it_was_written():
    assert tuf.parse(SIGNED.encode()) == SIGNED
    assert set(SIGNED.signers(PUBLIC)) == set(PUBLIC)
    assert SIGNED.signers([key("b").public]) == ()
    assert tuf.sign(root(), KEYS[:1]).also(KEYS[1:]).signers(PUBLIC) == SIGNED.signers(PUBLIC)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abc"\\xyz', max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_the_signed_bytes_are_those_of_the_other_implementation(value):
    assert tuf.message({"x": value}) == encode_canonical({"x": value}).encode()


def test_a_key_that_signed_twice_counts_once_and_a_copied_signature_not_at_all():
    one = SIGNED.signatures[0]
    twice = replace(SIGNED, signatures=(one, one, replace(SIGNED.signatures[1], signature=one.signature)))

    assert twice.signers(PUBLIC) == (PUBLIC[0],)
    assert twice.signers([PUBLIC[0], PUBLIC[0]]) == (PUBLIC[0],)


def test_nothing_that_was_signed_can_be_changed():
    for name, value in {"version": 2, "_type": "targets", "expires": "2037-01-01T00:00:00Z", "more": 1}.items():
        assert replace(SIGNED, signed=root(**{name: value})).signers(PUBLIC) == ()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: it.pop("signed"),
        lambda it: it.pop("signatures"),
        lambda it: it.update(more=1),
        lambda it: it.update(signed=[]),
        lambda it: it.update(signatures={}),
        lambda it: it["signatures"].append(1),
        lambda it: it["signatures"].append({"keyid": "a"}),
        lambda it: it["signatures"].append({"keyid": "a", "sig": "00", "more": 1}),
        lambda it: it["signatures"].append({"keyid": 1, "sig": "00"}),
        lambda it: it["signatures"].append({"keyid": "a", "sig": "xx"}),
        lambda it: it["signatures"].append({"keyid": "a", "sig": "AA"}),
        lambda it: it["signatures"].append({"keyid": "a", "sig": "0 0"}),
        lambda it: it["signatures"].append({"keyid": "a", "sig": None}),
        lambda it: it.update(signatures=[{"keyid": "a", "sig": "00"}] * 33),
    ],
)
def test_what_is_no_metadata_is_refused(spoil):
    document = json.loads(SIGNED.encode())
    spoil(document)

    with pytest.raises(VerificationError):
        tuf.parse(canonical.encode(document))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{}", b" " * 512_001])
def test_junk_is_refused(data):
    with pytest.raises(VerificationError):
        tuf.parse(data)


@pytest.mark.parametrize("found", [None, 0, -1, True, "1", 1.5])
def test_a_version_counts_from_one(found):
    assert tuf.version({"version": 1}) == 1
    with pytest.raises(VerificationError, match="version"):
        tuf.version({"version": found})


@pytest.mark.parametrize("found", [None, "", "2036-01-01", "2036-01-01T00:00:00.000000Z", "2036-13-01T00:00:00Z", 5])
def test_an_expiry_is_an_instant_of_tuf(found):
    with pytest.raises(VerificationError, match="no instant"):
        tuf.expiry({"expires": found})
