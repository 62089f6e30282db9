"""Does a real ssh-agent sign what we verify, and does ssh-keygen verify what we sign, and the other way round?"""

import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lockgate.drivers.ssh_agent import SshAgent
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import dsse
from lockgate.formats.keys import PrivateKey, PublicKey
from lockgate.formats.sshsig import SshKey, SshSignature, armor, message_to_sign, open_sshsig, parse, sign_sshsig
from lockgate.keyring import open_signer

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("ssh-agent"), reason="no ssh-agent here (Debian: openssh-client)"),
]

NAMESPACE = "intent@lockgate"
MESSAGE = b'{"act":"deploy"}\n'
KINDS = [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384")]
kinds = pytest.mark.parametrize(("kind", "bits"), KINDS, ids=lambda value: value)


def run(*command, stdin=b"", **environment):
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, timeout=30, env={**os.environ, **environment}
    )
    if done.returncode:
        raise AssertionError(f"{command[0]}: {done.stdout!r} {done.stderr!r}")


def key_file(directory, kind, bits="256"):
    file = directory / f"{kind}-{bits}"
    run("ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "mara", "-f", str(file))
    return file


def public_of(file):
    return SshKey.parse(file.with_suffix(".pub").read_text()).public


def ssh_keygen_verifies(directory, key, armored, message=MESSAGE, namespace=NAMESPACE):
    (directory / "signature").write_text(armored)
    (directory / "allowed").write_text(f'mara namespaces="{namespace}" {key}\n')
    files = ("-f", str(directory / "allowed"), "-s", str(directory / "signature"))
    run("ssh-keygen", "-Y", "verify", *files, "-I", "mara", "-n", namespace, stdin=message)


@pytest.fixture
def agent(tmp_path):
    path = tmp_path / "agent"
    (tmp_path / "no").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "no").chmod(0o700)
    says_no = {"SSH_ASKPASS": str(tmp_path / "no"), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":none"}
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL, env={**os.environ, **says_no}
    ) as started:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield SshAgent(path)
        started.terminate()


def add(agent, file, *options):
    run("ssh-add", "-q", *options, str(file), SSH_AUTH_SOCK=str(agent.socket_path))


@kinds
def test_agent_signs_what_both_verify(agent, tmp_path, kind, bits):
    file = key_file(tmp_path, kind, bits)
    add(agent, file)
    public = public_of(file)

    armored = agent.sign(public, MESSAGE, NAMESPACE)

    assert open_sshsig(armored, MESSAGE, NAMESPACE, [public]) == public
    ssh_keygen_verifies(tmp_path, SshKey(public), armored)
    with pytest.raises(AssertionError, match="verify"):
        ssh_keygen_verifies(tmp_path, SshKey(public), armored, message=MESSAGE + b"\n")


@kinds
@pytest.mark.parametrize("hash_algorithm", ["sha256", "sha512"])
def test_ssh_keygen_signs_what_we_verify(tmp_path, kind, bits, hash_algorithm):
    file = key_file(tmp_path, kind, bits)
    (tmp_path / "intent").write_bytes(MESSAGE)
    how = ("-n", NAMESPACE, "-O", f"hashalg={hash_algorithm}")
    run("ssh-keygen", "-q", "-Y", "sign", "-f", str(file), *how, str(tmp_path / "intent"))
    armored = (tmp_path / "intent.sig").read_text()

    assert open_sshsig(armored, MESSAGE, NAMESPACE, [public_of(file)]) == public_of(file)
    assert armor(parse(armored)) == armored
    assert parse(armored).hash_algorithm == hash_algorithm


@kinds
def test_key_in_memory_signs_what_ssh_keygen_verifies(tmp_path, kind, bits):
    key = PrivateKey.from_pem(key_file(tmp_path, kind, bits).read_bytes())

    ssh_keygen_verifies(tmp_path, SshKey(key.public), sign_sshsig(key, MESSAGE, NAMESPACE))


@kinds
def test_agent_signs_documents_as_a_key_file_does(agent, tmp_path, kind, bits, monkeypatch):
    file = key_file(tmp_path, kind, bits)
    add(agent, file)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.socket_path))

    signer = open_signer(f"agent:{file.with_suffix('.pub')}")

    assert signer.public == public_of(file)
    for message in (b"", MESSAGE, b"x" * 10_000):
        signer.public.verify(signer.sign(message), message)
    with pytest.raises(VerificationError):
        signer.public.verify(signer.sign(MESSAGE), MESSAGE + b"\n")
    signed = dsse.sign(MESSAGE, "text/plain", [signer])
    assert dsse.open_envelope(signed, "text/plain", [signer.public]).payload == MESSAGE


def test_agent_does_not_sign_documents_with_a_key_that_it_does_not_hold(agent, tmp_path):
    with pytest.raises(DeniedError, match="does not hold"):
        agent.sign_bytes(public_of(key_file(tmp_path, "ed25519")), MESSAGE)


def test_security_key_signs_what_both_verify(tmp_path):
    held = Ed25519PrivateKey.generate()
    key = SshKey(PublicKey.from_loaded(held.public_key()), "ssh:")
    signed = hashlib.sha256(message_to_sign(MESSAGE, NAMESPACE)).digest()
    signature = held.sign(hashlib.sha256(b"ssh:").digest() + b"\1\0\0\0\7" + signed)
    touched = SshSignature(key, NAMESPACE, "sha512", signature, flags=1, counter=7)

    assert open_sshsig(armor(touched), MESSAGE, NAMESPACE, [key.public]) == key.public
    ssh_keygen_verifies(tmp_path, key, armor(touched))
    with pytest.raises(AssertionError, match="verify"):
        ssh_keygen_verifies(tmp_path, key, armor(replace(touched, counter=8)))


def test_agent_lists_the_keys_that_are_ours(agent, tmp_path):
    assert agent.identities() == ()
    ours, other = key_file(tmp_path, "ed25519"), key_file(tmp_path, "rsa", "2048")
    add(agent, other)
    add(agent, ours)

    (found,) = agent.identities()
    assert found.key.public == public_of(ours)
    assert found.comment == "mara"


def test_key_that_the_agent_does_not_hold_is_denied(agent, tmp_path):
    with pytest.raises(DeniedError, match="does not hold key"):
        agent.sign(public_of(key_file(tmp_path, "ed25519")), MESSAGE, NAMESPACE)


def test_user_who_says_no_is_heard(agent, tmp_path):
    file = key_file(tmp_path, "ed25519")
    add(agent, file, "-c")

    with pytest.raises(DeniedError, match="refused to sign with key"):
        agent.sign(public_of(file), MESSAGE, NAMESPACE)


def test_agent_that_is_not_there_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("no socket")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "left"))

    for path in (tmp_path / "absent", tmp_path / "file", tmp_path / "left", tmp_path / ("long" * 50)):
        with pytest.raises(UnavailableError, match="no SSH agent answers at"):
            SshAgent(path).identities()


def serve(listener, answers):
    for answer in answers:
        with listener.accept()[0] as peer:
            peer.recv(65536)
            if answer is not None:
                peer.sendall(answer)
            else:
                time.sleep(0.5)


@contextmanager
def liar(directory, *answers):
    """An agent that gives one of `answers` on each connection; None keeps silent."""
    path = Path(directory) / "liar"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(10)
        thread = threading.Thread(target=serve, args=(listener, answers))
        thread.start()
        yield SshAgent(path, timeout=0.2)
        thread.join()


def string(value):
    return len(value).to_bytes(4, "big") + value


KEY = PrivateKey.from_seed(b"a" * 32)
LISTED = string(b"\x0c\0\0\0\1" + string(SshKey(KEY.public).wire) + string(b"mara"))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"", UnavailableError, "hung up"),
        (b"\0\0", UnavailableError, "hung up"),
        (b"\0\0\0\5\x0c\0", UnavailableError, "hung up"),
        (None, UnavailableError, "timed out"),
        (string(b""), VerificationError, "0 bytes"),
        (b"\xff\xff\xff\xff", VerificationError, "4294967295 bytes"),
        (string(b"\5"), DeniedError, "refused to list"),
        (string(b"\6"), VerificationError, "message 6, not 12"),
        (string(b"\x0c"), VerificationError, "too early"),
        (string(b"\x0c\0\0\0\1"), VerificationError, "too early"),
        (string(b"\x0c\0\0\0\0\0"), VerificationError, "1 bytes too many"),
        (string(b"\x0c\xff\xff\xff\xff"), VerificationError, "4294967295 keys"),
    ],
)
def test_agent_that_lists_nonsense_is_refused(tmp_path, answer, error, words):
    with liar(tmp_path, answer) as agent, pytest.raises(error, match=words):
        agent.identities()


def signed_by(key, message):
    wire = string(b"ssh-ed25519") + string(key.sign(message_to_sign(message, NAMESPACE)))
    return string(b"\x0e" + string(wire))


RIGHT = signed_by(KEY, MESSAGE)


def test_agent_that_answers_rightly_is_believed(tmp_path):
    with liar(tmp_path, LISTED, RIGHT) as agent:
        assert agent.sign(KEY.public, MESSAGE, NAMESPACE) == sign_sshsig(KEY, MESSAGE, NAMESPACE)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (signed_by(KEY, MESSAGE + b"\n"), VerificationError, "not by key"),
        (signed_by(PrivateKey.from_seed(b"b" * 32), MESSAGE), VerificationError, "not by key"),
        (string(b"\x0e" + RIGHT[5:] + b"\0"), VerificationError, "1 bytes too many"),
        (string(b"\x0e" + RIGHT[5:-1]), VerificationError, "too early"),
        (string(b"\x0e" + string(string(b"ssh-rsa") + string(bytes(64)))), VerificationError, "ssh-rsa"),
        (RIGHT[:4] + b"\x0f" + RIGHT[5:], VerificationError, "message 15, not 14"),
        (string(b"\5"), DeniedError, "refused to sign"),
        (RIGHT[:-1], UnavailableError, "hung up"),
    ],
)
def test_agent_that_signs_something_else_is_refused(tmp_path, answer, error, words):
    with liar(tmp_path, LISTED, answer) as agent, pytest.raises(error, match=words):
        agent.sign(KEY.public, MESSAGE, NAMESPACE)
