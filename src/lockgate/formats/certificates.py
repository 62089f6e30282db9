"""For which key does a certificate vouch, and until when?

Path validation (RFC 5280 §6) is that of `cryptography`, with the extensions that signing code asks for: the signer's
certificate is for digital signatures, is no authority, and if it names purposes then code signing is among them.
Revocation is not asked here: a key that must not be believed any more is taken out of the trust.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import ClientVerifier, Criticality, ExtensionPolicy, Policy

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.instant import write_instant
from lockgate.formats.keys import PrivateKey, PublicKey

MAX_INTERMEDIATES = 6

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_TLS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Vouched:
    """A key, and the certificates that vouch for it, up to a trusted one."""

    key: PublicKey
    certificates: tuple[bytes, ...]  # DER, the signer's first, the trusted root last

    @property
    def chain(self) -> Digest:
        """The SHA-256 over all certificates, one after the other."""
        return Digest.of(b"".join(self.certificates))

    @property
    def fingerprint(self) -> Digest:
        """The SHA-256 of the signer's certificate."""
        return Digest.of(self.certificates[0])


def verify_chain(certificates: Sequence[bytes], roots: Iterable[bytes], at: datetime) -> Vouched:
    """Return the key that `certificates` (DER, the signer's first) vouch for at `at`.

    The path ends at one of `roots` (DER or PEM). Raises `VerificationError` if there is none.
    """
    assert at.tzinfo is not None, "an instant without a zone means nothing"
    trusted = [certificate for root in roots for certificate in _load_all(root)]
    if not trusted:
        raise VerificationError("signed with a certificate, and no certificate authority is trusted")
    loaded = [_load(der) for der in certificates]
    for certificate in loaded:
        _check_dates(certificate, at)
    chain = _verify(_verifier(trusted, at), loaded)
    return Vouched(_key(chain[0]), tuple(_der(certificate) for certificate in chain))


def read_certificates(data: bytes) -> tuple[bytes, ...]:
    """Read certificates from PEM (one or more) or DER (one), and give each in DER."""
    return tuple(_der(certificate) for certificate in _load_all(data))


def key_of(der: bytes) -> PublicKey:
    """Read the key that a certificate is about. It is not checked who issued it."""
    return _key(_load(der))


def self_signed(key: PrivateKey, hosts: Sequence[str], serial: int, first: datetime, last: datetime) -> bytes:
    """Write a certificate (PEM) in which `key` vouches for itself, at TLS servers and clients called `hosts`.

    It is no authority: whoever pins it believes this one certificate, and no other that the key might sign.
    """
    if not hosts:
        raise VerificationError("a certificate names at least one host")
    public = serialization.load_der_public_key(key.public.der)
    assert isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey)
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    usage = dict.fromkeys(_USAGES, False) | {"digital_signature": True}
    certificate = (
        x509.CertificateBuilder(name, name, public, serial, first, last)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_TLS), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return key.certify(certificate).public_bytes(Encoding.PEM)


def _host(text: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    if len(text) > 253 or not _HOST.fullmatch(text) or text.rpartition(".")[2].isdecimal():
        raise VerificationError(f"not the name or address of a host: {text[:80]!a}")
    return x509.DNSName(text)


def _verify(verifier: ClientVerifier, loaded: list[x509.Certificate]) -> list[x509.Certificate]:
    try:
        return verifier.verify(loaded[0], loaded[1:]).chain
    except verification.VerificationError as e:
        why = f"no trusted authority vouches for the certificate {_name(loaded[0])}: {e}"
        raise VerificationError(why[:600]) from e


def _verifier(trusted: list[x509.Certificate], at: datetime) -> ClientVerifier:
    either = Criticality.AGNOSTIC
    signer = (
        ExtensionPolicy.permit_all()
        .require_present(x509.KeyUsage, either, _signs)
        .may_be_present(x509.ExtendedKeyUsage, either, _signs_code)
        .may_be_present(x509.BasicConstraints, either, _is_no_authority)
    )
    authority = ExtensionPolicy.webpki_defaults_ca().may_be_present(x509.ExtendedKeyUsage, either, _signs_code)
    return (
        verification.PolicyBuilder()
        .store(verification.Store(trusted))
        .time(at.astimezone(UTC).replace(tzinfo=None))
        .max_chain_depth(MAX_INTERMEDIATES)
        .extension_policies(ca_policy=authority, ee_policy=signer)
        .build_client_verifier()
    )


def _signs(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("its key usage is not digitalSignature")


def _signs_code(_policy: Policy, _certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
    if purposes is not None and ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        raise ValueError("its extended key usage is not codeSigning")


def _is_no_authority(_policy: Policy, _certificate: x509.Certificate, limits: x509.BasicConstraints | None) -> None:
    if limits is not None and limits.ca:
        raise ValueError("it is a certificate authority's own, not a signer's")


def _check_dates(certificate: x509.Certificate, at: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= at <= last:
        dates = f"valid from {write_instant(first)} to {write_instant(last)}, not at {write_instant(at)}"
        raise VerificationError(f"the certificate {_name(certificate)} is {dates}")


def _load_all(data: bytes) -> list[x509.Certificate]:
    if b"-----BEGIN" not in data:
        return [_load(data)]
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as e:
        raise VerificationError("not certificates in PEM") from e


def _load(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as e:
        raise VerificationError("not a certificate in DER") from e


def _key(certificate: x509.Certificate) -> PublicKey:
    try:
        return PublicKey.from_loaded(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm) as e:
        raise VerificationError("the certificate's key cannot be read") from e


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _name(certificate: x509.Certificate) -> str:
    try:
        return f"{certificate.subject.rfc4514_string()[:120]!a}"
    except ValueError:
        return "without a readable name"
