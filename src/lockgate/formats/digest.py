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
    r"""Hash a directory, names included, given (relative name, SHA-256 hex) of each file.

    The in-toto `dirHash` (in-toto attestation, digest_set.md; Go's dirhash.Hash1 before its base64):
    the SHA-256 of the lines `<hex>  <name>\n`, sorted by name. What could pass for two lines is refused, and so is a
    name that is not UTF-8.
    """
    listed = sorted((_line_part(name), _line_part(digits)) for name, digits in files)
    return Digest.of(b"".join(b"%b  %b\n" % (digits, name) for name, digits in listed))


def _line_part(text: str) -> bytes:
    if "\n" in text:
        raise VerificationError(f"file name holds a newline: {text[:80]!a}")
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise VerificationError(f"file name is not UTF-8: {text[:80]!a}") from e
