"""May this head be signed after that one? What the signer of a log remembers, and how it is spoken to.

    remembered: 21 entries ── 21, the same root ──────▶ signed again
                           ── 34, proof 21 → 34 ──────▶ remembered, then signed
                           ── 17 · 21, other root · no proof · other log ──▶ refused

A question is one line of canonical JSON, and so is its answer (spec/signer.md). Whoever asks verifies the note that
comes back: the answer proves itself, the socket proves nothing.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from lockgate.errors import ConflictError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.tlog.checkpoint import Checkpoint, parse_checkpoint, parse_hash
from lockgate.tlog.merkle import EMPTY_ROOT, Hash, verify_consistency

MAX_LINE = 16 << 10
MAX_PROOF = 128  # two hashes for each of 64 levels are more than any proof has

_ERRORS: dict[str, type[LockgateError]] = {
    "conflict": ConflictError,
    "verification": VerificationError,
    "unavailable": UnavailableError,
}


@dataclass(frozen=True, slots=True)
class Anchor:
    """The largest head that was ever signed, as the signer keeps it."""

    type: ClassVar[str] = "anchor/v1"
    origin: str
    size: int
    root: Digest

    @property
    def head(self) -> Checkpoint:
        """The same as a checkpoint that nobody has signed."""
        return Checkpoint(self.origin, self.size, Hash(self.root.raw))

    @classmethod
    def of(cls, head: Checkpoint) -> "Anchor":
        """Remember `head`."""
        return cls(head.origin, head.size, Digest(head.root.hex()))


@dataclass(frozen=True, slots=True)
class AskLast:
    """Which is the largest head that you signed?"""

    type: ClassVar[str] = "signer.last/v1"


@dataclass(frozen=True, slots=True)
class AskSign:
    """Sign this head; `proof` shows that it extends the largest one that you signed (RFC 6962 §2.1.2)."""

    type: ClassVar[str] = "signer.sign/v1"
    head: str
    proof: tuple[str, ...]

    @classmethod
    def of(cls, head: Checkpoint, proof: Sequence[Hash]) -> "AskSign":
        """Write a question."""
        return cls(head.encode(), tuple(b64encode(each).decode() for each in proof))

    def read(self) -> tuple[Checkpoint, tuple[Hash, ...]]:
        """Return the head and the proof; raise `VerificationError` for what is none."""
        if len(self.proof) > MAX_PROOF:
            raise VerificationError(f"a consistency proof has at most {MAX_PROOF} hashes, not {len(self.proof)}")
        return parse_checkpoint(self.head), tuple(parse_hash(each) for each in self.proof)


@dataclass(frozen=True, slots=True)
class Signed:
    """A head with its signature, as C2SP signed-note. The signer remembers it for good."""

    type: ClassVar[str] = "signer.signed/v1"
    note: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was signed."""

    type: ClassVar[str] = "signer.refused/v1"
    error: Literal["conflict", "verification", "unavailable"]
    reason: str

    @classmethod
    def of(cls, error: LockgateError) -> "Refused":
        """Say why."""
        kinds: dict[type[LockgateError], Literal["conflict", "verification"]] = {
            ConflictError: "conflict",
            VerificationError: "verification",
        }
        return cls(kinds.get(type(error), "unavailable"), str(error)[:500])


Question: TypeAlias = AskLast | AskSign
Reply: TypeAlias = Signed | Refused


def empty_anchor(origin: str) -> Anchor:
    """Begin a memory: nothing was signed yet."""
    return Anchor.of(Checkpoint(origin, 0, EMPTY_ROOT))


def check_growth(last: Checkpoint, head: Checkpoint, proof: Sequence[Hash]) -> None:
    """Raise unless `head` is `last`, or extends it: `ConflictError` for a smaller one, else `VerificationError`.

    That the first head grew from nothing is not to be proved.
    """
    if head.origin != last.origin:
        raise VerificationError(f"the head is of the log {head.origin[:80]!a}, not of {last.origin}")
    parse_checkpoint(head.encode())
    if head.size < last.size:
        raise ConflictError(f"the head has {head.size} entries, but {last.size} were signed")
    if last.size:
        verify_consistency(last.size, head.size, proof, last.root, head.root)
    elif proof:
        raise VerificationError(f"nothing was signed before, so a proof of {len(proof)} hashes proves nothing")


def encode_line(message: Question | Reply) -> bytes:
    """Write one message as a line."""
    return plain.encode(message) + b"\n"


def read_question(line: bytes) -> Question:
    """Read what a signer is asked; raise `VerificationError` for anything else."""
    asked: Question = plain.from_plain(AskLast | AskSign, _parse(line), "question")  # type: ignore[arg-type]
    return asked


def read_reply(line: bytes) -> str:
    """Return the note that a signer answered; raise what it refused with."""
    reply: Reply = plain.from_plain(Signed | Refused, _parse(line), "reply")  # type: ignore[arg-type]
    match reply:
        case Signed():
            return reply.note
        case Refused():
            raise _ERRORS[reply.error](reply.reason)


def _parse(line: bytes) -> canonical.Json:
    if not line.endswith(b"\n"):
        raise VerificationError(f"the line broke off after {len(line)} bytes")
    return canonical.parse(line[:-1], limit=MAX_LINE)
