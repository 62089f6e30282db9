"""Who can open a file of the store? Whoever unwraps its data key, under the key of a release or of a day of ingest.

    file ──encrypted under──▶ data key ──wrapped under──▶ key of release A   ──┐
                                       ──wrapped under──▶ key of release B   ──┼── in a vault, never beside the files
                                       ──wrapped under──▶ key of ingest, day ──┘

A key-encryption key (KEK) is known by its label. Destroyed, it takes every wrap under it along, and nothing else: a
file that two releases share stays readable for the other. A wrap is bound to its label and its file, so it is worth
nothing in another's place.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest

NONCE = 12

_INGEST, _RELEASE = "ingest-", "release-"


@dataclass(frozen=True, slots=True, order=True)
class Kek:
    """The label of a key-encryption key: `release-HEX`, or `ingest-YYYY-MM-DD`."""

    label: str

    def __post_init__(self) -> None:
        kind, dash, rest = self.label.partition("-")
        if not (dash and (_is_day(rest) if kind == "ingest" else kind == "release" and Digest(rest))):
            raise VerificationError(f"not the label of a key-encryption key: {self.label[:80]!a}")

    @classmethod
    def of_release(cls, release: Digest) -> Self:
        """Name the key of one release."""
        return cls(f"{_RELEASE}{release.hex}")

    @classmethod
    def of_ingest(cls, now: datetime) -> Self:
        """Name the key under which files wait, from their upload to their first registration."""
        return cls(f"{_INGEST}{now.astimezone(UTC).date().isoformat()}")

    def __str__(self) -> str:
        """Write the label."""
        return self.label


@dataclass(frozen=True, slots=True)
class Wrap:
    """The data key of one file, wrapped under `kek`."""

    kek: Kek
    wrapped: bytes


def binding(kek: Kek, blob: Digest) -> bytes:
    """Say what a wrap is for, as the associated data of its encryption."""
    return f"lockgate wrap/v1 {kek} {blob}".encode()


def wrap_key(secret: bytes, nonce: bytes, kek: Kek, blob: Digest, key: bytes) -> Wrap:
    """Wrap a data key under the secret of `kek`: nonce, then AES-256-GCM. The nonce is fresh each time."""
    return Wrap(kek, nonce + AESGCM(secret).encrypt(nonce, key, binding(kek, blob)))


def unwrap_key(secret: bytes, wrap: Wrap, blob: Digest) -> bytes:
    """Unwrap the data key of a file; raise `VerificationError` unless the wrap is of this key for this file."""
    try:
        return AESGCM(secret).decrypt(wrap.wrapped[:NONCE], wrap.wrapped[NONCE:], binding(wrap.kek, blob))
    except (InvalidTag, ValueError) as e:
        raise not_for(wrap.kek, blob) from e


def not_for(kek: Kek, blob: Digest) -> VerificationError:
    """Say that a wrap opens nothing."""
    return VerificationError(f"the wrap of blob {blob} is not of {kek} for this blob")


def destroyed(kek: Kek) -> DeniedError:
    """Say that nothing is opened by this key any more."""
    return DeniedError(f"the key {kek} was destroyed: what only it opened is erased")


def _is_day(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).date().isoformat() == text
    except ValueError:
        return False
