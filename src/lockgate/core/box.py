"""How do data keys reach one holder, and nobody who stands between? Sealed to its X25519 key, for one occasion.

    server: HPKE seal( digest ‖ key, digest ‖ key, … ; info = occasion )  ──▶  holder: opens with its private key

HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM. The occasion is in the key
schedule: who holds, which nonce was asked with, which release, at which endpoint. So a box of another occasion does not
open. It does not say who sealed it: that is told by the signature of the lease that it comes in, and by every digest
that the opened bytes are compared with.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.formats.segments import KEY

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class Occasion:
    """For whom keys are sealed, in answer to which nonce, and for what; no `endpoint` means for no endpoint."""

    type: ClassVar[str] = "sealed-keys/v1"
    holder: Name
    nonce: str
    release: Digest
    endpoint: Endpoint | None = None


def seal(keys: Mapping[Digest, bytes], to: str, occasion: Occasion) -> str:
    """Seal the data keys of files to a holder's key, which is the base64 of 32 bytes."""
    content, recipient = b"".join(digest.raw + key for digest, key in sorted(keys.items())), dsse.read_base64(to)
    try:
        box = _SUITE.encrypt(content, X25519PublicKey.from_public_bytes(recipient), plain.encode(occasion))
    except ValueError as e:
        raise VerificationError("the key to seal to is no X25519 key") from e
    return base64.b64encode(box).decode()


def unseal(box: str, key: X25519PrivateKey, occasion: Occasion) -> dict[Digest, bytes]:
    """Open what was sealed to `key` for exactly this occasion."""
    sealed = dsse.read_base64(box)
    try:
        content = _SUITE.decrypt(sealed, key, plain.encode(occasion))
    except (InvalidTag, ValueError) as e:
        raise VerificationError("the sealed keys are not for this holder and this occasion") from e
    each = _DIGEST + KEY
    if len(content) % each:
        raise VerificationError(f"the sealed keys have {len(content)} bytes, not a multiple of {each}")
    pairs = [content[at : at + each] for at in range(0, len(content), each)]
    return {Digest(pair[:_DIGEST].hex()): pair[_DIGEST:] for pair in pairs}


def sealing_key(key: X25519PrivateKey) -> str:
    """Write the public half as it is asked with: the base64 of its 32 bytes."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()
