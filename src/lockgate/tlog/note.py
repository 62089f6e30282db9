"""Who signed this text?

    text, each line ended by a newline
                                              <- the last empty line parts text and signatures
    — example.com/acme/changes base64(key id, 4 bytes || signature)

This is C2SP signed-note with Ed25519. A signature under a key we do not know is ignored, as that demands; so notes can
be cosigned, and keys rotated. A signature under a key we know must verify. Whatever is odd in the form refuses the
whole note.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lockgate.errors import VerificationError
from lockgate.formats.keys import Signer

MAX_NOTE = 128 << 10
MAX_SIGNATURES = 32
MAX_NAME = 255

_ED25519 = b"\x01"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A name and the Ed25519 public key that signs under it."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public_key) != 32:
            raise VerificationError(f"an Ed25519 public key has 32 bytes, not {len(self.public_key)}")

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart; no fingerprint."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read `name+key id+base64(type || public key)`."""
        if len(vkey) > MAX_NAME + 60:
            raise VerificationError(f"a verifier key has at most {MAX_NAME + 60} characters, not {len(vkey)}")
        parts = vkey.split("+", 2)  # from the left: base64 may contain a plus, a name may not
        if len(parts) != 3:
            raise VerificationError("a verifier key is written name+id+key")
        name, key_id, encoded = parts
        key = decode_base64(encoded)
        if key[:1] != _ED25519:
            raise VerificationError(f"a verifier key has type {key[:1].hex() or 'none'}, not 01 (Ed25519)")
        verifier = cls(name, key[1:])
        if not _KEY_ID.fullmatch(key_id) or bytes.fromhex(key_id) != verifier.key_id:
            raise VerificationError(f"a verifier key has not the id that it claims, but {verifier.key_id.hex()}")
        return verifier

    def encode(self) -> str:
        """Write the verifier key that `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public_key).decode()}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raise unless `signature` over `text` is by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except InvalidSignature as e:
            raise VerificationError(f"signature by {self.name} does not verify") from e


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A name, its Ed25519 public key, and whatever can sign with the private one."""

    name: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    public_key: bytes

    @classmethod
    def of(cls, name: str, key: Signer) -> Self:
        """Sign under `name` with an Ed25519 key."""
        return cls(name, key.sign, key.public.raw)

    @property
    def verifier(self) -> NoteVerifier:
        """What others need to check this signer."""
        return NoteVerifier(self.name, self.public_key)


@dataclass(frozen=True, slots=True)
class Note:
    """A text that each of `signed_by` has signed: the known keys only."""

    text: str
    signed_by: tuple[NoteVerifier, ...]


def sign_note(text: str, signers: Sequence[NoteSigner]) -> str:
    """Return the note of `text` signed by each signer; raise if one of them signs wrongly."""
    lines = [_signature_line(text, signer) for signer in signers]
    note = f"{text}\n{''.join(lines)}"
    open_note(note, [signer.verifier for signer in signers])  # reads back as this text, or a signature would not fit
    return note


def _signature_line(text: str, signer: NoteSigner) -> str:
    signed = signer.verifier.key_id + signer.sign(_encoded(text))
    return f"— {signer.name} {b64encode(signed).decode()}\n"


def open_note(note: bytes | str, verifiers: Sequence[NoteVerifier]) -> Note:
    """Return the text and who signed it; raise unless a known key did, and all known keys that appear did."""
    text, signatures = _split(_decoded(note))
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed_by: list[NoteVerifier] = []
    for name, key_id, signature in signatures:
        verifier = known.get((name, key_id))
        if verifier is None:
            continue
        if verifier in signed_by:
            raise VerificationError(f"note is signed twice by {name}")
        verifier.verify(text.encode(), signature)
        signed_by.append(verifier)
    if not signed_by:
        raise VerificationError(f"none of the {len(signatures)} signatures is by one of {len(known)} known keys")
    return Note(text, tuple(signed_by))


def _decoded(note: bytes | str) -> str:
    encoded = _encoded(note) if isinstance(note, str) else note
    if len(encoded) > MAX_NOTE:
        raise VerificationError(f"note has {len(encoded)} bytes, at most {MAX_NOTE} are read")
    try:
        text = encoded.decode()
    except UnicodeDecodeError as e:
        raise VerificationError(f"note is not UTF-8 at byte {e.start}") from e
    if found := _CONTROL.search(text):
        raise VerificationError(f"note has the control character {ord(found.group()):#04x}")
    return text


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as e:
        raise VerificationError(f"note cannot be written in UTF-8 at character {e.start}") from e


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    text, blank, signed = note.rpartition("\n\n")
    if not blank:
        raise VerificationError("note has no empty line between text and signatures")
    if not signed.endswith("\n"):
        raise VerificationError("note does not end in a signature line and a newline")
    lines = signed[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise VerificationError(f"note has {len(lines)} signatures, at most {MAX_SIGNATURES} are read")
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise VerificationError("a signature line is written: em dash, space, key name, space, base64")
    _check_name(parts[1])
    signed = decode_base64(parts[2])
    if len(signed) < 5:
        raise VerificationError(f"a signature has {len(signed)} bytes, not a key id of 4 and more")
    return parts[1], signed[:4], signed[4:]


def _check_name(name: str) -> None:
    if not 0 < len(name) <= MAX_NAME:
        raise VerificationError(f"a key name has 1 to {MAX_NAME} characters, not {len(name)}")
    if "+" in name or any(c.isspace() or c < " " for c in name):
        raise VerificationError("a key name has no space, plus or control character")
    _encoded(name)


def decode_base64(encoded: str) -> bytes:
    """Read standard base64 with padding (RFC 4648 §4), in its one canonical spelling."""
    try:
        decoded = b64decode(encoded, validate=True)
    except ValueError as e:
        raise VerificationError("this is not base64") from e
    if b64encode(decoded).decode() != encoded:
        raise VerificationError("base64 is not in its canonical spelling")
    return decoded
