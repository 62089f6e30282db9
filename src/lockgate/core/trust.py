"""Whom does an environment trust, and for what? One document, signed by a threshold of offline keys.

The trust document names everyone who may act and every key that may sign, with one purpose each. Nothing else confers
trust: not the database, not the server, not a file beside the model. A key appears once in the whole document, so that
nobody is counted twice and no key serves two purposes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from lockgate.core.release import Kind, Trusted
from lockgate.core.rights import Role
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.certificates import key_of, read_certificates
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name
from lockgate.tlog.note import NoteVerifier

TRUST = "application/vnd.lockgate.trust+json"
MANIFESTS = "release"  # the scope of a component signer who may also sign release manifests

T = TypeVar("T")


class Purpose(StrEnum):
    """What a key is for. One each."""

    COMPONENT = "component"
    RESULT = "result"
    EXPORT = "export"
    VSA = "vsa"
    LEASE = "lease"
    CHECKPOINT = "checkpoint"
    UPDATES = "updates"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Retiring:
    """A key that another one takes the place of: both count until `until`."""

    key: PublicKey
    until: datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a machine that may act, by the keys that sign its intents."""

    name: Name
    roles: tuple[Role, ...]
    keys: tuple[PublicKey, ...]
    until: datetime | None = None
    retiring: tuple[Retiring, ...] | None = None

    @property
    def held(self) -> tuple[PublicKey, ...]:
        """Every key of the actor, whenever its time ends or ended."""
        return (*self.keys, *(old.key for old in self.retiring or ()))

    def without(self, revoked: Collection[Digest]) -> "Actor":
        """Take revoked keys away, whenever their time ends."""
        kept = tuple(key for key in self.keys if key.key_id not in revoked)
        retiring = tuple(old for old in self.retiring or () if old.key.key_id not in revoked)
        return replace(self, keys=kept, retiring=retiring or None)

    def at(self, instant: datetime) -> "Actor":
        """Say who the actor is at `instant`: `keys` are those that count then."""
        kept = tuple(old.key for old in self.retiring or () if instant < old.until)
        return replace(self, keys=(*self.keys, *kept), retiring=None)


@dataclass(frozen=True, slots=True)
class TrustedSigner:
    """A key, or a certificate root in PEM, that may sign for one purpose within a scope.

    The scope lists component kinds (and `release` for manifests) for `component`, predicate types for `result`, and
    is empty for the others. `person` names who holds the key where a person does, so that they count as an author.
    """

    name: Name
    purpose: Purpose
    scope: tuple[str, ...]
    key: PublicKey | None = None
    root: str | None = None
    person: Name | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """Who may sign the trust and policy of an environment: `threshold` of these keys."""

    threshold: int
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """The trust document (spec/trust.md)."""

    type: ClassVar[str] = "trust/v1"
    environment: Name
    version: int
    expires: datetime
    origin: str
    root: Root
    actors: tuple[Actor, ...]
    signers: tuple[TrustedSigner, ...]

    def actor(self, name: Name, at: datetime) -> Actor:
        """Find who `name` is at `at`; raise `VerificationError` for nobody."""
        found = next((actor for actor in self.actors if actor.name == name), None)
        return _acting(found, name, self.environment, at)

    def keys_for(self, purpose: Purpose, at: datetime, scope: str | None = None) -> tuple[PublicKey, ...]:
        """List the keys that may sign for `purpose` (and `scope`) at `at`."""
        return tuple(signer.key for signer in self._signers(purpose, at, scope) if signer.key)

    def keys_ever(self, purpose: Purpose, scope: str) -> tuple[PublicKey, ...]:
        """List the keys that have or had a say for `purpose` and `scope`, whenever their time ended."""
        return _keys([signer for signer in self.signers if scope in signer.scope], purpose)

    def log_verifiers(self, at: datetime | None = None) -> list[NoteVerifier]:
        """List who may have signed heads of this environment's log: at `at`, or ever."""
        keys = self.keys_for(Purpose.CHECKPOINT, at) if at else _keys(self.signers, Purpose.CHECKPOINT)
        return [NoteVerifier(self.origin, key.raw) for key in keys]

    def component_signers(self, at: datetime) -> dict[Kind, Trusted]:
        """Say for each kind of component who may sign it at `at`."""
        return {
            kind: Trusted(
                self.keys_for(Purpose.COMPONENT, at, kind),
                tuple(s.root.encode() for s in self._signers(Purpose.COMPONENT, at, kind) if s.root),
            )
            for kind in Kind
        }

    def holders(self, keys: Iterable[PublicKey]) -> frozenset[Name]:
        """Name the persons and actors who hold any of `keys`, whenever their time ended."""
        wanted = set(keys)
        people = {signer.person for signer in self.signers if signer.key in wanted and signer.person}
        return frozenset(people | {actor.name for actor in self.actors if wanted & set(actor.held)})

    def without(self, revoked: Collection[Digest]) -> "Trust":
        """Take revoked keys, by id, out of every actor and signer: whatever they signed counts no more, nor will it."""
        if not revoked:
            return self
        actors = tuple(actor.without(revoked) for actor in self.actors)
        signers = tuple(signer for signer in self.signers if not _key_ids(signer) & set(revoked))
        return replace(self, actors=actors, signers=signers)

    def ending(self, left: Mapping[Name, datetime]) -> "Trust":
        """End what each of `left` may do at their instant, or sooner if the document says so; what they did counts on.

        With somebody end the signers that they hold.
        """
        if not left:
            return self
        actors = tuple(replace(one, until=_sooner(one.until, left.get(one.name))) for one in self.actors)
        signers = tuple(
            replace(one, until=_sooner(one.until, left.get(one.person) if one.person else None)) for one in self.signers
        )
        return replace(self, actors=actors, signers=signers)

    def _signers(self, purpose: Purpose, at: datetime, scope: str | None) -> Sequence[TrustedSigner]:
        return [
            signer
            for signer in self.signers
            if signer.purpose is purpose and _lasts(signer.until, at) and (scope is None or scope in signer.scope)
        ]


class Directory:
    """Who is called so in a trust document of many nodes: its actors by name, for the document that was asked last."""

    def __init__(self) -> None:
        self._held: tuple[Trust, Mapping[Name, Actor]] | None = None

    def actor(self, trust: Trust, name: Name, at: datetime) -> Actor:
        """Find who `name` is at `at`, as `Trust.actor` does."""
        held = self._held
        if held is None or held[0] is not trust:
            held = self._held = (trust, {actor.name: actor for actor in trust.actors})
        return _acting(held[1].get(name), name, trust.environment, at)


@dataclass(frozen=True, slots=True)
class Agreed(Generic[T]):
    """A document that a threshold of root keys signed: the checked form of trust and policy."""

    document: T
    digest: Digest


@dataclass(frozen=True, slots=True)
class TrustAdopted:
    """The installation judges by this trust document from now on. `change` is the change that it carries out."""

    type: ClassVar[str] = "trust.adopted/v1"
    environment: Name
    version: int
    digest: Digest
    envelope: Digest
    change: int | None = None
    root: Digest | None = None
    targets: Digest | None = None


def open_trust(document: bytes, root: Root, at: datetime) -> Agreed[Trust]:
    """Verify a trust document that a threshold of `root` signed, and the threshold of its own root too.

    A changed root must be signed by the old and by the new threshold (as TUF v1.0.33 §5.3.4 asks of root metadata).
    """
    agreed = open_agreed(Trust, document, TRUST, root)
    trust = agreed.document
    check_trust(trust)
    if trust.root != root:
        open_agreed(Trust, document, TRUST, trust.root)
    if trust.expires <= at:
        raise VerificationError(f"trust of {trust.environment} version {trust.version} expired at {trust.expires}")
    return agreed


def open_agreed(kind: type[T], document: bytes, payload_type: str, root: Root) -> Agreed[T]:
    """Verify that `root.threshold` different keys of `root` signed `document`, and read it."""
    check_root(root)
    opened = dsse.open_envelope(dsse.parse(document), payload_type, root.keys)
    if len(opened.keys) < root.threshold:
        raise VerificationError(f"signed by {len(opened.keys)} root keys, {root.threshold} are needed")
    value = plain.decode(kind, opened.payload)
    if plain.encode(value) != opened.payload:
        raise VerificationError("the signed document is not canonical JSON")
    return Agreed(value, Digest.of(opened.payload))


def check_root(root: Root) -> None:
    """Raise `VerificationError` for a root that anybody, or nobody, could satisfy."""
    if len(set(root.keys)) != len(root.keys):
        raise VerificationError("a root key is listed twice")
    if not 1 <= root.threshold <= len(root.keys):
        raise VerificationError(f"root threshold {root.threshold} does not fit {len(root.keys)} keys")


def check_trust(trust: Trust) -> None:
    """Raise `VerificationError` for a trust document in which somebody could be counted twice."""
    check_root(trust.root)
    names = [actor.name for actor in trust.actors]
    if len(set(names)) != len(names):
        raise VerificationError("an actor is named twice in the trust document")
    keys = [*trust.root.keys, *(key for actor in trust.actors for key in actor.held)]
    keys += [signer.key for signer in trust.signers if signer.key]
    if len(set(keys)) != len(keys):
        raise VerificationError("a key is listed twice in the trust document")
    for signer in trust.signers:
        if (signer.key is None) == (signer.root is None):
            raise VerificationError(f"signer {signer.name} needs either a key or a certificate root")
        if signer.person is not None and signer.person not in names:
            raise VerificationError(f"signer {signer.name} is held by {signer.person}, who is no actor")


def _acting(found: Actor | None, name: Name, environment: Name, at: datetime) -> Actor:
    if found is None or not _lasts(found.until, at):
        raise VerificationError(f"nobody called {name} may act in {environment}")
    return found.at(at)


def _keys(signers: Iterable[TrustedSigner], purpose: Purpose) -> tuple[PublicKey, ...]:
    return tuple(signer.key for signer in signers if signer.purpose is purpose and signer.key)


def _key_ids(signer: TrustedSigner) -> set[Digest]:
    if signer.root is not None:
        return {key_of(der).key_id for der in read_certificates(signer.root.encode())}
    return {signer.key.key_id} if signer.key else set()


def _lasts(until: datetime | None, at: datetime) -> bool:
    return until is None or at < until


def _sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one and other else one or other
