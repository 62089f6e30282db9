from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lockgate.errors import VerificationError
from lockgate.formats.certificates import key_of, read_certificates, self_signed
from lockgate.formats.keys import PrivateKey
from tests.authority import authority

FIRST = datetime(2026, 11, 21, 12, tzinfo=UTC)
LAST = FIRST + timedelta(days=365)


def made(hosts=("gate.example",), seed=bytes(32)):
    return self_signed(PrivateKey.from_seed(seed), hosts, 7, FIRST, LAST)


@pytest.mark.parametrize("key", [PrivateKey.from_seed(bytes(32)), authority().signer], ids=["ed25519", "p256"])
def test_a_key_vouches_for_itself_and_for_nobody_else(key):
    pem = self_signed(key, ("gate.example", "10.0.0.1", "::1"), 7, FIRST, LAST)
    found = x509.load_pem_x509_certificate(pem)

    found.verify_directly_issued_by(found)
    assert key_of(read_certificates(pem)[0]) == key.public
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gate.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
    purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (FIRST, LAST)


def test_the_same_is_written_again():
    assert made() == made()


@pytest.mark.parametrize(
    "host", ["a", "a.b", "x" * 63 + ".example", "1a.example", "xn--bcher-kva.example", "127.0.0.1"]
)
def test_names_of_hosts(host):
    made((host,))


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.example",
        "a-.example",
        "*.example",
        "A.example",
        "bücher.example",
        "a b",
        "a_b.example",
        "a\n.example",
        "x" * 64 + ".example",
        ".".join(["abcdefghi"] * 26),
        "127.0.0.1:8420",
        "127.1",
        "1.2.3.4.5",
        "http://a.example",
        "alice@a.example",
    ],
)
def test_what_is_no_name_of_a_host_is_refused(host):
    with pytest.raises(VerificationError, match="not the name or address"):
        made((host,))


def test_a_certificate_is_for_somebody():
    with pytest.raises(VerificationError, match="at least one"):
        made(())
