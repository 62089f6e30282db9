"""How are keys written, and what does a signature prove?

Three algorithms, each with one hash, so that nothing is negotiated: Ed25519 (RFC 8032), and ECDSA over P-256 with
SHA-256 and P-384 with SHA-384 (FIPS 186-5). A key's id is the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
Signing is deterministic (RFC 6979 for ECDSA), so this floor needs no randomness.
"""

import base64
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest

_KEYS_KEPT = 1 << 14  # as many nodes as one environment may have

_P = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826  # y of four of the eight points
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})

_Public: TypeAlias = "ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey"
_Private: TypeAlias = "ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey"


class Signer(Protocol):
    """Something that signs with one key: a key in a file, an agent, a security module."""

    @property
    def public(self) -> "PublicKey":
        """The key that verifies what this signs."""

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; raise `UnavailableError` when the key cannot be reached."""


@dataclass(frozen=True, slots=True, order=True)
class PublicKey:
    """A public key: its SubjectPublicKeyInfo in DER. Written as the base64 of that."""

    der: bytes

    def __post_init__(self) -> None:
        _load(self.der)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the base64 of a SubjectPublicKeyInfo."""
        try:
            der = base64.b64decode(text, validate=True)
        except ValueError as e:
            raise VerificationError("public key is not base64") from e
        if base64.b64encode(der).decode() != text:
            raise VerificationError("public key is not in its canonical base64")
        return cls(der)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read a PEM `PUBLIC KEY`."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as e:
            raise VerificationError("not a public key in PEM") from e
        return cls.from_loaded(key)

    @classmethod
    def from_loaded(cls, key: object) -> Self:
        """Take a key of the `cryptography` library; raise `VerificationError` for an algorithm that is not ours."""
        return cls(_der(_supported(key)))

    def __str__(self) -> str:
        """Write the base64 of the SubjectPublicKeyInfo."""
        return base64.b64encode(self.der).decode()

    @property
    def pem(self) -> bytes:
        """The key as a PEM `PUBLIC KEY`."""
        return _load(self.der).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def key_id(self) -> Digest:
        """The SHA-256 of the SubjectPublicKeyInfo."""
        return _key_id(self.der)

    @property
    def raw(self) -> bytes:
        """The key as its algorithm writes it: 32 bytes for Ed25519, the uncompressed point for ECDSA."""
        key = _load(self.der)
        if isinstance(key, ed25519.Ed25519PublicKey):
            return key.public_bytes_raw()
        return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)

    @property
    def algorithm(self) -> str:
        """`ed25519`, `secp256r1` or `secp384r1`."""
        key = _load(self.der)
        return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else key.curve.name

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if this key signed `message`; else raise `VerificationError`."""
        key = _load(self.der)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(_hash(key.curve)))
        except InvalidSignature as e:
            raise VerificationError(f"the signature is not by key {self.key_id.hex[:16]}…") from e


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key held in memory, and the key that verifies what it signs. Never shown, compared or logged."""

    _key: _Private
    public: PublicKey = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", PublicKey.from_loaded(self._key.public_key()))

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> Self:
        """Read a PEM `PRIVATE KEY` (PKCS#8) or `OPENSSH PRIVATE KEY`."""
        try:
            load = serialization.load_ssh_private_key if b"OPENSSH" in pem else serialization.load_pem_private_key
            key = load(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as e:
            raise VerificationError("not a private key in PEM, or its password is wrong") from e
        _supported(key.public_key())
        assert isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey)
        return cls(key)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Make the Ed25519 key whose 32 secret bytes are `seed` (RFC 8032 §5.1.5)."""
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    def __repr__(self) -> str:
        """Name the public half only."""
        return f"PrivateKey({self.public.key_id})"

    @property
    def pem(self) -> bytes:
        """The key as an unencrypted PEM `PRIVATE KEY` (PKCS#8): for a file that only its owner reads."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, message: bytes) -> bytes:
        """Sign `message`."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(_hash(self._key.curve), deterministic_signing=True))

    def certify(self, certificate: x509.CertificateBuilder) -> x509.Certificate:
        """Sign a certificate that names this key as its issuer's."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return certificate.sign(self._key, None)
        return certificate.sign(self._key, _hash(self._key.curve), ecdsa_deterministic=True)


@lru_cache(maxsize=_KEYS_KEPT)
def _key_id(der: bytes) -> Digest:
    return Digest.of(der)


@lru_cache(maxsize=_KEYS_KEPT)
def _load(der: bytes) -> _Public:
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise VerificationError("not a public key (SubjectPublicKeyInfo)") from e
    supported = _supported(key)
    if _der(supported) != der:
        raise VerificationError("public key is not in its canonical encoding")
    return supported


def _der(key: _Public) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _supported(key: object) -> _Public:
    if isinstance(key, ed25519.Ed25519PublicKey):
        _check_point(key.public_bytes_raw())
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    raise VerificationError("the key is not Ed25519, ECDSA P-256 or ECDSA P-384")


def _check_point(raw: bytes) -> None:
    """Refuse a point of small order, for which anyone can sign, and a second spelling of a point (RFC 8032 §5.1.3)."""
    y = int.from_bytes(raw, "little") & (1 << 255) - 1
    if y >= _P or y in _SMALL_ORDER:
        raise VerificationError("the Ed25519 key is of small order, or not in its canonical encoding")


def _hash(curve: ec.EllipticCurve) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA256() if isinstance(curve, ec.SECP256R1) else hashes.SHA384()
