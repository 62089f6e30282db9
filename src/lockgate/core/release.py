"""What is a release? An immutable list of components, a contract and a way to serve; its digest is its identity.

registered ──▶ retired ──▶ erased          (retired, erased: issues to come)
    └────────── revoked: from any state, at once, for good
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from lockgate.core.component import Component, open_component
from lockgate.core.derivation import Derivation, check_derivation
from lockgate.core.trial import Begun, Trial, trial_of
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name, Tag, Version

MANIFEST = "application/vnd.lockgate.release+json"


class Kind(StrEnum):
    """The kinds of thing that make a model behave."""

    WEIGHTS = "weights"
    TOKENIZER = "tokenizer"
    CONFIG = "config"
    BASE_MODEL = "base-model"
    ADAPTER = "adapter"
    GUARDRAIL = "guardrail"
    PROMPT = "prompt"
    AGENT_POLICY = "agent-policy"
    TOOL_CONTRACT = "tool-contract"
    CAPABILITY_LIST = "capability-list"
    RAG_INDEX = "rag-index"
    DEPENDENCY_LOCK = "dependency-lock"
    PROVIDER_MODEL = "provider-model"


_SIDE = (Kind.CONFIG, Kind.DEPENDENCY_LOCK)


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a release: the dirHash of its directory, and the digest of the bundle that signs it."""

    kind: Kind
    digest: Digest
    bundle: Digest


@dataclass(frozen=True, slots=True)
class Contract:
    """What callers may rely on. Narrowing it is MAJOR, extending it MINOR."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Serve:
    """How the release is served: this command, these arguments, this environment and nothing else.

    `{model}` stands for the directory of the verified components, `{port}` for the port that the host assigns.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    image: Digest | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The release manifest, `release.json` (spec/release.md)."""

    type: ClassVar[str] = "release/v1"
    later: ClassVar[tuple[str, ...]] = ("derived_from",)
    name: Name
    version: Version
    license: str
    created_at: datetime
    authors: tuple[Name, ...]
    components: Mapping[str, Part]
    contract: Contract
    serve: Serve
    derived_from: Derivation | None = None

    @property
    def tag(self) -> Tag:
        """The release's `NAME@X.Y.Z`."""
        return Tag(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Release:
    """A manifest whose signature was verified, with its identity. The components are not checked by this alone."""

    manifest: Manifest
    digest: Digest
    signed_by: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Registered:
    """A release was registered under its tag, for good."""

    type: ClassVar[str] = "release.registered/v1"
    tag: Tag
    release: Digest
    manifest: Digest
    bundles: Mapping[str, Digest]
    registration: Digest
    registrant: Name
    imported_from: str | None = None
    providers: Mapping[str, Digest] | None = None


@dataclass(frozen=True, slots=True)
class Attested:
    """A signed statement about the release was taken into its evidence."""

    type: ClassVar[str] = "release.attested/v1"
    tag: Tag
    release: Digest
    statement: Digest
    predicate: str
    by: str


@dataclass(frozen=True, slots=True)
class KeysOpened:
    """The keys of the release's files were given to `reader`, who may read them and take them elsewhere."""

    type: ClassVar[str] = "release.keys-opened/v1"
    tag: Tag
    release: Digest
    reader: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Record:
    """What the log says of a release."""

    kind: ClassVar[str] = "release"
    tag: Tag
    release: Digest
    manifest: Digest
    bundles: Mapping[str, Digest]
    registration: Digest
    registrant: Name
    registered_at: datetime
    index: int
    evidence: tuple[Digest, ...]
    phase: Literal["registered"]
    imported_from: str | None = None
    providers: Mapping[str, Digest] | None = None
    trials: tuple[Trial, ...] | None = None


def open_manifest(document: bytes, keys: Iterable[PublicKey]) -> Release:
    """Verify the signature of a release manifest and read it.

    Enforces: signed_artifacts
    """
    opened = dsse.open_envelope(dsse.parse(document), MANIFEST, keys)
    manifest = plain.decode(Manifest, opened.payload)
    if plain.encode(manifest) != opened.payload:
        raise VerificationError("release manifest is not canonical JSON")
    check_manifest(manifest)
    return Release(manifest, Digest.of(opened.payload), opened.keys)


def check_manifest(manifest: Manifest) -> None:
    """Raise `VerificationError` for a manifest that makes no sense."""
    if not manifest.components:
        raise VerificationError(f"release {manifest.tag} lists no component")
    for name in manifest.components:
        Name(name)
    if not manifest.serve.command:
        raise VerificationError(f"release {manifest.tag} has no serve command")
    for field in ("inputs", "outputs", "labels", "tools"):
        listed = getattr(manifest.contract, field)
        if list(listed) != sorted(set(listed)):
            raise VerificationError(f"release {manifest.tag}: contract.{field} is not sorted, or names something twice")
    if manifest.derived_from is not None:
        check_derivation(manifest.tag, manifest.derived_from)


def is_same(one: Manifest, other: Manifest) -> bool:
    """Tell whether two releases are the same but for their config and what they depend on: a try of one is of both."""
    return _core(one) == _core(other)


def _core(manifest: Manifest) -> set[tuple[Kind, Digest]]:
    return {(part.kind, part.digest) for part in manifest.components.values() if part.kind not in _SIDE}


def open_components(
    release: Release, bundles: Mapping[str, bytes], trusted: Mapping[Kind, "Trusted"], at: datetime
) -> Mapping[str, Component]:
    """Verify the bundle of every component; each must be the one that the manifest lists, by a signer for its kind.

    Enforces: signed_artifacts
    """
    listed = release.manifest.components
    if bundles.keys() != listed.keys():
        odd = sorted(bundles.keys() ^ listed.keys())
        raise VerificationError(f"release {release.manifest.tag}: no bundle, or no component, named {odd[0]!a}")
    return {name: _open_part(name, part, bundles[name], trusted[part.kind], at) for name, part in listed.items()}


@dataclass(frozen=True, slots=True)
class Trusted:
    """Who may sign one kind of component: these keys, or a certificate under one of these roots (PEM)."""

    keys: tuple[PublicKey, ...]
    roots: tuple[bytes, ...]


def _open_part(name: str, part: Part, bundle: bytes, trusted: Trusted, at: datetime) -> Component:
    if Digest.of(bundle) != part.bundle:
        raise VerificationError(f"component {name}: the bundle is not the one that the manifest lists")
    try:
        component = open_component(bundle, trusted.keys, roots=trusted.roots, at=at)
    except VerificationError as e:
        raise VerificationError(f"component {name}: {e}") from e
    if component.dir_hash != part.digest:
        raise VerificationError(f"component {name}: dirHash is {component.dir_hash}, the manifest lists {part.digest}")
    if any(file.size is None or not file.chunks for file in component.files if file.size != 0):
        raise VerificationError(f"component {name}: its bundle carries no chunk digests")
    return component


def evolve(
    record: Record | None, event: Registered | Attested | KeysOpened | Begun, index: int, at: datetime
) -> Record:
    """Say what the log knows of a release after `event`."""
    match event:
        case Registered():
            return Record(
                event.tag, event.release, event.manifest, event.bundles, event.registration, event.registrant,
                at, index, (), "registered", event.imported_from, event.providers,
            )  # fmt: skip
        case Attested():
            assert record is not None
            return replace(record, evidence=(*record.evidence, event.statement))
        case Begun():
            assert record is not None
            return replace(record, trials=(*(record.trials or ()), trial_of(event, index, at)))
        case KeysOpened():
            assert record is not None
            return record
