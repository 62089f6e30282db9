import os
from dataclasses import replace

import pytest

from lockgate.core.intent import sign_intent
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name
from lockgate.loader.connection import Connection
from lockgate.loader.tls import Tls, client_context, is_local, server_context
from tests.authority import authority, ec_key
from tests.live.tls_files import HERE, Files
from tests.world import key


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def speak(url, tls=None):
    return Connection(url, Name("alice"), lambda intent: sign_intent(intent, key("alice")), tls)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8420", "http://127.9.9.9:1", "http://localhost:8420", "http://[::1]:8420", "https://x.example"],
)
def test_plain_http_is_for_this_machine_and_https_for_all(url):
    assert speak(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://gate.example:8420",
        "http://10.0.0.1:8420",
        "http://0.0.0.0:8420",
        "http://[::]:8420",
        "http://[::ffff:127.0.0.1]:8420",
        "http://127.0.0.1.example:8420",
        "http://localhost.example:8420",
        "http://127.1:8420",
        "http://2130706433:8420",
        "http://①②⑦.0.0.1:8420",
        "http://127.0.0.1@gate.example:8420",
        "http://gate.example#@127.0.0.1",
        "http://gate.example\\@127.0.0.1",
        "https://alice:secret@gate.example",
        "ftp://127.0.0.1",
        "http://",
        "//127.0.0.1",
        "http://127.0.0.1:port",
        "",
    ],
)
def test_what_would_be_said_in_the_open_is_not_said(url):
    with pytest.raises(VerificationError, match=r"not this machine|not an address"):
        speak(url)


@pytest.mark.parametrize(
    "host", ["", "localhost.", "LOCALHOST", "127.0.0.1 ", "127.0.0.1%lo", "::", "[::1", "1", "127.1"]
)
def test_what_only_looks_like_this_machine(host):
    assert is_local(host) == (host == "[::1")  # brackets are taken off, and nothing else


@pytest.mark.parametrize("make", [server_context, client_context])
def test_both_sides_check_what_they_show(files, make):
    shown = files.alone("gate", *HERE)
    make(shown)

    with pytest.raises(VerificationError, match="fits its key"):
        make(replace(shown, key=files.alone("other", *HERE).key))
    with pytest.raises(VerificationError, match="fits its key"):
        make(replace(shown, certificate=files.write(b"no certificate")))
    with pytest.raises(VerificationError, match="fits its key"):
        make(replace(shown, key=files.write(b"no key")))
    for name in ("certificate", "key"):
        with pytest.raises(UnavailableError, match=r"cannot read .*nowhere"):
            make(replace(shown, **{name: files.folder / "nowhere"}))


@pytest.mark.parametrize("make", [server_context, client_context])
@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_and_whom_they_believe(files, make, content):
    with pytest.raises(VerificationError):
        make(replace(files.alone("gate", *HERE), authorities=files.write(content)))
    with pytest.raises(UnavailableError, match="cannot read"):
        make(replace(files.alone("gate", *HERE), authorities=files.folder / "nowhere"))


def test_a_list_of_revocations_is_no_authority(files):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    from tests.live.tls_files import TODAY

    made = authority("company", at=TODAY)
    issuer = made.certificate.subject
    listed = x509.CertificateRevocationListBuilder(issuer, TODAY, TODAY).sign(ec_key(), hashes.SHA256())

    with pytest.raises(VerificationError, match="holds no certificate"):
        client_context(Tls(authorities=files.write(listed.public_bytes(Encoding.PEM))))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o601, 0o610, 0o777])
def test_a_key_that_others_may_read_is_refused_with_a_word(files, mode):
    shown = files.alone("gate", *HERE)
    shown.key.chmod(mode)

    if mode == 0o640 and os.geteuid() == 0:
        server_context(shown)  # root's own, for a group: as secrets are mounted into containers
        os.chown(shown.key, 4711, -1)
    with pytest.raises(VerificationError, match=f"others may read .*{mode:04o}"):
        server_context(shown)


@pytest.mark.skipif(os.geteuid() != 0, reason="elsewhere: only root can give a file away")
def test_a_key_of_another_user_is_refused(files):
    shown = files.alone("gate", *HERE)
    os.chown(shown.key, 4711, -1)

    with pytest.raises(VerificationError, match="another user"):
        server_context(shown)


def test_an_encrypted_key_asks_nobody(files):
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    pem = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))

    with pytest.raises(VerificationError, match="encrypted"):
        server_context(replace(files.alone("gate", *HERE), key=files.write(pem)))


def test_a_certificate_and_its_key_go_together(files):
    shown = files.alone("gate", *HERE)
    for name in ("certificate", "key"):
        with pytest.raises(VerificationError, match="go together"):
            replace(shown, **{name: None})
    with pytest.raises(VerificationError, match="needs a certificate"):
        server_context(Tls(authorities=shown.certificate))
