"""How large is the log, under which root, and does the log itself say so?

    example.com/acme/changes                          origin: which log; never changes
    20852163                                          tree size
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=      root hash, RFC 6962

    — example.com/acme/changes Az3grl…                signed under the origin as key name

Stricter than C2SP tlog-checkpoint, which leaves both open: no extension lines, and a key speaks only for the origin it
is named after. So a key trusted for one log cannot vouch for another, and rotation changes the key, not its name.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from lockgate.errors import VerificationError
from lockgate.tlog.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE, Hash
from lockgate.tlog.note import NoteSigner, NoteVerifier, decode_base64, open_note, sign_note

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log at one size."""

    origin: str
    size: int
    root: Hash

    def encode(self) -> str:
        """Write the text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """Return the signed checkpoint. That it agrees with all earlier ones is for the caller to know."""
    text = checkpoint.encode()
    parse_checkpoint(text)  # an origin with a line break in it would be another checkpoint
    if signer.name != checkpoint.origin:
        raise VerificationError(f"the key of {signer.name} cannot sign for another origin")
    return sign_note(text, [signer])


def open_checkpoint(note: bytes | str, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint that one of `verifiers`, named after its origin, has signed."""
    opened = open_note(note, verifiers)
    checkpoint = parse_checkpoint(opened.text)
    if all(verifier.name != checkpoint.origin for verifier in opened.signed_by):
        raise VerificationError("checkpoint is signed by known keys, but none is named after its origin")
    return checkpoint


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text that is signed; a root of any other length, or of an empty tree that is not empty, is refused."""
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0]:
        raise VerificationError("a checkpoint has three lines: origin, size and root")
    size, root = parse_decimal(lines[1]), parse_hash(lines[2])
    if not size and root != EMPTY_ROOT:
        raise VerificationError(f"checkpoint of the empty tree has root {root.hex()}, not {EMPTY_ROOT.hex()}")
    return Checkpoint(lines[0], size, root)


def parse_decimal(text: str) -> int:
    """Read a tree size or a leaf index: ASCII digits without leading zeros."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise VerificationError(f"a size or an index is a decimal of at most {MAX_SIZE} without leading zeros")
    return int(text)


def parse_hash(encoded: str) -> Hash:
    """Read one hash in base64."""
    decoded = decode_base64(encoded)
    if len(decoded) != HASH_SIZE:
        raise VerificationError(f"a hash has {len(decoded)} bytes, not {HASH_SIZE}")
    return Hash(decoded)
