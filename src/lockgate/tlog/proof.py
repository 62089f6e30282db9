"""Was this entry logged, shown by one file and the log's key?

    c2sp.org/tlog-proof@v1
    extra YWdl…                  optional; authenticated by nobody, so never to be trusted
    index 73894
    gSKyXoYZ…                    inclusion proof, from the leaf's sibling up; no lines in a tree of one

    example.com/acme/changes     the signed checkpoint, verbatim
    …

This is C2SP tlog-proof. Whoever trusts the log's key can check it offline, for ever.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from lockgate.errors import VerificationError
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint, parse_decimal, parse_hash
from lockgate.tlog.merkle import Hash, leaf_hash, verify_inclusion
from lockgate.tlog.note import MAX_NOTE, NoteVerifier, decode_base64

MAX_HASHES = 63
MAX_PROOF = MAX_NOTE + (64 << 10)

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class LogProof:
    """A claim, not yet verified, that the checkpointed tree has some entry at `index`."""

    index: int
    hashes: tuple[Hash, ...]
    checkpoint: str
    extra: bytes = b""

    def encode(self) -> str:
        """Write the proof as text."""
        lines = [_HEADER]
        if self.extra:
            lines.append(f"extra {b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [b64encode(found).decode() for found in self.hashes]
        return "\n".join(lines) + "\n\n" + self.checkpoint

    @classmethod
    def parse(cls, proof: bytes | str) -> Self:
        """Read a proof; the checkpoint in it is neither parsed nor verified."""
        head, blank, checkpoint = _text(proof).partition("\n\n")
        header, *lines = head.split("\n")
        if header != _HEADER or not blank:
            raise VerificationError(f"a log proof begins with {_HEADER} and has an empty line before its checkpoint")
        extra = _extra(lines.pop(0)) if lines and lines[0].startswith("extra ") else b""
        if not lines or not lines[0].startswith("index "):
            raise VerificationError("a log proof says its index in the line before its hashes")
        if len(lines) - 1 > MAX_HASHES:
            raise VerificationError(f"a log proof has {len(lines) - 1} hashes, at most {MAX_HASHES} are possible")
        index = parse_decimal(lines[0].removeprefix("index "))
        return cls(index, tuple(parse_hash(line) for line in lines[1:]), checkpoint, extra)

    def verify(self, entry: bytes, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
        """Return the checkpoint under which `entry` is logged at `index`; raise if it is not."""
        checkpoint = open_checkpoint(self.checkpoint, verifiers)
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root)
        return checkpoint


def _text(proof: bytes | str) -> str:
    try:
        encoded = proof.encode() if isinstance(proof, str) else proof
        if len(encoded) > MAX_PROOF:
            raise VerificationError(f"log proof has {len(encoded)} bytes, at most {MAX_PROOF} are read")
        return encoded.decode()
    except UnicodeError as e:
        raise VerificationError("log proof is not UTF-8") from e


def _extra(line: str) -> bytes:
    extra = decode_base64(line.removeprefix("extra "))
    if not extra:
        raise VerificationError("a log proof without extra data omits the line")
    return extra
