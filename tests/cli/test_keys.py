"""Where may a key lie, and is it found there, opened with its passphrase, and not elsewhere?"""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lockgate.cli.main import cli
from lockgate.cli.speaking import passphrase
from lockgate.drivers.securesystemslib import RemoteSigner
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.keys import PrivateKey, PublicKey
from lockgate.keyring import open_file, open_signer

ALGORITHMS = {"ed25519": "ed25519", "p256": "secp256r1", "p384": "secp384r1"}
WRONG = "or its password is wrong"


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    for name in ("LOCKGATE_KEY_PASSWORD", "LOCKGATE_KEY_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


def created(folder, *words, **more):
    """Create a key on the command line; return the path of its file."""
    path = folder / "key.pem"
    done = CliRunner().invoke(cli, ["key", "create", str(path), *words], **more)
    if done.exception:
        raise done.exception
    return path


@pytest.mark.parametrize("option", ["--type", "--algorithm"])
@pytest.mark.parametrize("kind", ALGORITHMS)
def test_a_key_is_created_with_its_public_half(tmp_path, kind, option):
    path = created(tmp_path, option, kind)

    public = PublicKey.from_pem(Path(f"{path}.pub").read_bytes())
    assert public.algorithm == ALGORITHMS[kind]
    assert path.stat().st_mode & 0o777 == 0o600
    public.verify(open_signer(str(path)).sign(b"x"), b"x")


def test_an_encrypted_key_opens_with_its_passphrase_and_no_other(tmp_path, monkeypatch):
    (tmp_path / "passphrase").write_text("correct horse\nsecond line\n")
    path = created(tmp_path, "--passphrase-file", str(tmp_path / "passphrase"))

    assert b"ENCRYPTED" in path.read_bytes()
    with pytest.raises(VerificationError, match=WRONG):
        open_file(path)
    for answer in (b"correct horse ", b"second line", b""):
        with pytest.raises(VerificationError, match=WRONG):
            open_file(path, lambda _, answer=answer: answer)
    public = PublicKey.from_pem(Path(f"{path}.pub").read_bytes())
    assert open_file(path, lambda _: b"correct horse").public == public
    monkeypatch.setenv("LOCKGATE_KEY_PASSWORD", "correct horse")
    assert open_file(path).public == open_signer(str(path)).public == public
    monkeypatch.setenv("LOCKGATE_KEY_PASSWORD", "wrong")
    monkeypatch.setenv("LOCKGATE_KEY_PASSWORD_FILE", str(tmp_path / "passphrase"))
    assert open_file(path).public == public


def test_a_passphrase_is_asked_for_twice_when_it_is_chosen(tmp_path):
    path = created(tmp_path, "--encrypt", input="correct horse\ncorrect horse\n")

    assert open_file(path, lambda _: b"correct horse").public
    with pytest.raises(VerificationError):
        open_file(path, lambda _: b"correct hors")


def test_a_key_without_passphrase_opens_whatever_the_environment_says(tmp_path, monkeypatch):
    path = created(tmp_path)
    monkeypatch.setenv("LOCKGATE_KEY_PASSWORD", "correct horse")

    assert open_file(path).public == PublicKey.from_pem(Path(f"{path}.pub").read_bytes())


def test_nobody_is_asked_where_nobody_sits(tmp_path):
    assert passphrase(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecond line\n"])
def test_an_empty_passphrase_encrypts_nothing(tmp_path, content):
    (tmp_path / "passphrase").write_bytes(content)

    with pytest.raises(VerificationError, match="has no passphrase"):
        created(tmp_path, "--passphrase-file", str(tmp_path / "passphrase"))
    assert not (tmp_path / "key.pem").exists()


def test_a_key_is_never_overwritten(tmp_path):
    path = created(tmp_path)
    before = path.read_bytes()

    with pytest.raises(ConflictError, match="never overwritten"):
        created(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="no ssh-keygen here (Debian: openssh-client)")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_an_openssh_key_with_a_passphrase_is_for_the_agent(tmp_path, kind):
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "correct horse", "-f", str(path)], check=True)

    with pytest.raises(VerificationError, match=f"let the SSH agent hold it, and say agent:{path}.pub"):
        open_file(path, lambda _: b"correct horse")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "correct horse", "-N", "", "-f", str(path)], check=True)
    assert open_file(path).sign(b"x")


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("/nowhere/key.pem", UnavailableError, "cannot read /nowhere/key.pem"),
        ("", UnavailableError, "cannot read"),
        ("agent:/nowhere/key.pub", UnavailableError, "cannot read /nowhere/key.pub"),
        ("pkcs11:token=x", VerificationError, "says no module-path"),
        ("pkcs11:token=x;object=y;module-path=/nowhere.so", UnavailableError, "does not answer"),
        ("awskms:alias/x", VerificationError, "does not say which key signs: add ;public=FILE"),
        ("awskms:alias/x;public=/nowhere.pub", UnavailableError, "cannot read /nowhere.pub"),
    ],
)
def test_a_key_that_is_not_there_is_said_to_be_missing(text, error, reason):
    with pytest.raises(error, match=reason):
        open_signer(text)


@pytest.mark.parametrize(
    ("uri", "extra"),
    [
        ("awskms:1234abcd-12ab", "awskms"),
        ("gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "gcpkms"),
        ("azurekms://name.vault.azure.net/keys/release/0123", "azurekms"),
        ("hv:release/1", "vault"),
    ],
)
def test_a_service_whose_library_is_missing_says_which_to_install(tmp_path, uri, extra):
    public = Path(f"{created(tmp_path)}.pub")

    with pytest.raises(UnavailableError, match=rf"pip install 'securesystemslib\[{extra}\]'"):
        open_signer(f"{uri};public={public}")


def key_file(folder, kind):
    made = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }[kind]()
    path = folder / f"{kind}.pem"
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path, PrivateKey.from_pem(path.read_bytes()).public


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_what_securesystemslib_signs_our_keys_verify(tmp_path, kind):
    path, public = key_file(tmp_path, kind)
    remote = RemoteSigner(f"file2:{path}", public)

    public.verify(remote.sign(b"message"), b"message")
    assert str(path) not in repr(public) and "PRIVATE" not in repr(remote)


def test_a_service_that_signs_with_another_key_is_refused(tmp_path):
    path, _ = key_file(tmp_path, "p256")
    (tmp_path / "other").mkdir()
    _, other = key_file(tmp_path / "other", "p256")

    with pytest.raises((VerificationError, UnavailableError)):
        RemoteSigner(f"file2:{path}", other).sign(b"message")


@pytest.mark.parametrize("uri", ["awskms", "nonsense:x", "file2:/nowhere/key.pem", "hv:"])
def test_a_uri_that_means_no_key_is_refused(tmp_path, uri):
    _, public = key_file(tmp_path, "ed25519")

    with pytest.raises((VerificationError, UnavailableError)):
        RemoteSigner(uri, public)
