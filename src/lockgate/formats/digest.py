"""Which bytes are meant? SHA-256, written `sha256:<64 lower-case hex digits>`."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from lockgate.errors import VerificationError

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """The SHA-256 of some bytes."""

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise VerificationError(f"not a SHA-256 in lower-case hex: {self.hex[:80]!a}")

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Hash `data`."""
        return cls(hashlib.sha256(data).hexdigest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<hex>`."""
        scheme, colon, digits = text.partition(":")
        if scheme != "sha256" or not colon:
            raise VerificationError(f"not a sha256: digest: {text[:80]!a}")
        return cls(digits)

    def __str__(self) -> str:
        """Write `sha256:<hex>`."""
        return f"sha256:{self.hex}"

    @property
    def raw(self) -> bytes:
        """The 32 bytes themselves."""
        return bytes.fromhex(self.hex)


def dir_hash(files: Iterable[tuple[str, str]]) -> Digest:
    """Hash a directory, names included, given (relative name, SHA-256 hex) of each file.

    The in-toto `dirHash` (in-toto attestation, digest_set.md; Go's dirhash.Hash1 before its base64):
    the SHA-256 of the lines `<hex>  <name>\n`, sorted by name.
    """
    lines = [f"{digits}  {name}\n" for name, digits in sorted(files, key=lambda file: file[0].encode())]
    return Digest.of("".join(lines).encode())
