import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PrivateKey, PublicKey

MAKERS: dict[str, Any] = {
    "ed25519": lambda: ed25519.Ed25519PrivateKey.from_private_bytes(b"always the same secret 32 bytes!"),
    "secp256r1": lambda: ec.derive_private_key(2**200 + 1, ec.SECP256R1()),
    "secp384r1": lambda: ec.derive_private_key(2**200 + 1, ec.SECP384R1()),
}
LOADED: dict[str, Any] = {algorithm: make() for algorithm, make in MAKERS.items()}
FOREIGN: dict[str, Any] = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "X25519": x25519.X25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "DSA": dsa.generate_private_key(1024),
}
SPKI = (Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 §4


def pkcs8(key, encryption=None):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


KEYS = {algorithm: PrivateKey.from_pem(pkcs8(key)) for algorithm, key in LOADED.items()}
each = pytest.mark.parametrize("algorithm", list(MAKERS))


@each
def test_key_survives_each_of_its_forms(algorithm):
    private, loaded = KEYS[algorithm], LOADED[algorithm]
    public = private.public

    assert public.der == loaded.public_key().public_bytes(*SPKI)
    assert PublicKey.parse(str(public)) == PublicKey.from_pem(public.pem) == PublicKey(public.der) == public
    assert PublicKey.from_loaded(loaded.public_key()) == public
    assert PrivateKey.from_pem(private.pem).public == public
    assert public.algorithm == algorithm
    assert public.key_id == Digest.of(public.der)
    assert public.der.endswith(public.raw)
    assert len(public.raw) == {"ed25519": 32, "secp256r1": 65, "secp384r1": 97}[algorithm]


@each
def test_private_key_is_read_from_what_openssh_and_a_password_made_of_it(algorithm):
    loaded = LOADED[algorithm]
    openssh = loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    locked = pkcs8(loaded, BestAvailableEncryption(b"right"))

    assert PrivateKey.from_pem(openssh).public == PrivateKey.from_pem(locked, b"right").public == KEYS[algorithm].public
    for password in (None, b"wrong"):
        with pytest.raises(VerificationError, match="password is wrong"):
            PrivateKey.from_pem(locked, password)


@each
@given(message=st.binary(max_size=64), data=st.data())
def test_signature_is_of_one_key_and_one_message(algorithm, message, data):
    key = KEYS[algorithm]
    signature = key.sign(message)
    at = data.draw(st.integers(0, len(signature) - 1))
    flip = data.draw(st.integers(1, 255))
    altered = signature[:at] + bytes([signature[at] ^ flip]) + signature[at + 1 :]

    key.public.verify(signature, message)
    assert key.sign(message) == signature
    for other in KEYS.keys() - {algorithm}:
        with pytest.raises(VerificationError, match="not by key"):
            KEYS[other].public.verify(signature, message)
    for spoiled in (altered, signature[:-1], signature + b"\0", b""):
        with pytest.raises(VerificationError, match="not by key"):
            key.public.verify(spoiled, message)
    with pytest.raises(VerificationError, match="not by key"):
        key.public.verify(signature, message + b"\0")


def test_ed25519_key_of_a_seed_is_that_of_the_rfc():  # RFC 8032 §7.1, tests 1 and 2
    one = PrivateKey.from_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    two = PrivateKey.from_seed(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))

    assert one.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert one.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    assert two.public.raw.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"


def test_private_key_is_not_shown():
    private = KEYS["ed25519"]
    secret = LOADED["ed25519"].private_bytes_raw()

    assert f"{private!r}" == f"{private}" == f"PrivateKey({private.public.key_id})"
    assert secret.hex() not in repr(private)


@pytest.mark.parametrize("kind", list(FOREIGN))
def test_key_of_another_algorithm_is_refused(kind):
    public = FOREIGN[kind].public_key()
    der = public.public_bytes(*SPKI)
    pem = public.public_bytes(Encoding.PEM, SPKI[1])
    refused = pytest.raises(VerificationError, match=r"not Ed25519, ECDSA P-256 or ECDSA P-384|not a public key")

    for read in (PublicKey, lambda der: PublicKey.parse(base64.b64encode(der).decode())):
        with refused:
            read(der)
    with refused:
        PublicKey.from_pem(pem)
    with refused:
        PublicKey.from_loaded(public)
    with pytest.raises(VerificationError, match="not Ed25519"):
        PrivateKey.from_pem(pkcs8(FOREIGN[kind]))


@pytest.mark.parametrize("key", [None, b"", "ed25519", 1, LOADED["ed25519"]])
def test_what_is_no_public_key_is_not_taken_for_one(key):
    with pytest.raises(VerificationError, match="not Ed25519"):
        PublicKey.from_loaded(key)


def long_form(der):
    """The same value with its outer length in two bytes, which BER allows and DER (X.690 §10.1) does not."""
    return der[:1] + b"\x81" + der[1:]


def compressed(algorithm):
    key = LOADED[algorithm].public_key()
    point = key.public_bytes(Encoding.X962, serialization.PublicFormat.CompressedPoint)
    full = KEYS[algorithm].public.der
    head = full[: len(full) - len(KEYS[algorithm].public.raw)]
    shrunk = len(KEYS[algorithm].public.raw) - len(point)
    return bytes([head[0], head[1] - shrunk]) + head[2:-2] + bytes([head[-2] - shrunk, head[-1]]) + point


DER = KEYS["ed25519"].public.der
P256 = KEYS["secp256r1"].public.der


@pytest.mark.parametrize(
    "der",
    [
        b"",
        DER[:-1],
        DER + b"\0",
        b"\x31" + DER[1:],
        long_form(DER),
        long_form(P256),
        compressed("secp256r1"),
        DER.replace(bytes.fromhex("300506032b6570"), bytes.fromhex("300706032b65700500")).replace(
            b"\x30\x2a", b"\x30\x2c"
        ),
        DER.replace(b"\x03\x21\x00", b"\x03\x21\x01"),
        P256[:-1] + bytes([P256[-1] ^ 1]),
        P256.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030106")),
        DER[len(ED25519_HEAD) :],
        KEYS["ed25519"].public.pem,
    ],
)
def test_key_has_one_encoding(der):
    with pytest.raises(VerificationError, match="public key"):
        PublicKey(der)


@pytest.mark.parametrize(
    "spoil", [lambda t: t + "\n", lambda t: t + "=", lambda t: t[:-1], lambda t: " " + t, lambda t: "é" + t]
)
def test_key_has_one_text(spoil):
    with pytest.raises(VerificationError, match="public key"):
        PublicKey.parse(spoil(str(KEYS["secp256r1"].public)))


def test_unused_bits_of_the_base64_are_zero():
    text = base64.b64encode(P256).decode()
    assert text.endswith("==")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    respelt = text[:-3] + letters[letters.index(text[-3]) | 1] + "=="

    assert base64.b64decode(respelt, validate=True) == P256
    with pytest.raises(VerificationError, match="canonical base64"):
        PublicKey.parse(respelt)


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_junk_is_no_key(junk):
    data = junk if isinstance(junk, bytes) else junk.encode("utf-8", "surrogatepass")
    for read in (PublicKey, PublicKey.from_pem, PrivateKey.from_pem):
        with pytest.raises(VerificationError):
            read(data)
    with pytest.raises(VerificationError):
        PublicKey.parse(junk if isinstance(junk, str) else junk.decode("latin-1"))


@given(st.sampled_from(list(KEYS.values())), st.data())
def test_altered_key_is_another_key_or_none(key, data):
    der = bytearray(key.public.der)
    der[data.draw(st.integers(0, len(der) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        altered = PublicKey(bytes(der))
    except VerificationError:
        return
    assert altered.key_id != key.public.key_id
    with pytest.raises(VerificationError, match="not by key"):
        altered.verify(key.sign(b"message"), b"message")


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def order(y):
    """The order of a point with this y on edwards25519 if it is at most 8, else None (RFC 8032 §5.1.4)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square:
        return None
    found = (x, y)
    for times in range(1, 9):
        if found == (0, 1):
            return times
        (x1, y1), product = found, D * found[0] * x * found[1] * y
        x3, y3 = (x1 * y + x * y1) * pow(1 + product, -1, P), (y1 * y + x1 * x) * pow(1 - product, -1, P)
        found = (x3 % P, y3 % P)
    return None


EIGHT = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


@pytest.mark.parametrize(("y", "wanted"), [(1, 1), (P - 1, 2), (0, 4), (EIGHT, 8), (P - EIGHT, 8)])
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_ed25519_key_of_small_order_is_refused(y, wanted, sign):
    assert order(y) == wanted
    with pytest.raises(VerificationError, match="small order"):
        PublicKey(ED25519_HEAD + (y | sign).to_bytes(32, "little"))


@pytest.mark.parametrize("y", [P, P + 1, P + 3, P + 18])
def test_ed25519_point_has_one_spelling(y):
    with pytest.raises(VerificationError, match="canonical encoding"):
        PublicKey(ED25519_HEAD + y.to_bytes(32, "little"))


def test_point_below_the_prime_is_not_refused_for_its_size():
    assert order(P - 3) is None
    assert PublicKey(ED25519_HEAD + (P - 3).to_bytes(32, "little")).algorithm == "ed25519"


WYCHEPROOF = Path(os.environ.get("LOCKGATE_VECTORS", Path(__file__).parents[2] / "../shared/vectors")) / "wycheproof"


@pytest.mark.parametrize(
    ("file", "count"),
    [("ed25519_test", 151), ("ecdsa_secp256r1_sha256_test", 484), ("ecdsa_secp384r1_sha384_test", 504)],
)
def test_wycheproof_vectors_come_out_as_they_say(file, count):
    if not WYCHEPROOF.is_dir():
        pytest.skip(f"no vectors at {WYCHEPROOF}: set LOCKGATE_VECTORS (C2SP/wycheproof, testvectors_v1)")
    groups = json.loads((WYCHEPROOF / f"{file}.json").read_text())["testGroups"]
    verdicts = {}
    for group in groups:
        key = PublicKey(bytes.fromhex(group["publicKeyDer"]))
        for test in group["tests"]:
            try:
                key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
                verdicts[test["tcId"]] = ("valid", test["result"])
            except VerificationError:
                verdicts[test["tcId"]] = ("invalid", test["result"])

    assert len(verdicts) >= count
    assert [(case, *verdict) for case, verdict in verdicts.items() if verdict[0] != verdict[1]] == []
