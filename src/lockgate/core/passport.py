"""What lets an outsider decide about a release again, offline, from one file?

A passport holds the dossier, the signed decision and the log entries with their proofs. `admit_passport` trusts none of
it: it verifies the log proofs against the checkpoint key, judges the dossier with the reader's own trust and policy,
and only then compares what the server decided (spec/passport.md).

The reader's documents must be current now; the dossier is judged as of the instant at which it was activated. One log
head proves every entry, and the entries lie in the order of the story: registered, trials, activated, promoted, rolled
back; the opening lies before the activation. What was activated with a strategy is a candidate, and stays one until its
promotion or a return to it is proved; that it was aborted meanwhile no passport shows, and the lease is refused
(spec/passport.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, TypeAlias

from lockgate.core import endpoint as at_endpoint
from lockgate.core import release as of_release
from lockgate.core.appearance import Appearance, gather
from lockgate.core.change import Content, Opened
from lockgate.core.decision import Decision, open_decision
from lockgate.core.gate import Dossier, Permit, check_current, judge
from lockgate.core.intent import SignedIntent, check_intent, open_intent
from lockgate.core.override import Overriding
from lockgate.core.policy import Policy
from lockgate.core.proved import E, Logged, Proved, open_logged
from lockgate.core.revocation import Revocations
from lockgate.core.rights import check_right
from lockgate.core.rollout import Promoted
from lockgate.core.sight import Seen, heed, open_seen
from lockgate.core.strategy import Strategy, open_strategy
from lockgate.core.trial import Begun, Trial, trial_of
from lockgate.core.trust import Agreed, Trust
from lockgate.errors import VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.tlog.checkpoint import Checkpoint

MAX_PASSPORT = 16 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """Why the release may serve at one endpoint: the change, its approvals, the decision, and where they are logged."""

    later: ClassVar[tuple[str, ...]] = ("seen",)
    number: int
    content: Content
    opening: SignedIntent
    approvals: tuple[SignedIntent, ...]
    decision: str
    activated: Logged
    order: SignedIntent | None = None
    rolled_back: Logged | None = None
    strategy: str | None = None
    promoted: Logged | None = None
    delegations: tuple[SignedIntent, ...] | None = None
    overrides: tuple[Overriding, ...] | None = None
    risk: str | None = None
    opened: Logged | None = None
    seen: Seen | None = None


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
    providers: Mapping[str, str] | None = None
    trials: tuple[Logged, ...] | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A passport that was judged: what may be loaded, what the server decided, and the log head that proved it.

    `epoch` is the entry that lets the release serve: a lease for it cites the same (`lease.Granted.epoch`). `follows`
    is the entry at which the endpoint stood before, as the approvers signed it; None after a rollback. `content` is
    what they signed, `passport` what was judged, `at` when that was. A `candidate` is to be tried, by its `strategy`.
    `appearances` is what the log held of its provider models up to that head, where the policy wants that shown.
    """

    permit: Permit
    decision: Decision
    checkpoint: Checkpoint
    epoch: int
    follows: int | None
    content: Content
    passport: Passport
    at: datetime
    candidate: bool = False
    strategy: Strategy | None = None
    appearances: tuple[Appearance, ...] = ()


Stable: TypeAlias = Proved[at_endpoint.Activated] | Proved[Promoted]


def parse_passport(data: bytes) -> Passport:
    """Read a passport; raise `VerificationError` for anything else."""
    return plain.from_plain(Passport, canonical.parse(data, limit=MAX_PASSPORT), "passport")


def admit_passport(
    passport: Passport,
    endpoint: Endpoint,
    trust: Agreed[Trust],
    policy: Agreed[Policy],
    revoked: Revocations,
    now: datetime,
) -> Admission:
    """Judge a passport for `endpoint`; raise `VerificationError` or `DeniedError` unless everything holds.

    One of a candidate is refused: who may try one asks for it (`admit_candidate`).

    Enforces: verified_loading, retirement_revocation
    """
    admission = _admit(passport, endpoint, trust, policy, revoked, now)
    if admission.candidate:
        raise VerificationError(f"the passport is of a candidate at {endpoint}: the log is not proved to promote it")
    return admission


def admit_candidate(
    passport: Passport,
    endpoint: Endpoint,
    trust: Agreed[Trust],
    policy: Agreed[Policy],
    revoked: Revocations,
    now: datetime,
) -> Admission:
    """Judge the passport of a candidate in the same way; raise for any other.

    Enforces: verified_loading, retirement_revocation
    """
    admission = _admit(passport, endpoint, trust, policy, revoked, now)
    if not admission.candidate:
        raise VerificationError(f"the passport is of the stable release at {endpoint}, not of a candidate")
    return admission


def admit_again(
    passport: Passport,
    endpoint: Endpoint,
    trust: Agreed[Trust],
    policy: Agreed[Policy],
    revoked: Revocations,
    now: datetime,
) -> Admission:
    """Judge a passport whose case was judged before, as what it was then: only whoever holds its claim may ask.

    Enforces: verified_loading, retirement_revocation
    """
    return _admit(passport, endpoint, trust, policy, revoked, now)


def _admit(
    passport: Passport,
    endpoint: Endpoint,
    trust: Agreed[Trust],
    policy: Agreed[Policy],
    revoked: Revocations,
    now: datetime,
) -> Admission:
    believed = revoked.applied(trust.document)
    case = passport.case
    if case is None:
        raise VerificationError("the passport is for no endpoint: nothing was activated with it")
    check_current(trust.document, policy.document, now)
    registered = open_logged(of_release.Registered, passport.registered, believed, now)
    activated = open_logged(at_endpoint.Activated, case.activated, believed, now)
    seen = open_seen(case.seen, case.content, believed, now, activated.checkpoint)
    dossier = _dossier(passport, case, believed, now, registered, activated)
    dossier = replace(dossier, appearances=gather(one for one in seen if one[1] < activated.index))
    permit = judge(dossier, endpoint, trust, policy, revoked, activated.at)
    _check_entries(permit, passport.registration, case, registered.event, activated.event)
    decision = open_decision(case.decision.encode(), permit, case.number, believed)
    _check_considered(permit, decision, activated.event)
    epoch = _check_story(case, registered, activated)
    promoted = _check_promotion(case, permit, believed, now, activated)
    if case.rolled_back is not None:
        epoch = _check_rollback(case, permit, believed, now, promoted or activated)
    candidate = case.content.strategy is not None and promoted is None
    return Admission(
        permit=permit,
        decision=decision,
        checkpoint=activated.checkpoint,
        epoch=epoch,
        follows=None if case.rolled_back else case.content.epoch,
        content=case.content,
        passport=passport,
        at=now,
        candidate=candidate,
        strategy=_strategy(case),
        appearances=heed(permit, case.seen, dossier.appearances, gather(seen), believed.origin),
    )


def _dossier(
    passport: Passport,
    case: Case,
    trust: Trust,
    now: datetime,
    registered: Proved[of_release.Registered],
    activated: Proved[at_endpoint.Activated],
) -> Dossier:
    """Prove what a dossier says of the log: which trials there were, and when an emergency was opened."""
    trials = _open_trials(passport, trust, now, registered, activated)
    opened_at = _opened_at(case, trust, now, activated)
    return replace(dossier_of(passport, case, registered.at), trials=trials, opened_at=opened_at)


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
        {name: document.encode() for name, document in (passport.providers or {}).items()},
        case.strategy.encode() if case.strategy is not None else None,
        delegations=case.delegations or (),
        overrides=case.overrides or (),
        risk=case.risk.encode() if case.risk is not None else None,
    )


def _opened_at(case: Case, trust: Trust, now: datetime, activated: Proved[at_endpoint.Activated]) -> datetime | None:
    """Prove when the change was opened, if the passport says so: an emergency is decided within minutes of it."""
    if case.opened is None:
        return None
    proved = open_logged(Opened, case.opened, trust, now)
    event, content = proved.event, case.content
    found = (proved.index, event.endpoint, event.content, event.opening, proved.checkpoint)
    if found != (case.number, content.endpoint, content.digest, case.opening.digest, activated.checkpoint):
        raise VerificationError("the log entry of the passport opens another change")
    return proved.at


def _check_entries(
    permit: Permit,
    registration: SignedIntent,
    case: Case,
    registered: of_release.Registered,
    activated: at_endpoint.Activated,
) -> None:
    release = permit.release
    found = (
        registered.release, registered.tag, registered.registration, activated.release, activated.tag,
        activated.before, activated.endpoint, activated.change, activated.decision, activated.strategy,
    )  # fmt: skip
    wanted = (
        release.digest, release.manifest.tag, registration.digest, release.digest, release.manifest.tag,
        case.content.before, permit.endpoint, case.number, Digest.of(case.decision.encode()), case.content.strategy,
    )  # fmt: skip
    if found != wanted:
        raise VerificationError("the log entries of the passport are about another release, endpoint or decision")


def _check_considered(permit: Permit, decision: Decision, activated: at_endpoint.Activated) -> None:
    """Verify that the server decided on exactly this evidence: nothing was added since, nothing taken away.

    An activation of before trials does not say what was considered, and then there may be none.
    """
    held = {*(item.digest for item in permit.evidence), *permit.passed_over}
    if held != {*decision.evidence, *(decision.passed_over or ())}:
        raise VerificationError("the evidence in the passport is not that on which the server decided")
    if activated.considered != permit.considered and (activated.considered or permit.trials or decision.passed_over):
        raise VerificationError("the log says that the release was activated on other statements or trials")


def _open_trials(
    passport: Passport,
    trust: Trust,
    now: datetime,
    registered: Proved[of_release.Registered],
    activated: Proved[at_endpoint.Activated],
) -> tuple[Trial, ...]:
    """Prove that the log holds each trial of this release, one after the other, and before it was activated."""
    found: list[Trial] = []
    last, until = (registered.index, registered.at), (activated.index, activated.at)
    for logged in passport.trials or ():
        proved = open_logged(Begun, logged, trust, now)
        event, here = proved.event, (proved.index, proved.at)
        if (event.tag, event.release) != (registered.event.tag, registered.event.release):
            raise VerificationError(f"trial {proved.index} in the passport is of another release")
        if proved.checkpoint != registered.checkpoint:
            raise VerificationError("the log entries of the passport are proved by different log heads")
        if not (last[0] < here[0] < until[0] and last[1] <= here[1] <= until[1]):
            raise VerificationError("the trials in the passport are not in the order in which they were begun")
        found.append(trial_of(event, *here))
        last = here
    return tuple(found)


def _check_story(
    case: Case, registered: Proved[of_release.Registered], activated: Proved[at_endpoint.Activated]
) -> int:
    """Verify that one log holds both entries, in the order in which things happen; return the later one's index."""
    if registered.checkpoint != activated.checkpoint:
        raise VerificationError("the log entries of the passport are proved by different log heads")
    if not registered.index < case.number < activated.index or registered.at > activated.at:
        raise VerificationError("the log entries of the passport are not in the order: registered, opened, activated")
    return activated.index


def _strategy(case: Case) -> Strategy | None:
    wanted = case.content.strategy
    return open_strategy((case.strategy or "").encode(), wanted) if wanted is not None else None


def _check_promotion(
    case: Case, permit: Permit, trust: Trust, now: datetime, activated: Proved[at_endpoint.Activated]
) -> Proved[Promoted] | None:
    """Prove that the log holds that exactly this candidate became the stable release, if the passport says so."""
    if case.promoted is None:
        return None
    proved = open_logged(Promoted, case.promoted, trust, now)
    event, manifest = proved.event, permit.release.manifest
    found = (event.endpoint, event.tag, event.release, event.change, event.before)
    if found != (permit.endpoint, manifest.tag, permit.release.digest, case.number, case.content.before):
        raise VerificationError("the promotion in the log is of another release, endpoint or change")
    if activated.event.strategy is None:
        raise VerificationError("the log holds a promotion of what was no candidate")
    _check_later(proved, activated, "promotion")
    return proved


def _check_later(later: Proved[E], earlier: Stable, what: str) -> None:
    if later.checkpoint != earlier.checkpoint:
        raise VerificationError("the log entries of the passport are proved by different log heads")
    if later.index <= earlier.index or later.at < earlier.at:
        raise VerificationError(f"the {what} in the log is older than the activation or promotion that it follows")


def _check_rollback(case: Case, permit: Permit, trust: Trust, now: datetime, stable: Stable) -> int:
    """Verify that somebody with the right to do so ordered the return to this release; return where that is logged."""
    if case.rolled_back is None or case.order is None:
        raise VerificationError("the passport tells of a rollback, but holds no order for it")
    if case.content.strategy is not None and isinstance(stable.event, at_endpoint.Activated):
        raise VerificationError("the passport tells of a rollback to what was never promoted")
    proved = open_logged(at_endpoint.RolledBack, case.rolled_back, trust, now)
    event = proved.event
    said = open_intent(case.order, trust, proved.at)
    check_right("endpoint.roll-back", said.actor.roles, said.actor.name)
    check_intent(said, "endpoint.roll-back", permit.endpoint, before=event.before, after=permit.release.digest)
    found = (event.endpoint, event.tag, event.release, event.order)
    if found != (permit.endpoint, permit.release.manifest.tag, permit.release.digest, case.order.digest):
        raise VerificationError("the rollback in the log is not the one that was ordered")
    _check_later(proved, stable, "rollback")
    return proved.index
