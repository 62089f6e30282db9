"""Who signed these bytes with an SSH key? SSHSIG version 1 (OpenSSH PROTOCOL.sshsig), armored.

    armored ── base64 ──> "SSHSIG" | 1 | public key | namespace | reserved | hash name | signature
    signed:               "SSHSIG" |                  namespace | reserved | hash name | H(message)

Ed25519 and ECDSA over P-256 and P-384, and what a security key holds of them (the `sk-` kinds; PROTOCOL.u2f). There are
no RSA keys, P-521 or certificates. Both hashes of the specification (§2) are read; SHA-512 is written, as OpenSSH does.
Three things are stricter than the specification: `reserved` must be empty, since what it will once mean cannot be
judged now; somebody must have touched the security key; the base64 must be canonical, in lines of 1 to 76 characters.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from lockgate.errors import VerificationError
from lockgate.formats.keys import PublicKey, Signer

BEGIN = "-----BEGIN SSH SIGNATURE-----"
END = "-----END SSH SIGNATURE-----"
MAX_CHARACTERS = 8192
_MAGIC = b"SSHSIG\x00\x00\x00\x01"
_WIDTH, _MAX_WIDTH = 70, 76  # OpenSSH writes lines of 70, §1 recommends 76
_USER_PRESENT = 1  # PROTOCOL.u2f: the flag that says somebody touched the security key
_CURVES = MappingProxyType({"nistp256": ec.SECP256R1(), "nistp384": ec.SECP384R1()})
_KINDS = MappingProxyType(
    {  # kind of key: its curve (none for Ed25519), and whether a security key holds it
        "ssh-ed25519": ("", False),
        "ecdsa-sha2-nistp256": ("nistp256", False),
        "ecdsa-sha2-nistp384": ("nistp384", False),
        "sk-ssh-ed25519@openssh.com": ("", True),
        "sk-ecdsa-sha2-nistp256@openssh.com": ("nistp256", True),
    }
)
_HASHES = MappingProxyType({"sha512": hashlib.sha512, "sha256": hashlib.sha256})


class Reader:
    """Takes values off the front of SSH wire bytes (RFC 4251 §5); raises `VerificationError` when they run out."""

    __slots__ = ("_rest",)

    def __init__(self, wire: bytes) -> None:
        self._rest = wire

    def take(self, size: int) -> bytes:
        """Take `size` bytes."""
        if size > len(self._rest):
            raise VerificationError(f"SSH message ends {size - len(self._rest)} bytes too early")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def number(self) -> int:
        """Take a `uint32`."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Take a `string`."""
        return self.take(self.number())

    def text(self) -> str:
        """Take a `string` of printable ASCII."""
        taken = self.string()
        if not (taken.isascii() and taken.decode("ascii").isprintable()):
            raise VerificationError(f"SSH text is not printable ASCII: {taken[:64]!r}")
        return taken.decode("ascii")

    def natural(self) -> int:
        """Take an `mpint` that is above zero and not padded."""
        taken = self.string()
        value = int.from_bytes(taken, "big", signed=True)
        if value <= 0 or taken != _natural(value):
            raise VerificationError("SSH integer is not above zero, or padded")
        return value

    def end(self) -> None:
        """Raise unless everything was taken."""
        if self._rest:
            raise VerificationError(f"SSH message has {len(self._rest)} bytes too many")


@dataclass(frozen=True, slots=True)
class SshKey:
    """A public key as SSH writes it. A key that a security key holds has an `application`, such as `ssh:`."""

    public: PublicKey
    application: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a line of a `.pub` file: `KIND BASE64 [COMMENT]`."""
        kind, _, rest = text.strip().partition(" ")
        key = cls.from_wire(_debase64(rest.partition(" ")[0]))
        if key.kind != kind:
            raise VerificationError(f"SSH key says {kind[:64]!a}, but is {key.kind}")
        return key

    @classmethod
    def from_wire(cls, wire: bytes) -> Self:
        """Read a public key blob (RFC 8709 §4, RFC 5656 §3.1, PROTOCOL.u2f)."""
        reader = Reader(wire)
        kind = reader.text()
        if kind not in _KINDS:
            raise VerificationError(f"SSH key is {kind[:64]!a}, not one of {', '.join(_KINDS)}")
        curve, is_held = _KINDS[kind]
        if curve and reader.text() != curve:
            raise VerificationError(f"SSH key of kind {kind} is on another curve")
        public = _from_raw(curve, reader.string())
        application = reader.text() if is_held else ""
        reader.end()
        if is_held and not application.startswith("ssh:"):
            raise VerificationError(f"security key made this for {application[:64]!a}, not for ssh:")
        return cls(public, application)

    def __str__(self) -> str:
        """Write `KIND BASE64`."""
        return f"{self.kind} {base64.b64encode(self.wire).decode()}"

    @property
    def kind(self) -> str:
        """The name of the key's algorithm in SSH."""
        curve = {"secp256r1": "nistp256", "secp384r1": "nistp384"}.get(self.public.algorithm, "")
        return next(kind for kind, form in _KINDS.items() if form == (curve, bool(self.application)))

    @property
    def wire(self) -> bytes:
        """The public key blob."""
        curve, is_held = _KINDS[self.kind]
        parts = [self.kind.encode(), *([curve.encode()] if curve else []), self.public.raw]
        return b"".join(map(_string, [*parts, self.application.encode()] if is_held else parts))


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature as it was received: nothing in it is checked yet.

    `signature` is written as `PublicKey.verify` takes it; `flags` and `counter` are a security key's.
    """

    key: SshKey
    namespace: str
    hash_algorithm: str
    signature: bytes
    flags: int = 0
    counter: int = 0

    @property
    def public(self) -> PublicKey:
        """The key that claims to have signed."""
        return self.key.public

    @property
    def blob(self) -> bytes:
        """The signature as bytes (§2)."""
        fields = (self.key.wire, self.namespace.encode(), b"", self.hash_algorithm.encode(), self._wire)
        return _MAGIC + b"".join(map(_string, fields))

    @property
    def _wire(self) -> bytes:
        signature = self.signature
        if self.public.algorithm != "ed25519":
            signature = b"".join(_string(_natural(number)) for number in decode_dss_signature(signature))
        trailer = self.flags.to_bytes(1, "big") + self.counter.to_bytes(4, "big") if self.key.application else b""
        return _string(self.key.kind.encode()) + _string(signature) + trailer


def message_to_sign(message: bytes, namespace: str, hash_algorithm: str = "sha512") -> bytes:
    """Encode what the key signs (§3)."""
    assert namespace, "the namespace must not be empty (§2)"
    hashed = _HASHES[hash_algorithm](message).digest()
    return b"SSHSIG" + b"".join(map(_string, (namespace.encode(), b"", hash_algorithm.encode(), hashed)))


def sign_sshsig(signer: Signer, message: bytes, namespace: str) -> str:
    """Sign `message` with a key that is at hand; give the armored signature."""
    signature = signer.sign(message_to_sign(message, namespace))
    return armor(SshSignature(SshKey(signer.public), namespace, "sha512", signature))


def armor(signature: SshSignature) -> str:
    """Write a signature as OpenSSH does (§1)."""
    text = base64.b64encode(signature.blob).decode()
    return "\n".join([BEGIN, *(text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH)), END, ""])


def parse(armored: str | bytes) -> SshSignature:
    """Read an armored signature; raise `VerificationError` for anything else."""
    if len(armored) > MAX_CHARACTERS:
        raise VerificationError(f"SSH signature has {len(armored)} characters, more than {MAX_CHARACTERS}")
    text = armored.decode("latin-1") if isinstance(armored, bytes) else armored
    lines = text.removesuffix("\n").split("\n")
    if lines[0] != BEGIN or lines[-1] != END:
        raise VerificationError("SSH signature does not begin and end as one")
    if not all(1 <= len(line) <= _MAX_WIDTH for line in lines[1:-1]):
        raise VerificationError(f"SSH signature has a line that is empty or longer than {_MAX_WIDTH}")
    return _parse_blob(_debase64("".join(lines[1:-1])))


def open_sshsig(armored: str | bytes, message: bytes, namespace: str, keys: Iterable[PublicKey]) -> PublicKey:
    """Return the one of `keys` that signed `message` in `namespace`; raise `VerificationError` if none did."""
    found = parse(armored)
    if found.namespace != namespace:
        raise VerificationError(f"SSH signature is for {found.namespace[:64]!a}, not for {namespace}")
    if found.public not in tuple(keys):
        raise VerificationError(f"SSH key {found.public.key_id.hex[:16]}… is not trusted for this")
    signed = message_to_sign(message, namespace, found.hash_algorithm)
    if found.key.application:
        if not found.flags & _USER_PRESENT:
            raise VerificationError("nobody touched the security key for this SSH signature")
        signed = _held(found, signed)
    found.public.verify(found.signature, signed)
    return found.public


def from_signer(key: SshKey, namespace: str, wire: bytes) -> SshSignature:
    """Take the signature blob that `key` gave for `message_to_sign` in `namespace` (RFC 8709 §6, RFC 5656 §3.1.2)."""
    return _signature(key, namespace, "sha512", wire)


def _parse_blob(blob: bytes) -> SshSignature:
    reader = Reader(blob)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise VerificationError("not an SSH signature of version 1")
    key, namespace = SshKey.from_wire(reader.string()), reader.text()
    reserved, hash_algorithm, wire = reader.string(), reader.text(), reader.string()
    reader.end()
    if not namespace or reserved or hash_algorithm not in _HASHES:
        raise VerificationError("SSH signature has no namespace, a reserved field, or a hash that is not SHA-2")
    return _signature(key, namespace, hash_algorithm, wire)


def _signature(key: SshKey, namespace: str, hash_algorithm: str, wire: bytes) -> SshSignature:
    reader = Reader(wire)
    if (kind := reader.text()) != key.kind:
        raise VerificationError(f"SSH signature is {kind[:64]!a}, its key {key.kind}")
    signature = reader.string()
    flags, counter = (reader.take(1)[0], reader.number()) if key.application else (0, 0)
    reader.end()
    if key.public.algorithm != "ed25519":
        numbers = Reader(signature)
        signature = encode_dss_signature(numbers.natural(), numbers.natural())
        numbers.end()
    elif len(signature) != 64:
        raise VerificationError(f"SSH signature has {len(signature)} bytes, not 64")
    return SshSignature(key, namespace, hash_algorithm, signature, flags, counter)


def _held(found: SshSignature, signed: bytes) -> bytes:
    """Encode what a security key signs for `signed` (PROTOCOL.u2f, SSH U2F Signatures)."""
    application, message = (hashlib.sha256(part).digest() for part in (found.key.application.encode(), signed))
    return application + found.flags.to_bytes(1, "big") + found.counter.to_bytes(4, "big") + message


def _from_raw(curve: str, raw: bytes) -> PublicKey:
    try:
        if not curve:
            return PublicKey.from_loaded(ed25519.Ed25519PublicKey.from_public_bytes(raw))
        key = PublicKey.from_loaded(ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], raw))
    except ValueError as e:
        raise VerificationError("SSH key is not a point of its curve") from e
    if key.raw != raw:
        raise VerificationError("SSH key is compressed")
    return key


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _natural(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _debase64(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError as e:
        raise VerificationError("SSH key or signature is not base64") from e
    if base64.b64encode(found).decode() != text:
        raise VerificationError("SSH key or signature is not in its canonical base64")
    return found
