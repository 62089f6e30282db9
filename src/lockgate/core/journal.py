"""Which facts can the log hold, and what is true after each? All state is a fold over these events.

An object is anything that events are about: a release, a change, an endpoint, the rules of the installation. Its
`Subject` names it; `evolve` says what becomes of it. Nothing else changes state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, TypeAlias, get_args

from lockgate.core import (
    appearance,
    change,
    concession,
    delegation,
    detection,
    endpoint,
    preservation,
    release,
    restoration,
    revocation,
    rollout,
    suite,
)
from lockgate.core.override import Overridden
from lockgate.core.policy import PolicyAdopted
from lockgate.core.trial import Begun
from lockgate.core.trust import TrustAdopted
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.cloudevent import CloudEvent, decode_entry
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag


@dataclass(frozen=True, slots=True)
class Denied:
    """Somebody known asked for something and the rules said no."""

    type: ClassVar[str] = "denied/v1"
    act: str
    object: str
    reasons: Digest


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Which trust and policy documents an installation judges by. `*_envelope` is the signed document itself.

    `roots` and `targets` are the metadata that carries them to hosts, `revoked` the keys that count for nothing
    and the people who are off-boarded.
    """

    kind: ClassVar[str] = "rulebook"
    environment: Name
    trust: Digest
    trust_version: int
    trust_envelope: Digest
    policy: Digest | None = None
    policy_version: int = 0
    policy_envelope: Digest | None = None
    roots: tuple[Digest, ...] = ()
    targets: Digest | None = None
    revoked: tuple[revocation.Revocation, ...] = ()


_OfRelease: TypeAlias = release.Registered | release.Attested | release.KeysOpened | Begun
_OfChange: TypeAlias = (
    change.Opened
    | change.Proposed
    | change.Approved
    | change.Rejected
    | change.Withdrawn
    | change.Authorized
    | change.Closed
    | Overridden
)
_OfEndpoint: TypeAlias = (
    endpoint.Activated
    | endpoint.RolledBack
    | endpoint.Suspended
    | endpoint.Tripped
    | endpoint.Flagged
    | rollout.Stepped
    | rollout.Paused
    | rollout.Resumed
    | rollout.Promoted
    | restoration.Restored
    | restoration.Overdue
    | rollout.Aborted
)
_OfRulebook: TypeAlias = TrustAdopted | PolicyAdopted | revocation.KeyRevoked | revocation.Offboarded
_OfItself: TypeAlias = (
    appearance.Observed
    | detection.Alerted
    | revocation.ReleaseRevoked
    | suite.Added
    | delegation.Event
    | concession.Event
    | Denied
)

Event: TypeAlias = preservation.Examined | _OfRelease | _OfChange | _OfEndpoint | _OfRulebook | _OfItself
State: TypeAlias = (
    release.Record
    | change.Change
    | endpoint.State
    | detection.Alerts
    | appearance.Appearances
    | revocation.Revocation
    | suite.Suite
    | preservation.Preservation
    | delegation.Delegation
    | concession.Concession
    | Rulebook
)
Fact: TypeAlias = tuple[CloudEvent, Event]

_FIRST = (
    release.Registered, change.Opened, change.Proposed, endpoint.Activated, endpoint.Suspended, TrustAdopted,
    revocation.ReleaseRevoked, appearance.Observed, detection.Alerted, suite.Added, delegation.Named, concession.Made,
    preservation.Examined,
    Denied,
)  # fmt: skip
EVENT_TYPES: Mapping[str, type[Event]] = MappingProxyType({kind.type: kind for kind in get_args(Event)})
STATES: Mapping[str, type[State]] = MappingProxyType({kind.kind: kind for kind in get_args(State)})


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """The object that an event is about, written `kind/key`."""

    kind: str
    key: str

    def __str__(self) -> str:
        """Write `kind/key`."""
        return f"{self.kind}/{self.key}"


def subject_of(event: Event, index: int) -> Subject:
    """Name the object that `event`, at leaf `index`, is about."""
    if isinstance(event, _OfRelease):
        return release_subject(event.tag)
    if isinstance(event, change.Opened | change.Proposed):
        return change_subject(index)
    if isinstance(event, _OfChange):
        return change_subject(event.change)
    if isinstance(event, _OfEndpoint):
        return endpoint_subject(event.endpoint)
    if isinstance(event, _OfRulebook):
        return rulebook_subject(event.environment)
    if isinstance(event, preservation.Examined):
        return preservation_subject(event.endpoint)
    return _subject_of_itself(event)


def _subject_of_itself(event: _OfItself) -> Subject:
    match event:
        case detection.Alerted():
            return alerts_subject(event.endpoint)
        case appearance.Observed():
            return appearances_subject(event.endpoint)
        case revocation.ReleaseRevoked():
            return revocation_subject(event.release)
        case suite.Added():
            return suite_subject(Tag(event.name, event.version))
        case delegation.Named() | delegation.Recalled():
            return delegation_subject(event.principal)
        case concession.Made() | concession.Lapsed() | concession.Missed() | concession.Reviewed():
            return concession_subject(event.change)
        case Denied():
            return Subject("denied", event.object)


def release_subject(tag: Tag) -> Subject:
    """Name a release."""
    return Subject("release", str(tag))


def change_subject(number: int) -> Subject:
    """Name a change."""
    return Subject("change", str(number))


def endpoint_subject(at: Endpoint) -> Subject:
    """Name an endpoint."""
    return Subject("endpoint", str(at))


def alerts_subject(at: Endpoint) -> Subject:
    """Name what was raised about an endpoint: not the endpoint itself, which an alert does not change."""
    return Subject("alerts", str(at))


def appearances_subject(at: Endpoint) -> Subject:
    """Name what is known of the provider models at an endpoint."""
    return Subject("appearances", str(at))


def rulebook_subject(environment: Name) -> Subject:
    """Name the rules of an installation."""
    return Subject("rulebook", str(environment))


def suite_subject(tag: Tag) -> Subject:
    """Name a version of a suite, `NAME@X.Y.Z`."""
    return Subject("suite", str(tag))


def preservation_subject(endpoint: Endpoint) -> Subject:
    """Name what is known of the release that an endpoint would go back to, which it does not change."""
    return Subject("preservation", str(endpoint))


def concession_subject(number: int) -> Subject:
    """Name what was let through by change `number` although the rule says otherwise."""
    return Subject("concession", str(number))


def delegation_subject(principal: Name) -> Subject:
    """Name who approves in the place of somebody."""
    return Subject("delegation", str(principal))


def revocation_subject(revoked: Digest) -> Subject:
    """Name the revocation of a release."""
    return Subject("revocation", str(revoked))


def write_fact(event: Event, envelope: CloudEvent) -> CloudEvent:
    """Put `event` into its envelope: who, when, what, on whose signed word.

    Enforces: audit_record
    """
    data = plain.to_plain(event)
    assert isinstance(data, dict)
    return replace(envelope, type=event.type, data={name: value for name, value in data.items() if name != "type"})


def read_fact(entry: bytes) -> Fact:
    """Read a log entry into its envelope and its event; raise `VerificationError` for a type we do not know."""
    envelope = decode_entry(entry)
    kind = EVENT_TYPES.get(envelope.type)
    if kind is None:
        raise VerificationError(f"log entry has the unknown type {envelope.type[:64]!a}")
    return envelope, plain.from_plain(kind, {"type": envelope.type, **envelope.data}, envelope.type)


def evolve(state: State | None, event: Event, index: int, at: datetime) -> State | None:
    """Say what is true of the object of `event` after it; None if it has no state."""
    if state is None and not isinstance(event, _FIRST):
        raise VerificationError(f"the log holds {event.type} about something that never began")
    if isinstance(event, _OfRelease):
        assert state is None or isinstance(state, release.Record)
        return release.evolve(state, event, index, at)
    if isinstance(event, _OfChange):
        assert state is None or isinstance(state, change.Change)
        return change.evolve(state, event, index, at)
    if isinstance(event, _OfEndpoint):
        assert state is None or isinstance(state, endpoint.State)
        return endpoint.evolve(state, event, index, at)
    if isinstance(event, _OfRulebook):
        assert state is None or isinstance(state, Rulebook)
        return _rule(state, event, index, at)
    if isinstance(event, preservation.Examined):
        return preservation.evolve(event, index, at)
    return _evolve_itself(state, event, index, at)


def _evolve_itself(state: State | None, event: _OfItself, index: int, at: datetime) -> State | None:
    match event:
        case detection.Alerted():
            assert state is None or isinstance(state, detection.Alerts)
            return detection.evolve(state, event, index, at)
        case appearance.Observed():
            assert state is None or isinstance(state, appearance.Appearances)
            return appearance.evolve(state, event, index, at)
        case revocation.ReleaseRevoked():
            return state or revocation.evolve(event, index, at)
        case suite.Added():
            return state or suite.evolve(event, index, at)
        case delegation.Named() | delegation.Recalled():
            assert state is None or isinstance(state, delegation.Delegation)
            return delegation.evolve(state, event, at)
        case concession.Made() | concession.Lapsed() | concession.Missed() | concession.Reviewed():
            assert state is None or isinstance(state, concession.Concession)
            return concession.evolve(state, event, at)
        case Denied():
            return None


def replay(entries: Iterable[bytes], *, until: datetime | None = None) -> dict[Subject, State]:
    """Fold the log, from its first entry, into all state; with `until`, as it was at that instant.

    Enforces: state_reconstruction
    """
    states: dict[Subject, State] = {}
    last: datetime | None = None
    for index, entry in enumerate(entries):
        envelope, event = read_fact(entry)
        if last is not None and envelope.time < last:
            raise VerificationError(f"log entry {index} is of {envelope.time}, earlier than the one before it ({last})")
        last = envelope.time
        if until is not None and envelope.time > until:
            break
        subject = subject_of(event, index)
        if str(subject) != envelope.subject:
            raise VerificationError(f"log entry {index} is about {subject}, but says {envelope.subject[:80]!a}")
        state = evolve(states.get(subject), event, index, envelope.time)
        if state is not None:
            states[subject] = state
    return states


def _rule(state: Rulebook | None, event: _OfRulebook, index: int, at: datetime) -> Rulebook:
    if isinstance(event, TrustAdopted):
        roots = (*(state.roots if state else ()), *([event.root] if event.root else []))
        begun = state or Rulebook(event.environment, event.digest, event.version, event.envelope)
        trusted = replace(begun, trust=event.digest, trust_version=event.version, trust_envelope=event.envelope)
        return replace(trusted, roots=roots, targets=event.targets)
    assert state is not None
    if isinstance(event, revocation.KeyRevoked | revocation.Offboarded):
        said = revocation.evolve(event, index, at)
        known = any((entry.of, entry.digest) == (said.of, said.digest) for entry in state.revoked)
        return state if known else replace(state, revoked=(*state.revoked, said))
    ruled = replace(state, policy=event.digest, policy_version=event.version, policy_envelope=event.envelope)
    return replace(ruled, targets=event.targets)
