"""Does a key that never leaves its token sign whatever a key file signs? In SoftHSM, for real."""

import subprocess
import sys
from dataclasses import replace

import pytest

from lockgate.cli.speaking import signing
from lockgate.core.intent import Intent, KeyProof, open_intent
from lockgate.core.trust import TRUST, Actor, Root, open_trust
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.names import Name
from lockgate.keyring import open_signer
from lockgate.wiring import KEYS, create
from tests.live.soft_hsm import KINDS, make_key, make_token
from tests.world import NOW, PEOPLE, agreed, key, trust

ALGORITHMS = {"ed25519": "ed25519", "p256": "secp256r1", "p384": "secp384r1"}


@pytest.fixture
def token(tmp_path):
    return make_token(tmp_path)


def lockgate(*words):
    return subprocess.run(
        [sys.executable, "-m", "lockgate", *map(str, words)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_a_token_signs_what_its_public_half_verifies(token, kind):
    signer = open_signer(str(make_key(token, "signer", kind)))

    assert signer.public.algorithm == ALGORITHMS[kind]
    for message in (b"", b"hello", b"x" * 100_000):
        signer.public.verify(signer.sign(message), message)
    with pytest.raises(VerificationError):
        signer.public.verify(signer.sign(b"hello"), b"hallo")
    by_id = open_signer(str(replace(token, id=b"signer")))
    assert by_id.public == signer.public


@pytest.mark.parametrize("kind", KINDS)
def test_a_component_is_signed_by_a_key_in_a_token(token, tmp_path, kind):
    uri = make_key(token, "component", kind)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"weights")
    (tmp_path / "key.pub").write_bytes(open_signer(str(uri)).public.pem)
    bundle = ("--signature", tmp_path / "model.sig")

    done = lockgate("sign", tmp_path / "model", "--key", uri, *bundle)
    assert done.returncode == 0, done.stderr
    assert lockgate("verify", tmp_path / "model", *bundle, "--public-key", tmp_path / "key.pub").returncode == 0
    (tmp_path / "model" / "weights.bin").write_bytes(b"weightz")
    assert lockgate("verify", tmp_path / "model", *bundle, "--public-key", tmp_path / "key.pub").returncode == 4


def test_an_intent_is_signed_by_a_key_in_a_token(token):
    uri = make_key(token, "bob")
    held = Actor(Name("bob"), PEOPLE["bob"], (open_signer(str(uri)).public,))
    document = replace(trust(), actors=(*(one for one in trust().actors if one.name != held.name), held))
    intent = Intent("change.approve", "change/5", None, None, Name("bob"), "nonce-of-the-token", NOW.replace(hour=13))

    signed = signing(str(uri))(intent)

    assert isinstance(signed.proof, KeyProof)
    assert open_intent(signed, document, NOW).key == held.keys[0]
    with pytest.raises(VerificationError):
        open_intent(signed, trust(), NOW)


def test_a_trust_document_is_signed_by_a_root_key_in_a_token(token):
    signer = open_signer(str(make_key(token, "root4", "p384")))
    root = Root(2, (signer.public, key("root1").public))
    document = replace(trust(), root=root)
    signed = dsse.sign(plain.encode(document), TRUST, [signer, key("root1")]).encode()

    assert open_trust(signed, root, NOW).document == document
    with pytest.raises(VerificationError, match="signed by 1 root keys, 2 are needed"):
        open_trust(agreed(document, TRUST, "root1", "root2"), root, NOW)


def test_a_server_signs_with_keys_in_a_token(token, tmp_path):
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    uri = make_key(token, "lease", "ed25519")
    (home / "keys" / "lease.uri").write_text(f"{uri}\n")

    public = create(home, Name("prod"))

    assert public["lease"] == open_signer(str(uri)).public
    assert not (home / "keys" / "lease.pem").exists()
    assert all((home / "keys" / f"{name}.pem").exists() for name in KEYS if name != "lease")


def test_who_logs_out_elsewhere_in_the_process_does_not_end_signing(token):
    import pkcs11

    uri = make_key(token, "signer")
    other = pkcs11.lib(token.module_path).get_token(token_label="keys").open(user_pin="87654321")
    signer = open_signer(str(uri))
    signer.sign(b"once")
    other.close()

    signer.public.verify(signer.sign(b"again"), b"again")
    second = open_signer(str(replace(token, label="signer")))
    second.public.verify(second.sign(b"both"), b"both")


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"token": "other"}, "0 tokens are 'other', and not one"),
        ({"serial": "0000"}, "0 tokens are 'keys', and not one"),
        ({"model": "other"}, "0 tokens are 'keys', and not one"),
        ({"manufacturer": "other"}, "0 tokens are 'keys', and not one"),
        ({"label": "other"}, "has no key that is"),
        ({"id": b"other"}, "has no key that is"),
        ({"pin_source": "/nowhere/pin"}, "cannot read the PIN"),
        ({"pin_source": "/dev/null"}, "holds no PIN"),
        ({"module_path": "/nowhere.so"}, "does not answer"),
    ],
)
def test_a_key_that_cannot_be_reached_is_unavailable(token, spoilt, reason):
    uri = make_key(token, "signer")

    with pytest.raises(UnavailableError, match=reason):
        open_signer(str(replace(uri, **spoilt)))


def test_a_wrong_pin_is_tried_once(token, tmp_path):
    uri = make_key(token, "signer")
    (tmp_path / "pin").write_text("00000000\n")

    with pytest.raises(UnavailableError, match="PinIncorrect"):
        open_signer(str(uri))
    (tmp_path / "pin").write_text("87654321\n")
    open_signer(str(uri)).sign(b"x")


def test_without_a_pin_a_private_key_is_not_seen(token):
    uri = make_key(token, "signer")

    with pytest.raises(UnavailableError):
        open_signer(str(replace(uri, pin_source=None))).sign(b"x")


def test_two_keys_of_one_name_are_not_one_key(token):
    make_key(token, "signer")
    uri = make_key(token, "signer", "p384")

    with pytest.raises(UnavailableError, match="has more than one key that is"):
        open_signer(str(uri))


def test_a_key_of_an_algorithm_that_is_not_ours_is_refused(token):
    uri = make_key(token, "odd", "k1")

    with pytest.raises(VerificationError, match="not Ed25519, ECDSA P-256 or ECDSA P-384"):
        open_signer(str(uri))


def test_a_whole_token_is_no_key(token):
    with pytest.raises(VerificationError, match="says neither object nor id"):
        open_signer(str(token))
