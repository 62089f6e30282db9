"""May this trust or policy take the place of the one in force? Only if enough other people want exactly it.

Root keys say that a document comes from those who hold them; a proposal says that the people who live by the rules have
seen what would change. Both are needed, so that neither the holders of root keys nor an administrator change the rules
alone. It is judged by the policy in force: the rules of tomorrow do not decide about themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from lockgate.core.change import RuleChange
from lockgate.core.difference import differences, gaining
from lockgate.core.intent import Said, SignedIntent, attribute_intent, check_intent, open_intent
from lockgate.core.override import OVERRIDE
from lockgate.core.policy import Approvals, Policy, check_policy
from lockgate.core.revocation import Revocations
from lockgate.core.rights import RIGHTS
from lockgate.core.trust import Agreed, Trust, check_trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

Document: TypeAlias = Trust | Policy
MAX_REASON = 2000


@dataclass(frozen=True, slots=True)
class InForce:
    """The rules that judge a proposal: trust and policy as they were signed, and what was revoked since."""

    written: Agreed[Trust]
    policy: Agreed[Policy]
    revoked: Revocations

    @property
    def trust(self) -> Agreed[Trust]:
        """What is left of the trust now: who may speak."""
        return Agreed(self.revoked.applied(self.written.document), self.written.digest)

    def of(self, document: Document) -> Agreed[Trust] | Agreed[Policy]:
        """Return the document in force whose place `document` would take."""
        return self.written if isinstance(document, Trust) else self.policy


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of the rules as it was received, with the document that it is about: nothing in it is checked."""

    content: RuleChange
    document: Document
    number: int
    opening: SignedIntent
    approvals: tuple[SignedIntent, ...]


@dataclass(frozen=True, slots=True)
class Mandate:
    """The yes to a proposal: the checked form. It is no signature by root keys, which are needed besides."""

    content: RuleChange
    author: Name
    approvers: tuple[Name, ...]


def read_document(kind: str, data: bytes) -> Document:
    """Read the document that is proposed: canonical, and such that it means something."""
    document: Document = plain.decode(Trust, data) if kind == "trust" else plain.decode(Policy, data)
    if plain.encode(document) != data:
        raise VerificationError("the proposed document is not canonical JSON")
    return document


def check_proposal(content: RuleChange, document: Document, rules: InForce, at: datetime) -> None:
    """Raise `DeniedError` unless the document could take the place of the one in force, and leave the rules changeable.

    What the document says must be possible: raises `VerificationError` if it is not.
    """
    if isinstance(document, Trust):
        check_trust(document)
    else:
        check_policy(document, at)
    reasons = _about(content, document, rules)
    if not content.reason.strip() or len(content.reason) > MAX_REASON:
        reasons.append(f"a change of the rules has a reason, of at most {MAX_REASON} characters")
    if document.expires <= at:
        reasons.append(f"the document expired at {document.expires}")
    trust = document if isinstance(document, Trust) else rules.written.document
    policy = document if isinstance(document, Policy) else rules.policy.document
    if isinstance(document, Policy):
        reasons += unknown_people(document, trust)
    if reasons:
        raise DeniedError(*reasons)
    check_changeable(rules.revoked.applied(trust), policy, at)


def unknown_people(policy: Policy, trust: Trust) -> list[str]:
    """Say whom a policy lets override something who is not in the trust document, or could not ask for it."""
    able = {actor.name for actor in trust.actors if RIGHTS["change.override"] & set(actor.roles)}
    return [
        f"{endpoint}: overrides.by names {name}, who is nobody with the right to {OVERRIDE}"
        for endpoint, rules in sorted(policy.endpoints.items())
        for name in (rules.overrides.by if rules.overrides else ())
        if name not in able
    ]


def check_changeable(trust: Trust, policy: Policy, at: datetime) -> None:
    """Raise `DeniedError` for rules that too few people would be left to change; `trust` is without whom it lost."""
    wanted, left = policy.rule_changes, len(approvers_of(trust, policy.rule_changes, at))
    if left < wanted.count:
        raise DeniedError(
            f"only {left} people would have the role {wanted.role}, of whom {wanted.count} must approve a change of "
            "the rules: nobody could change them again"
        )


def is_deserted(rules: InForce, at: datetime) -> bool:
    """Tell whether too few people are left to approve anything: they were taken out, or their keys revoked."""
    wanted = rules.policy.document.rule_changes
    return len(approvers_of(rules.trust.document, wanted, at)) < wanted.count


def approvers_of(trust: Trust, wanted: Approvals, at: datetime) -> frozenset[Name]:
    """Name everybody who may approve changes of the rules at `at`, and has a key to do it with."""
    lasting = (actor.at(at) for actor in trust.actors if actor.until is None or at < actor.until)
    return frozenset(actor.name for actor in lasting if wanted.role in actor.roles and actor.keys)


def judge_proposal(proposal: Proposal, rules: InForce, at: datetime) -> Mandate:
    """Return the mandate for a proposal, or raise `DeniedError` with every reason against it."""
    reasons = _about(proposal.content, proposal.document, rules)
    try:
        _open(proposal, rules.trust.document, at)
    except (DeniedError, VerificationError) as e:
        reasons.append(str(e))
    approvers, refused = _approvers(proposal, rules, at)
    wanted = rules.policy.document.rule_changes
    if len(approvers) < wanted.count:
        people = f"somebody with the role {wanted.role} who neither proposed it nor gains by it"
        reasons.append(f"{len(approvers)} of {wanted.count} approvals by {people}")
    if reasons:
        raise DeniedError(*reasons, *refused)
    return Mandate(proposal.content, proposal.opening.intent.actor, approvers)


def barred_from(proposal: Proposal, rules: InForce) -> Mapping[Name, str]:
    """Say who may not approve, whatever their roles, and why: who proposed it, and whose own rights it widens."""
    number, author = proposal.number, proposal.opening.intent.actor
    gains = gaining(differences(rules.of(proposal.document).document, proposal.document))
    widened = {name: f"change {number} widens the rights of {name}, who cannot approve it" for name in gains}
    return {**widened, author: f"{author} is an author of change {number} and cannot approve it"}


def _about(content: RuleChange, document: Document, rules: InForce) -> list[str]:
    held = rules.of(document)
    kind = "trust" if isinstance(document, Trust) else "policy"
    digest, found = Digest.of(plain.encode(document)), held.document
    here, named = found.environment, (document.environment, content.environment)
    differs = (
        (content.kind != kind, f"the change is about the {content.kind}, the document is a {kind}"),
        (content.document != digest, f"the change is about document {content.document}, this is {digest}"),
        (content.before != held.digest, f"the change is about {kind} {content.before}, {held.digest} is in force"),
        (content.version != document.version, f"the change says version {content.version}, not {document.version}"),
        (document.version != found.version + 1, f"version {document.version} does not follow {found.version}"),
        (named != (here, here), f"document and change are for {named[0]} and {named[1]}, this installation is {here}"),
    )
    return [reason for is_so, reason in differs if is_so]


def _open(proposal: Proposal, trust: Trust, at: datetime) -> None:
    content = proposal.content
    said = attribute_intent(proposal.opening, trust, at)
    check_intent(said, "rules.propose", content.environment, before=content.before, after=content.digest)


def _approvers(proposal: Proposal, rules: InForce, at: datetime) -> tuple[tuple[Name, ...], Sequence[str]]:
    barred = barred_from(proposal, rules)
    good, refused = set(), []
    for approval in proposal.approvals:
        try:
            name = _approval(proposal, approval, rules, at).actor.name
        except (DeniedError, VerificationError) as e:
            refused.append(str(e))
            continue
        if name in barred:
            refused.append(barred[name])
        else:
            good.add(name)
    return tuple(sorted(good)), refused


def _approval(proposal: Proposal, signed: SignedIntent, rules: InForce, at: datetime) -> Said:
    said = open_intent(signed, rules.trust.document, at)
    check_intent(said, "change.approve", f"change/{proposal.number}", before=None, after=proposal.content.digest)
    role = rules.policy.document.rule_changes.role
    if role not in said.actor.roles:
        raise DeniedError(f"{said.actor.name} approved without the role {role}")
    return said
