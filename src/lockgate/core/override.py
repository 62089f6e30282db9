"""Who set which reason against a change aside, in writing, and until when? Somebody whom the policy named beforehand.

An override names exactly what it sets aside, such as `evaluation:baseline`; everything else stays in the way. Integrity
cannot be overridden by anybody: signatures, digests, revocation, who the authors are, what the change is about, its
approvals. It counts while it is in force at the instant of the decision (spec/override.md).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Self

from lockgate.core.intent import SignedIntent, attribute_intent, check_intent
from lockgate.core.policy import OVERRIDABLE, Overrides
from lockgate.core.requirement import Objection
from lockgate.core.rights import check_right
from lockgate.core.trial import Trial
from lockgate.core.trust import Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, dsse, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.statement import PROVENANCE, TEST_RESULT, parse_statement

OVERRIDE = "change.override"
MAX_ASIDES = 32
_LONGEST = 200


@dataclass(frozen=True, slots=True, order=True)
class Aside:
    """What is set aside: the kind of a reason and what it is about, written `evaluation:baseline`."""

    kind: str
    about: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND:ABOUT`."""
        kind, colon, about = text.partition(":")
        if not colon or not kind or not about or len(text) > _LONGEST or not text.isprintable():
            raise VerificationError(f"not a reason like evaluation:baseline: {text[:80]!a}")
        return cls(kind, about)

    def __str__(self) -> str:
        """Write `KIND:ABOUT`."""
        return f"{self.kind}:{self.about}"


@dataclass(frozen=True, slots=True)
class Override:
    """What somebody sets aside for one content of a change, why (a text, by digest), and from when until when.

    `seen` names the statements and trials that there were of it (`seen_of`): of others nobody said anything.
    """

    type: ClassVar[str] = "override/v1"
    change: int
    content: Digest
    about: tuple[Aside, ...]
    seen: Digest
    justification: Digest
    begins: datetime
    expires: datetime

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical document: what its author signs."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class Overriding:
    """An override and the word by which somebody gave it, as they were received: nothing in it is checked."""

    document: Override
    order: SignedIntent


@dataclass(frozen=True, slots=True)
class Overridden:
    """Somebody sets reasons against a change aside until `expires`."""

    type: ClassVar[str] = "change.overridden/v1"
    change: int
    by: Name
    about: tuple[Aside, ...]
    justification: Digest
    expires: datetime
    override: Digest
    order: Digest


@dataclass(frozen=True, slots=True)
class SetAside:
    """One reason that the gate did not heed: which, by whose word, until when, and why (a text, by digest)."""

    what: Aside
    by: Name
    until: datetime
    because: Digest


@dataclass(frozen=True, slots=True)
class Scope:
    """Which change an override must be about, what its endpoint allows, who made it, and what there is of evidence."""

    number: int
    content: Digest
    rules: Overrides | None
    authors: frozenset[Name]
    evidence: Sequence[bytes]
    trials: Sequence[Trial]


def read_overriding(event: Overridden, document: Callable[[Digest], bytes]) -> Overriding:
    """Put an override that the log holds together again, from the documents that were kept."""
    order = plain.decode(SignedIntent, document(event.order))
    return Overriding(plain.decode(Override, document(event.override)), order)


def open_override(overriding: Overriding, scope: Scope, trust: Trust, at: datetime) -> tuple[SetAside, ...]:
    """Verify an override that is in force at `at`; raise unless the policy lets exactly this person do exactly that.

    Enforces: failed_validation_blocks
    """
    document, rules = overriding.document, scope.rules
    said = attribute_intent(overriding.order, trust, at)
    by = said.actor.name
    check_intent(said, OVERRIDE, f"change/{scope.number}", before=scope.content, after=document.digest)
    check_right(OVERRIDE, said.actor.roles, by)
    if rules is None or by not in rules.by:
        raise DeniedError(f"the policy does not let {by} override anything here")
    if by in scope.authors:
        raise DeniedError(f"{by} is an author of this change and cannot override what is against it")
    if (document.change, document.content) != (scope.number, scope.content):
        raise DeniedError(f"the override of {by} is about another change, or another content of it")
    reasons = [*_not_allowed(document.about, rules), *_out_of_time(document, rules, at)]
    if document.seen != seen_of(document.about, scope.evidence, scope.trials):
        reasons.append("is about other results than there are now: another one is needed")
    if reasons:
        raise DeniedError(*(f"the override of {by} {reason}" for reason in reasons))
    return tuple(SetAside(what, by, document.expires, document.justification) for what in document.about)


def seen_of(about: Iterable[Aside], evidence: Iterable[bytes], trials: Iterable[Trial]) -> Digest:
    """Name all statements and trials that there are of what is set aside, verified or not: one more is another name."""
    topics = [found for document in evidence if (found := _topic(document))]
    held = list(trials)
    seen: dict[str, Json] = {}
    for what in about:
        topic = (PROVENANCE, "") if what.kind == "provenance" else (TEST_RESULT, what.about)
        numbers = sorted({trial.number for trial in held if trial.suite == what.about and topic[1]})
        statements = sorted({str(digest) for digest, *found in topics if tuple(found) == topic})
        seen[str(what)] = {"statements": list[Json](statements), "trials": list[Json](numbers)}
    return Digest.of(canonical.encode(seen))


def _topic(document: bytes) -> tuple[Digest, str, str] | None:
    """Name a statement by its payload, whoever signed it, and say what it claims to be about: predicate and suite."""
    try:
        payload = dsse.parse(document).payload
        statement = parse_statement(payload)
    except VerificationError:
        return None
    extension = statement.predicate.get("lockgate")
    suite = extension.get("suite") if isinstance(extension, dict) else None
    return Digest.of(payload), statement.predicate_type, str(suite) if statement.predicate_type == TEST_RESULT else ""


def set_aside(
    found: Iterable[Objection], allowed: Iterable[Sequence[SetAside]]
) -> tuple[list[Objection], tuple[SetAside, ...]]:
    """Split what is against a change into what stays in the way, and whose word sets the rest aside; the longest one.

    Enforces: failed_validation_blocks
    """
    by_what: dict[Aside, SetAside] = {}
    for one in sorted((one for some in allowed for one in some), key=lambda one: (one.until, str(one.by))):
        by_what[one.what] = one
    kept, used = [], dict[Aside, SetAside]()
    for objection in found:
        what = Aside(objection.kind, objection.about)
        if objection.kind in OVERRIDABLE and what in by_what:
            used[what] = by_what[what]
        else:
            kept.append(objection)
    return kept, tuple(used[what] for what in sorted(used))


def _not_allowed(about: Sequence[Aside], rules: Overrides) -> list[str]:
    reasons = [
        f"is about {what}, which the policy lets nobody override"
        for what in about
        if what.kind not in OVERRIDABLE or what.kind not in rules.about
    ]
    if not 1 <= len(set(about)) == len(about) <= MAX_ASIDES:
        reasons.append(f"names no reason, more than {MAX_ASIDES}, or one twice")
    return reasons


def _out_of_time(document: Override, rules: Overrides, at: datetime) -> list[str]:
    reasons = []
    if document.expires - document.begins > timedelta(hours=rules.longest_hours):
        reasons.append(f"lasts until {document.expires}, longer than {rules.longest_hours} hours")
    if document.expires <= at:
        reasons.append(f"expired at {document.expires}")
    if document.begins > at:
        reasons.append(f"begins at {document.begins} only")
    return reasons
