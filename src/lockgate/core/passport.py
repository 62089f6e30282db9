"""What lets an outsider decide about a release again, offline, from one file?

A passport holds the dossier, the signed decision and the log entries with their proofs. `admit_passport` trusts none of
it: it verifies the log proofs against the checkpoint key, judges the dossier with the reader's own trust and policy,
and only then compares what the server decided (spec/passport.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

from lockgate.core import endpoint as at_endpoint
from lockgate.core import release as of_release
from lockgate.core.change import Content
from lockgate.core.decision import Decision, open_decision
from lockgate.core.gate import Dossier, Permit, judge
from lockgate.core.intent import SignedIntent, attribute_intent, check_intent
from lockgate.core.journal import Event, read_fact
from lockgate.core.policy import Policy
from lockgate.core.rights import check_right
from lockgate.core.trust import Agreed, Purpose, Trust
from lockgate.errors import VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.tlog.checkpoint import Checkpoint
from lockgate.tlog.note import NoteVerifier
from lockgate.tlog.proof import LogProof

E = TypeVar("E", bound=Event)
MAX_PASSPORT = 16 << 20
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Logged:
    """A log entry, and the proof that a checkpoint holds it (c2sp.org/tlog-proof)."""

    entry: str
    proof: str


@dataclass(frozen=True, slots=True)
class Case:
    """Why the release may serve at one endpoint: the change, its approvals, the decision, and where they are logged."""

    number: int
    content: Content
    opening: SignedIntent
    approvals: tuple[SignedIntent, ...]
    decision: str
    activated: Logged
    order: SignedIntent | None = None
    rolled_back: Logged | None = None


@dataclass(frozen=True, slots=True)
class Passport:
    """Everything about a release that can be judged, as it was received: nothing in it is checked."""

    type: ClassVar[str] = "passport/v1"
    manifest: str
    bundles: Mapping[str, str]
    evidence: tuple[str, ...]
    registration: SignedIntent
    registered: Logged
    case: Case | None = None
    export: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A passport that was judged: what may be loaded, what the server decided, and the newest log head it proved."""

    permit: Permit
    decision: Decision
    checkpoint: Checkpoint


def parse_passport(data: bytes) -> Passport:
    """Read a passport; raise `VerificationError` for anything else."""
    return plain.from_plain(Passport, canonical.parse(data, limit=MAX_PASSPORT), "passport")


def admit_passport(
    passport: Passport, endpoint: Endpoint, trust: Agreed[Trust], policy: Agreed[Policy], now: datetime
) -> Admission:
    """Judge a passport for `endpoint`; raise `VerificationError` or `DeniedError` unless everything holds.

    Enforces: verified_loading
    """
    case = passport.case
    if case is None:
        raise VerificationError("the passport is for no endpoint: nothing was activated with it")
    registered_at, registered, _ = _proved(of_release.Registered, passport.registered, trust.document, now)
    activated_at, activated, newest = _proved(at_endpoint.Activated, case.activated, trust.document, now)
    dossier = dossier_of(passport, case, registered_at)
    permit = judge(dossier, endpoint, trust, policy, activated_at)
    _check_entries(permit, passport, registered, activated)
    if case.rolled_back is not None:
        newest = _check_rollback(case, permit, trust.document, now)
    return Admission(permit, open_decision(case.decision.encode(), permit, case.number, trust.document), newest)


def dossier_of(passport: Passport, case: Case, registered_at: datetime) -> Dossier:
    """Take from a passport what the gate judges."""
    return Dossier(
        passport.manifest.encode(),
        {name: bundle.encode() for name, bundle in passport.bundles.items()},
        tuple(statement.encode() for statement in passport.evidence),
        passport.registration,
        registered_at,
        case.content,
        case.number,
        case.opening,
        case.approvals,
    )


def _proved(kind: type[E], logged: Logged, trust: Trust, now: datetime) -> tuple[datetime, E, Checkpoint]:
    """Prove that the log holds an event of this kind; say when, and under which checkpoint."""
    entry = logged.entry.encode()
    keys = trust.keys_for(Purpose.CHECKPOINT, now)
    verifiers = [NoteVerifier(trust.origin, key.raw) for key in keys]
    checkpoint = LogProof.parse(logged.proof).verify(entry, verifiers)
    if checkpoint.origin != trust.origin:
        raise VerificationError(f"the checkpoint is of log {checkpoint.origin[:80]!a}, not of {trust.origin}")
    envelope, event = read_fact(entry)
    if not isinstance(event, kind):
        raise VerificationError(f"the log entry is {event.type}, not {kind.type}")
    if envelope.time > now + CLOCK_SKEW:
        raise VerificationError(f"the log entry is of {envelope.time}, later than now ({now})")
    return envelope.time, event, checkpoint


def _check_entries(
    permit: Permit, passport: Passport, registered: of_release.Registered, activated: at_endpoint.Activated
) -> None:
    assert passport.case is not None
    found = (
        registered.release, registered.tag, registered.registration,
        activated.release, activated.endpoint, activated.change, activated.decision,
    )  # fmt: skip
    release = permit.release
    wanted = (
        release.digest, release.manifest.tag, passport.registration.digest,
        release.digest, permit.endpoint, passport.case.number, Digest.of(passport.case.decision.encode()),
    )  # fmt: skip
    if found != wanted:
        raise VerificationError("the log entries of the passport are about another release, endpoint or decision")


def _check_rollback(case: Case, permit: Permit, trust: Trust, now: datetime) -> Checkpoint:
    """Verify that somebody with the right to do so ordered the return to this release."""
    if case.rolled_back is None or case.order is None:
        raise VerificationError("the passport tells of a rollback, but holds no order for it")
    at, event, checkpoint = _proved(at_endpoint.RolledBack, case.rolled_back, trust, now)
    said = attribute_intent(case.order, trust, at)
    check_right("endpoint.roll-back", said.actor.roles, said.actor.name)
    check_intent(said, "endpoint.roll-back", permit.endpoint, before=event.before, after=permit.release.digest)
    found = (event.endpoint, event.release, event.order)
    if found != (permit.endpoint, permit.release.digest, case.order.digest):
        raise VerificationError("the rollback in the log is not the one that was ordered")
    return checkpoint
