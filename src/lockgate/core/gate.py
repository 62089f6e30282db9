"""May this release serve at this endpoint? Every reason against it, at once.

The server asks before it activates, the loader asks again before it loads, with the trust and the policy that each
holds itself. Both call `judge`: same facts, same answer. The way to a `Permit` leads through here and nowhere else.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeVar

from lockgate.core.appearance import Appearance, held_to, wrong_appearances
from lockgate.core.approval import APPROVE, Ballot, Voice, counted, in_place, open_approval
from lockgate.core.change import Content
from lockgate.core.component import Component
from lockgate.core.emergency import EMERGENCY, asked_of, spared, wrong_emergency
from lockgate.core.evidence import Evidence, Provenance, TestRun, Verdict, open_held
from lockgate.core.intent import SignedIntent, attribute_intent, check_intent
from lockgate.core.override import Overriding, Scope, SetAside, open_override, set_aside
from lockgate.core.policy import Demands, Policy, Rules
from lockgate.core.provider import ProviderModel, missing_pins, open_providers
from lockgate.core.release import Release, open_components, open_manifest
from lockgate.core.requirement import (
    Objection,
    Shown,
    objections,
    passed,
    show,
    wrong_approvals,
    wrong_evaluations,
    wrong_provenance,
    wrong_scans,
)
from lockgate.core.revocation import Revocations
from lockgate.core.strategy import open_strategy, unmet
from lockgate.core.trial import Trial, considered
from lockgate.core.trust import MANIFESTS, Agreed, Purpose, Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Endpoint, Name

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything that is to be judged, as it was received: nothing in it is checked.

    `registered_at` is when the log took the release in: whoever asks has proved that (from the log itself, or by an
    inclusion proof), because signatures on components are judged at that instant. `trials` are those that the log holds
    of the release, `opened_at` is when an emergency was asked for; whoever asks has proved each of them. `appearances`
    is what the log holds of its provider models at the endpoint; who cannot know that, such as a host, has none.
    """

    manifest: bytes
    bundles: Mapping[str, bytes]
    evidence: tuple[bytes, ...]
    registration: SignedIntent
    registered_at: datetime
    content: Content
    number: int
    opening: SignedIntent | None
    approvals: tuple[SignedIntent, ...]
    providers: Mapping[str, bytes] = field(default_factory=dict)
    strategy: bytes | None = None
    trials: tuple[Trial, ...] = ()
    delegations: tuple[SignedIntent, ...] = ()
    appearances: tuple[Appearance, ...] = ()
    overrides: tuple[Overriding, ...] = ()
    risk: bytes | None = None
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Weighed:
    """What speaks for a release at an endpoint and what against it. It is no permit, whatever it holds."""

    grounds: tuple[str, ...]
    reasons: tuple[str, ...]
    objections: tuple[Objection, ...] = ()
    aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True, slots=True)
class Permit:
    """The gate's yes: what may serve where, and on whose word. The checked form of a dossier.

    `passed_over` are the statements of the dossier that do not count, by digest.
    """

    endpoint: Endpoint
    release: Release
    components: Mapping[str, Component]
    evidence: tuple[Evidence, ...]
    authors: frozenset[Name]
    approvers: tuple[Name, ...]
    rules: Rules
    policy: Digest
    trust: Digest
    at: datetime
    providers: Mapping[str, ProviderModel]
    in_place: Mapping[Name, Name] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    passed_over: tuple[Digest, ...] = ()
    aside: tuple[SetAside, ...] = ()
    emergency: Digest | None = None
    observed: tuple[int, ...] = ()

    @property
    def considered(self) -> Digest:
        """All statements and trials of the dossier, whether they count or not."""
        statements = (*(item.digest for item in self.evidence), *self.passed_over)
        return considered(statements, (trial.number for trial in self.trials))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A release whose manifest and components verify: what a registry may hold, but no endpoint may serve yet."""

    release: Release
    components: Mapping[str, Component]


def admit(manifest: bytes, bundles: Mapping[str, bytes], trust: Trust, revoked: Revocations, at: datetime) -> Admitted:
    """Verify the signatures of a release against `trust` as it stood at `at`, and that none of it is revoked now.

    Enforces: verified_admission, retirement_revocation
    """
    trust = revoked.applied(trust)
    release = open_manifest(manifest, trust.keys_for(Purpose.COMPONENT, at, MANIFESTS))
    components = open_components(release, bundles, trust.component_signers(at), at)
    revoked.check_release(release.digest)
    for component in components.values():  # of one that a certificate vouches for, the trust does not know the key
        revoked.check_key(component.signed_by)
    return Admitted(release, components)


def authors_of(admitted: Admitted, trust: Trust) -> frozenset[Name]:
    """Name the people who made the release: those its manifest names, and the holders of the keys that signed it.

    A certificate does not say which person of the trust document holds it, so everybody who holds an authority counts.
    """
    signed = [component.signed_by for component in admitted.components.values()]
    people = trust.holders([*signed, *admitted.release.signed_by]) | set(admitted.release.manifest.authors)
    if any(component.chain for component in admitted.components.values()):
        people |= {signer.person for signer in trust.signers if signer.root and signer.person}
    return frozenset(people)


def judge(
    dossier: Dossier,
    endpoint: Endpoint,
    trust: Agreed[Trust],
    policy: Agreed[Policy],
    revoked: Revocations,
    at: datetime,
) -> Permit:
    """Return the permit for the release of `dossier` to serve at `endpoint`, or raise `DeniedError` with all reasons.

    What is revoked now counts for nothing, whenever it was signed.

    Enforces: failed_validation_blocks, retirement_revocation
    """
    case = _case(dossier, endpoint, trust.document, policy.document, revoked, at)
    found = case.findings()
    if found.objections:
        raise DeniedError(*found.reasons)
    return Permit(
        endpoint, case.admitted.release, case.admitted.components, tuple(found.evidence), found.authors,
        tuple(sorted(voice.by for voice in found.voices)), case.rules, policy.digest, trust.digest, at, case.providers,
        in_place(found.voices), dossier.trials, found.passed_over, found.aside, dossier.content.risk,
        tuple(sorted(i for one in dossier.appearances for i in one.entries)) if case.rules.appearances else (),
    )  # fmt: skip


def weigh(
    dossier: Dossier, endpoint: Endpoint, trust: Agreed[Trust], policy: Policy, revoked: Revocations, at: datetime
) -> Weighed:
    """Say everything that speaks for and against a release by a policy that may be a draft; decide nothing."""
    try:
        case = _case(dossier, endpoint, trust.document, policy, revoked, at)
    except DeniedError as e:
        return Weighed((), e.reasons)
    found = case.findings()
    return Weighed(tuple(_grounds(case, found)), tuple(found.reasons), tuple(found.objections), found.aside)


def _case(
    dossier: Dossier, endpoint: Endpoint, trust: Trust, policy: Policy, revoked: Revocations, at: datetime
) -> "_Case":
    rules = asked_of(dossier.content, _rules(endpoint, trust, policy, at))
    believed = revoked.applied(trust)
    try:
        admitted = admit(dossier.manifest, dossier.bundles, believed, revoked, dossier.registered_at)
        providers = open_providers(admitted.release.manifest, admitted.components, dossier.providers)
    except VerificationError as e:
        raise DeniedError(f"the release does not verify: {e}") from e
    return _Case(dossier, endpoint, believed, trust, rules, admitted, at, providers)


def _rules(endpoint: Endpoint, trust: Trust, policy: Policy, at: datetime) -> Rules:
    if not endpoint.environment == trust.environment == policy.environment:
        raise DeniedError(f"{endpoint} is judged with trust of {trust.environment}, policy of {policy.environment}")
    check_current(trust, policy, at)
    return policy.rules_for(endpoint)


def check_current(trust: Trust, policy: Policy, at: datetime) -> None:
    """Raise `DeniedError` for documents that nobody may judge by at `at` any more."""
    stale = [
        f"the {name} document expired at {document.expires}"
        for name, document in (("trust", trust), ("policy", policy))
        if document.expires <= at
    ]
    if stale:
        raise DeniedError(*stale)


def wrong_rollout(content: Content, document: bytes | None, demands: Demands | None) -> Sequence[str]:
    """Say what is wrong with how a change gives its release the traffic, and with its strategy.

    Enforces: gradual_rollout
    """
    alone = content.before is None or content.resumes
    if content.strategy is None:
        required = demands is not None and demands.required and not alone
        return ["the policy demands a rollout, and the change has no strategy"] if required else []
    if alone or content.before == content.release:
        return ["the change has a strategy, and no other release to compare a candidate with"]
    try:
        strategy = open_strategy(document or b"", content.strategy)
    except VerificationError as e:
        return [str(e)]
    except DeniedError as e:
        return e.reasons
    return list(unmet(strategy, demands)) if demands is not None else []


@dataclass(frozen=True, slots=True)
class _Findings:
    """What a case holds: `unusable` says why other statements and approvals do not count."""

    authors: frozenset[Name]
    evidence: Sequence[Evidence]
    voices: tuple[Voice, ...]
    objections: Sequence[Objection]
    unusable: Sequence[str]
    shown: Shown
    passed_over: tuple[Digest, ...]
    aside: tuple[SetAside, ...]

    @property
    def reasons(self) -> Sequence[str]:
        """Everything that is against, and then why what might have helped does not count."""
        return [*(one.text for one in self.objections), *self.unusable]


@dataclass(frozen=True, slots=True)
class _Case:
    dossier: Dossier
    endpoint: Endpoint
    trust: Trust
    written: Trust
    rules: Rules
    admitted: Admitted
    at: datetime
    providers: Mapping[str, ProviderModel]

    def findings(self) -> _Findings:
        """Look at everything, and list every reason against."""
        authors, odd = self.authors()
        evidence, unusable = self.evidence(authors)
        shown = show(evidence, self.dossier.trials, self.trust.origin, self.at)
        pins = missing_pins(self.providers, self.rules.provider_pins or ())
        rollout = wrong_rollout(self.dossier.content, self.dossier.strategy, self.rules.rollout)
        found = [
            *objections("integrity", "change", [*odd, *self.about(), *self.emergency()]),
            *objections("components", "release", self.components()),
            *objections("pins", "providers", pins),
            *objections("rollout", "change", rollout),
            *wrong_provenance(self.rules, evidence),
            *wrong_scans(self.rules, shown),
            *wrong_evaluations(self.rules, shown, spared(self.dossier.content, self.rules)),
            *wrong_appearances(self.rules, held_to(self.dossier.appearances, self.providers), shown),
        ]
        allowed, ineffective = self.overrides(authors)
        kept, aside = set_aside(found, allowed)
        voices, refused = self.voices(authors, frozenset(one.by for one in aside))
        kept += wrong_approvals(self.rules.approvals, len(voices))
        counts = {item.digest for item in evidence}
        passed_over = tuple(sorted({Digest.of(document) for document in self.dossier.evidence} - counts))
        odd_words = [*unusable, *refused, *ineffective]
        return _Findings(authors, evidence, voices, kept, odd_words, shown, passed_over, aside)

    def about(self) -> Sequence[str]:
        """Say what the change is about that this endpoint and release are not."""
        content, release = self.dossier.content, self.admitted.release
        differences = (
            (content.endpoint != self.endpoint, f"the change is for {content.endpoint}, not for {self.endpoint}"),
            (content.release != release.digest, f"the change is for {content.release}, not for {release.digest}"),
            (content.tag != release.manifest.tag, f"the change is for {content.tag}, not for {release.manifest.tag}"),
        )
        return [reason for differs, reason in differences if differs]

    def emergency(self) -> Sequence[str]:
        """Say what is wrong with the change as an emergency, if it is one."""
        case = self.dossier
        return list(wrong_emergency(case.content, case.risk, self.rules, case.opened_at, self.at))

    def overrides(self, authors: frozenset[Name]) -> tuple[list[tuple[SetAside, ...]], list[str]]:
        """Verify what others set aside; list why some of it does not count."""
        case = self.dossier
        scope = Scope(case.number, self._content, self.rules.overrides, authors, case.evidence, case.trials)
        return _each(self.dossier.overrides, lambda one: open_override(one, scope, self.trust, self.at))

    def components(self) -> Sequence[str]:
        """Say which kinds of component the policy wants that the release has not."""
        have = {part.kind for part in self.admitted.release.manifest.components.values()}
        return [f"the release has no {kind} component" for kind in self.rules.components if kind not in have]

    def evidence(self, authors: frozenset[Name]) -> tuple[list[Evidence], list[str]]:
        """Verify each statement; list why others do not count."""
        own = cache(lambda key: sorted(self.trust.holders([key]) & authors))  # many statements are by one signer
        return _each(self.dossier.evidence, lambda document: self._statement(document, own))

    def authors(self) -> tuple[frozenset[Name], list[str]]:
        """Name everyone who may not approve: opener, registrant, named authors, the people behind the signatures."""
        _, reasons = _each((self._registration, self._opening), lambda check: check())
        asked = [said.intent.actor for said in (self.dossier.registration, self.dossier.opening) if said]
        return authors_of(self.admitted, self.trust) | set(asked), reasons

    def voices(self, authors: frozenset[Name], overriders: frozenset[Name]) -> tuple[tuple[Voice, ...], list[str]]:
        """Count the different people whose approval stands; list why others do not.

        Who set something aside that is in the way does not approve it too: that takes somebody else.
        """
        case, role = self.dossier, self.rules.approvals.role
        act = EMERGENCY if case.content.kind == "emergency" else APPROVE
        ballot = Ballot(case.number, self._content, act, role, authors, case.delegations, overriders)
        found, reasons = _each(case.approvals, lambda one: open_approval(one, ballot, self.trust, self.at))
        return counted(found), reasons

    def _statement(self, document: bytes, own: Callable[[PublicKey], Sequence[Name]]) -> Evidence:
        found = open_held(document, self.admitted.release, self.trust, self.written, self.at)
        run = found.about
        if isinstance(run, TestRun) and run.result is Verdict.PASSED and (people := own(found.signed_by)):
            raise DeniedError(f"suite {run.suite} PASSED by the word of {people[0]}, who is an author of this change")
        return found

    def _registration(self) -> None:
        said = attribute_intent(self.dossier.registration, self.trust, self.dossier.registered_at)
        release = self.admitted.release
        check_intent(said, "release.register", release.manifest.tag, before=None, after=release.digest)

    def _opening(self) -> None:
        if self.dossier.opening is None:
            raise DeniedError(f"no change is open that would bring it to {self.endpoint}")
        said = attribute_intent(self.dossier.opening, self.trust, self.at)
        check_intent(said, "change.open", self.endpoint, before=self.dossier.content.before, after=self._content)

    @property
    def _content(self) -> Digest:
        return self.dossier.content.digest


def _each(items: Sequence[T], check: Callable[[T], R]) -> tuple[list[R], list[str]]:
    good, reasons = [], []
    for item in items:
        try:
            good.append(check(item))
        except (DeniedError, VerificationError) as e:
            reasons.append(str(e))
    return good, reasons


def _grounds(case: _Case, found: _Findings) -> Iterator[str]:
    """Say what the rules ask for and find, in the order of the rules."""
    release = case.admitted.release
    yield f"the manifest is signed by {', '.join(_key(key) for key in release.signed_by)}"
    for name, part in release.manifest.components.items():
        if part.kind in case.rules.components:
            signed_by = _key(case.admitted.components[name].signed_by)
            yield f"the {part.kind} component {name} is signed by {signed_by}"
    for made in (item.about for item in found.evidence if isinstance(item.about, Provenance)):
        yield f"provenance: built by {made.builder[:200]!a}, by order of {made.authorized_by[:200]!a}"
    yield from passed(case.rules, found.shown)
    for voice in found.voices:
        yield f"{voice} has approved change {case.dossier.number}"


def _key(key: PublicKey) -> str:
    return f"key {key.key_id.hex[:16]}…"
