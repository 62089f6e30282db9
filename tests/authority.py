"""Who issues certificates in tests? A root, an authority under it, and a signer's leaf, spoiled where a test asks."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lockgate.formats.keys import PrivateKey

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def private_pem(self):
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def signer(self):
        return PrivateKey.from_pem(self.private_pem)


def ec_key(seed=1, curve=None):
    """Make the same key every time."""
    return ec.derive_private_key(10**9 + seed, curve or ec.SECP256R1())


def authority(name="root", by=None, **spoilt):
    """Issue a certificate to an authority: its own, or by another authority."""
    return _issue(name, by, ca=True, **spoilt)


def leaf(by, name="signer", **spoilt):
    """Issue a certificate to somebody who signs."""
    return _issue(name, by, ca=False, **spoilt)


def _issue(
    name,
    by,
    *,
    ca,
    days=(-1, 30),
    path_length=None,
    signs=True,
    purposes=(ExtendedKeyUsageOID.CODE_SIGNING,),
    hosts=(),
    limited=True,
    at=NOW,
    curve=None,
):
    key = ec_key(sum(name.encode()), curve)
    issuer, issuer_key = (by.certificate.subject, by.key) if by else (_name(name), key)
    usage = x509.KeyUsage(
        digital_signature=signs and not ca,
        content_commitment=not ca,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca and signs,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(sum(name.encode()))
        .not_valid_before(at + days[0] * DAY)
        .not_valid_after(at + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if limited:
        builder = builder.add_extension(usage, critical=True)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    if purposes and by:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return Issued(builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True), key)


def _host(text):
    return x509.IPAddress(ipaddress.ip_address(text)) if text[0].isdigit() else x509.DNSName(text)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
