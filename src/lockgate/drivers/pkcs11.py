"""How does a key sign that never leaves its token? Through the token's own module (PKCS#11 v2.40 and v3.0).

ECDSA over P-256 and P-384, and Ed25519 where the token has it. The token gets a hash for ECDSA, because few tokens hash
themselves (CKM_ECDSA, §2.3.6), and the message for Ed25519 (CKM_EDDSA). What it answers is handed out only after it was
verified with the public key that lies beside the private one.

A login is of the whole process: whoever logs in first does so for all sessions, and whoever logs out too. So a session
that no longer finds its key is opened once more before the key counts as gone.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, Mechanism, ObjectClass

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.keys import PublicKey
from lockgate.formats.pkcs11_uri import Pkcs11Uri

_ED25519 = (bytes.fromhex("06032b6570"), b"\x13\x0cedwards25519")  # by OID, and as PKCS#11 v3.0 §2.3.10 writes it
_CURVES = MappingProxyType(
    {bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(), bytes.fromhex("06052b81040022"): ec.SECP384R1()}
)
_LONGEST_PIN = 256


@dataclass
class TokenSigner:
    """The key that `uri` means (port `Signer`). Opening it needs the token; the PIN is read again for each session."""

    uri: Pkcs11Uri
    public: PublicKey = field(init=False)
    _session: "pkcs11.Session | None" = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if self.uri.label is None and self.uri.id is None:
            raise VerificationError(f"{self.uri} says neither object nor id, so it means no one key")
        with self._lock, _saying(self.uri):
            self.public = _public(self._key(ObjectClass.PUBLIC_KEY))

    def sign(self, message: bytes) -> bytes:
        """Let the token sign `message`; raise `UnavailableError` when it does not."""
        with self._lock, _saying(self.uri):
            try:
                signature = self._signed(message)
            except pkcs11.PKCS11Error:
                self._session = None
                signature = self._signed(message)
        self.public.verify(signature, message)
        return signature

    def _signed(self, message: bytes) -> bytes:
        key = self._key(ObjectClass.PRIVATE_KEY)
        assert isinstance(key, pkcs11.SignMixin)
        if self.public.algorithm == "ed25519":
            return bytes(key.sign(message, mechanism=Mechanism.EDDSA))
        digest = hashlib.sha256 if self.public.algorithm == "secp256r1" else hashlib.sha384
        pair = bytes(key.sign(digest(message).digest(), mechanism=Mechanism.ECDSA))
        half = len(pair) // 2
        return encode_dss_signature(int.from_bytes(pair[:half], "big"), int.from_bytes(pair[half:], "big"))

    def _key(self, kind: ObjectClass) -> "pkcs11.Key":
        if self._session is None:
            self._session = _open(self.uri)
        return self._session.get_key(object_class=kind, label=self.uri.label, id=self.uri.id)


def _open(uri: Pkcs11Uri) -> "pkcs11.Session":
    module = pkcs11.lib(uri.module_path)
    found = [token for token in module.get_tokens(token_label=uri.token) if _is_meant(token, uri)]
    if len(found) != 1:
        raise UnavailableError(f"{len(found)} tokens are {uri.token!r}, and not one")
    if uri.pin_source is None:
        return found[0].open()
    try:
        return found[0].open(user_pin=_pin(uri.pin_source))
    except pkcs11.UserAlreadyLoggedIn:
        return found[0].open()


def _is_meant(token: "pkcs11.Token", uri: Pkcs11Uri) -> bool:
    has = (token.serial.decode(errors="replace"), token.model, token.manufacturer_id)
    wanted = (uri.serial, uri.model, uri.manufacturer)
    return all(want is None or want == found.rstrip() for want, found in zip(wanted, has, strict=True))


def _pin(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as e:
        raise UnavailableError(f"cannot read the PIN in {path}: {e.strerror}") from e
    if not content or len(content) > _LONGEST_PIN:
        raise UnavailableError(f"{path} holds no PIN of 1 to {_LONGEST_PIN} bytes")
    return content.decode(errors="replace").splitlines()[0]


def _public(key: "pkcs11.Key") -> PublicKey:
    parameters, point = bytes(key[Attribute.EC_PARAMS]), bytes(key[Attribute.EC_POINT])
    try:
        if parameters in _ED25519:
            return PublicKey.from_loaded(ed25519.Ed25519PublicKey.from_public_bytes(_unwrapped(point, 32)))
        curve = _CURVES.get(parameters)
        if curve is None:
            raise VerificationError("the key in the token is not Ed25519, ECDSA P-256 or ECDSA P-384")
        size = 1 + 2 * ((curve.key_size + 7) // 8)
        return PublicKey.from_loaded(ec.EllipticCurvePublicKey.from_encoded_point(curve, _unwrapped(point, size)))
    except ValueError as e:
        raise VerificationError("the key in the token is not a point of its curve") from e


def _unwrapped(point: bytes, size: int) -> bytes:
    """Take the point out of its OCTET STRING (§2.3.3), which some tokens leave off."""
    return point[2:] if len(point) == size + 2 and point[:2] == bytes([4, size]) else point


@contextmanager
def _saying(uri: Pkcs11Uri) -> Iterator[None]:
    """Say which key could not be reached, and why."""
    try:
        yield
    except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as e:
        count = "no" if isinstance(e, pkcs11.NoSuchKey) else "more than one"
        raise UnavailableError(f"token {uri.token!r} has {count} key that is {uri}") from e
    except pkcs11.PKCS11Error as e:
        raise UnavailableError(f"token {uri.token!r} does not answer: {type(e).__name__} {e}".rstrip()) from e
