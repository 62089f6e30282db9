"""Does the log hold this entry, and where? Proved under a checkpoint that a trusted key signed, or refused."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from lockgate.core.evidence import CLOCK_SKEW
from lockgate.core.journal import Event, read_fact, subject_of
from lockgate.core.trust import Trust
from lockgate.errors import VerificationError
from lockgate.tlog.checkpoint import Checkpoint
from lockgate.tlog.proof import LogProof

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Logged:
    """A log entry, and the proof that a checkpoint holds it (c2sp.org/tlog-proof)."""

    entry: str
    proof: str


@dataclass(frozen=True, slots=True)
class Proved(Generic[E]):
    """An event that the log was proved to hold: where, since when, under which head."""

    event: E
    index: int
    at: datetime
    checkpoint: Checkpoint


def open_logged(kind: type[E], logged: Logged, trust: Trust, now: datetime) -> Proved[E]:
    """Prove that the log holds an event of this kind, and that it is not of a time to come."""
    proved = open_entry(kind, logged, trust, now)
    if proved.at > now + CLOCK_SKEW:
        raise VerificationError(f"the log entry is of {proved.at}, later than now ({now})")
    return proved


def open_entry(kind: type[E], logged: Logged, trust: Trust, now: datetime) -> Proved[E]:
    """Prove the same of an event that may be later than what is judged as of `now`."""
    entry = logged.entry.encode()
    verifiers = trust.log_verifiers(now)
    proof = LogProof.parse(logged.proof)
    checkpoint = proof.verify(entry, verifiers)
    envelope, event = read_fact(entry)
    if not isinstance(event, kind):
        raise VerificationError(f"the log entry is {event.type}, not {kind.type}")
    if envelope.subject != str(subject_of(event, proof.index)):
        raise VerificationError(f"the log entry says that it is about {envelope.subject[:80]!a}, and is not")
    return Proved(event, proof.index, envelope.time, checkpoint)
