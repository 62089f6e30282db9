"""What must be true before a release may serve at an endpoint? Typed requirements, agreed beforehand.

The policy is signed by a threshold of root keys like the trust document (`trust.open_agreed`), and every decision names
its digest. An endpoint that the policy does not name may serve nothing: there is no default.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias, TypeVar

from lockgate.core.binding import Bound, check_bindings
from lockgate.core.breaker import Breaker, check_breakers
from lockgate.core.measure import MOST, decimal
from lockgate.core.provider import Pin
from lockgate.core.release import Kind
from lockgate.core.rights import RIGHTS, Role
from lockgate.core.suite import NAME, SCAN, check_range, is_reserved
from lockgate.core.trial import LAYERS
from lockgate.core.trust import Agreed, Root, open_agreed
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

POLICY = "application/vnd.lockgate.policy+json"
LEASE_SECONDS = range(2, 3601)
AGE_DAYS = range(1, 3651)
TRIALS = range(1, 101)
ROLLOUT_SECONDS = range(1, 30 * 86_400 + 1)

OVERRIDABLE = frozenset({"evaluation", "scan", "provenance"})  # kinds of objections; integrity and approvals never
OVERRIDE_HOURS = range(1, 30 * 24 + 1)
DECIDE_MINUTES = range(1, 7 * 24 * 60 + 1)
REVIEW_DAYS = range(1, 91)

T = TypeVar("T")
Symptom: TypeAlias = Literal["errors", "latency", "guardrail", "tool"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A suite that must have passed, at most `max_age_days` ago: each metric at least its threshold (decimal text).

    `digests` and `versions` say of which content and versions the suite may be, `least` how large a sample is for each
    measure, `isolation` what must have held the run. With `trials`, the run is one that was written down before it
    began, under this very block, and at most so many were, whatever came of them. `served` wants a proof that the
    server that was tested had this release.
    """

    suite: str
    metrics: Mapping[str, str]
    max_age_days: int
    digests: tuple[Digest, ...] | None = None
    versions: str | None = None
    least: Mapping[str, int] | None = None
    isolation: tuple[str, ...] | None = None
    trials: int | None = None
    served: bool | None = None

    @property
    def digest(self) -> Digest:
        """What a trial is begun under: the digest of what this block says, without what it leaves open."""
        said = plain.to_plain(self)
        assert isinstance(said, dict)
        return Digest.of(canonical.encode({name: value for name, value in said.items() if value is not None}))


@dataclass(frozen=True, slots=True)
class Scans:
    """That the files were scanned, at most `max_age_days` ago, and nothing was found.

    `rules` are digests of rule sets that count, `exceptions` the classes of dangerous files that are accepted, `also`
    the second scanners that must have passed too; they can only deny.
    """

    max_age_days: int
    rules: tuple[Digest, ...] | None = None
    exceptions: tuple[str, ...] | None = None
    also: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Approvals:
    """How many different people of which role must approve; none of them may be an author."""

    count: int
    role: Role


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a permission to serve lasts without renewal, and what a holder does when nobody answers."""

    seconds: int
    on_silence: Literal["stop", "grace"]
    grace_seconds: int | None = None

    @property
    def grace(self) -> int:
        """For how many seconds a holder goes on when nobody answers and its lease is over."""
        return self.grace_seconds or 0 if self.on_silence == "grace" else 0


@dataclass(frozen=True, slots=True)
class Demands:
    """How gradual a rollout must be: what its first weight is at most, how long its pauses at least, what is judged.

    `required` says that nothing replaces a stable release in any other way. A rollout lasts `window_seconds` at most.
    """

    required: bool
    first_weight: int
    least_seconds: int
    metrics: tuple[Symptom, ...]
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Overrides:
    """Who may set objections of which kinds aside, in writing, and for how many hours at most."""

    by: tuple[Name, ...]
    about: tuple[str, ...]
    longest_hours: int


@dataclass(frozen=True, slots=True)
class Emergencies:
    """What is asked in an emergency: who approves it, within how many minutes of its opening it is decided.

    `evaluations` are the suites that must hold even then, `rollout` is how gradual it must be, never less than without
    an emergency; somebody else reviews it within `review_days`.
    """

    authority: Approvals
    decide_minutes: int
    evaluations: tuple[str, ...]
    rollout: Demands
    review_days: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What one endpoint demands. `appearances`: hosts are shown what was seen of provider models, or heed it too."""

    later: ClassVar[tuple[str, ...]] = ("appearances",)
    components: tuple[Kind, ...]
    provenance: bool
    evaluations: tuple[Evaluation, ...]
    approvals: Approvals
    lease: Lease
    rollback_seconds: int
    hand_over: Literal["sealed", "private"]
    provider_pins: tuple[Pin, ...] | None = None
    rollout: Demands | None = None
    breakers: tuple[Breaker, ...] | None = None
    bindings: Mapping[Name, Bound] | None = None
    scans: Scans | None = None
    overrides: Overrides | None = None
    emergencies: Emergencies | None = None
    appearances: Literal["shown", "heeded"] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy document (spec/policy.md). `rule_changes` says who must approve the next trust or policy."""

    type: ClassVar[str] = "policy/v1"
    environment: Name
    version: int
    expires: datetime
    endpoints: Mapping[str, Rules]
    rule_changes: Approvals

    def rules_for(self, endpoint: Endpoint) -> Rules:
        """Find the rules of `endpoint`; raise `DeniedError` if the policy does not name it."""
        rules = self.endpoints.get(str(endpoint))
        if rules is None:
            raise DeniedError(f"the policy of {self.environment} does not name {endpoint}, so nothing may serve there")
        return rules


@dataclass(frozen=True, slots=True)
class PolicyAdopted:
    """The installation decides by this policy from now on. `change` is the number of the change that it carries out."""

    type: ClassVar[str] = "policy.adopted/v1"
    environment: Name
    version: int
    digest: Digest
    envelope: Digest
    change: int | None = None
    targets: Digest | None = None


def open_policy(document: bytes, root: Root, at: datetime) -> Agreed[Policy]:
    """Verify a policy that a threshold of `root` signed; raise `VerificationError` when it is expired or absurd."""
    agreed = open_agreed(Policy, document, POLICY, root)
    check_policy(agreed.document, at)
    return agreed


def check_policy(policy: Policy, at: datetime) -> None:
    """Raise `VerificationError` for a policy that has expired, or could not mean what its author wanted: all reasons.

    Enforces: failed_validation_blocks
    """
    if reasons := list(_wrong_policy(policy, at)):
        raise VerificationError("; ".join(reasons))


def check_rules(endpoint: str, rules: Rules) -> None:
    """Raise `VerificationError` for rules that could not mean what their author wanted, with all reasons."""
    if reasons := list(_wrong_rules(endpoint, rules)):
        raise VerificationError("; ".join(reasons))


def check_suites(policy: Policy, added: Collection[str]) -> None:
    """Raise `DeniedError` for a policy that asks for suites that nobody knows: not ours, not pinned, not `added`."""
    wanted = [one for rules in policy.endpoints.values() for one in rules.evaluations if one.digests is None]
    unknown = sorted({one.suite for one in wanted if not is_reserved(one.suite) and one.suite not in added})
    if unknown:
        way_out = "pin its content by `digests`, or add it first: lockgate suite add"
        raise DeniedError(*(f"nobody knows the suite {suite[:80]!a}: {way_out}" for suite in unknown))


def _wrong_policy(policy: Policy, at: datetime) -> Iterator[str]:
    for text, rules in policy.endpoints.items():
        if Endpoint.parse(text).environment != policy.environment:
            yield f"the policy of {policy.environment} names {text}"
        yield from _wrong_rules(text, rules)
    wanted = policy.rule_changes
    if wanted.count < 1:
        yield f"rule_changes: {wanted.count} approvals would let one person change the rules"
    if wanted.role not in RIGHTS["change.approve"]:
        yield f"rule_changes: the role {wanted.role} may approve nothing"
    if policy.expires <= at:
        yield f"policy of {policy.environment} version {policy.version} expired at {policy.expires}"


def _wrong_rules(endpoint: str, rules: Rules) -> Iterator[str]:
    reasons = [*_wrong_basics(rules), *_wrong_evaluations(rules.evaluations)]
    if rules.scans is not None:
        reasons += _wrong_scans(rules.scans)
    if rules.rollout is not None:
        reasons += _wrong_demands(rules.rollout)
    if rules.overrides is not None:
        reasons += _wrong_overrides(rules.overrides)
    if rules.emergencies is not None:
        reasons += _wrong_emergencies(rules.emergencies, rules)
    yield from (f"{endpoint}: {reason}" for reason in reasons)
    yield from _refusal(check_breakers, endpoint, rules.breakers or ())
    if rules.bindings is not None:
        yield from _refusal(check_bindings, endpoint, rules.bindings)


def _refusal(check: Callable[[str, T], None], endpoint: str, block: T) -> Sequence[str]:
    try:
        check(endpoint, block)
    except VerificationError as e:
        return [str(e)]
    return []


def _wrong_basics(rules: Rules) -> Iterator[str]:
    lease, pins = rules.lease, rules.provider_pins or ()
    if not rules.components:
        yield "no component is required"
    if rules.approvals.count < 1:
        yield f"{rules.approvals.count} approvals would let a change through unseen"
    if lease.seconds not in LEASE_SECONDS:
        yield f"a lease lasts 2 to 3600 seconds, not {lease.seconds}"
    if (lease.on_silence == "grace") != (lease.grace_seconds is not None):
        yield "grace_seconds goes with on_silence: grace"
    if rules.rollback_seconds < 1 or (lease.grace_seconds or 0) < 0:
        yield "a span of time is not positive"
    if _repeats(pins):
        yield "provider_pins names something twice"


def _wrong_overrides(block: Overrides) -> Iterator[str]:
    for name, listed in (("by", block.by), ("about", block.about)):
        if not listed or _repeats(listed):
            yield f"overrides.{name} names nothing, or something twice"
    if never := sorted(set(block.about) - OVERRIDABLE):
        yield f"nobody may override {never[0][:64]!a}: only {', '.join(sorted(OVERRIDABLE))}"
    if block.longest_hours not in OVERRIDE_HOURS:
        yield f"an override lasts 1 to 720 hours, not {block.longest_hours}"


def _wrong_emergencies(block: Emergencies, rules: Rules) -> Iterator[str]:
    if block.authority.count < 1 or block.authority.role is not Role.SECURITY_AUTHORITY:
        yield f"an emergency is approved by at least one {Role.SECURITY_AUTHORITY}"
    if block.decide_minutes not in DECIDE_MINUTES or block.review_days not in REVIEW_DAYS:
        yield "an emergency is decided in 1 minute to 7 days, reviewed in 1 to 90 days"
    if _repeats(block.evaluations) or set(block.evaluations) - {wanted.suite for wanted in rules.evaluations}:
        yield "emergencies.evaluations names a suite twice, or one that is not demanded"
    yield from _wrong_demands(block.rollout)
    if not block.rollout.required:
        yield "an emergency always comes by a rollout (emergencies.rollout.required)"
    if not block.rollout.metrics or block.rollout.first_weight > 50 or block.rollout.least_seconds < 60:
        yield "an emergency begins with 50 % at most, pauses for 60 s, and is judged"
    if rules.rollout is not None and (weaker := weaker_rollout(block.rollout, rules.rollout)):
        yield f"emergencies.rollout is weaker than rollout: {', '.join(weaker)}"


def _wrong_evaluations(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    if _repeats([evaluation.suite for evaluation in evaluations]):
        yield "evaluations names a suite twice"
    for wanted in evaluations:
        if wanted.suite == SCAN or wanted.suite.startswith(f"{SCAN}/"):
            yield f"suite {wanted.suite[:80]} is a scan: demand it by scans"
        reasons = (*_wrong_thresholds(wanted), *_wrong_least(wanted), *_wrong_circumstances(wanted))
        yield from (f"suite {wanted.suite[:80]} {reason}" for reason in reasons)


def _wrong_thresholds(wanted: Evaluation) -> Iterator[str]:
    if not wanted.metrics or wanted.max_age_days not in AGE_DAYS:
        yield "demands no metric, or not 1 to 3650 days"
    for name, text in wanted.metrics.items():
        try:
            threshold = decimal(text)
        except VerificationError as e:
            yield f"demands of {name}: {e}"
            continue
        if threshold <= 0:
            yield f"demands {text} of {name}, which is to demand nothing"
        if threshold > 1 and name in (wanted.least or {}):
            yield f"demands {text} of {name}, which no count reaches: at most 1"
    if _begins(wanted, "security") and not _begins(wanted, "utility"):
        yield "demands security without utility: what answers nothing is secure. Demand a measure called utility… too"


def _wrong_least(wanted: Evaluation) -> Iterator[str]:
    for name, size in (wanted.least or {}).items():
        if name not in wanted.metrics:
            yield f"demands {size} samples of {name}, and no threshold"
        if not 1 <= size <= MOST:
            yield f"demands {size} samples of {name}, not 1 to {MOST}"


def _wrong_circumstances(wanted: Evaluation) -> Iterator[str]:
    if wanted.digests is not None and (not wanted.digests or _repeats(wanted.digests)):
        yield "lists no content that it may have, or one twice"
    if wanted.versions is not None:
        yield from _refusal(lambda _, text: check_range(text), "", wanted.versions)
    odd = [layer for layer in wanted.isolation or () if layer not in LAYERS]
    if odd or _repeats(wanted.isolation or ()):
        yield f"demands isolation by something else than {', '.join(LAYERS)}, or twice"
    if wanted.trials is not None and wanted.trials not in TRIALS:
        yield f"allows {wanted.trials} trials, not 1 to 100"


def _wrong_scans(scans: Scans) -> Iterator[str]:
    if scans.max_age_days not in AGE_DAYS:
        yield f"scans are 1 to 3650 days old, not {scans.max_age_days}"
    if scans.rules is not None and (not scans.rules or _repeats(scans.rules)):
        yield "scans.rules lists no rule set, or one twice"
    for what, names in (("exceptions", scans.exceptions), ("also", scans.also)):
        if _repeats(names or ()) or any(not NAME.fullmatch(name) for name in names or ()):
            yield f"scans.{what} lists something twice, or what is no name"


def _wrong_demands(demands: Demands) -> Iterator[str]:
    if not 1 <= demands.first_weight <= 100:
        yield f"a rollout begins with 1 to 100 %, not {demands.first_weight} %"
    if _repeats(demands.metrics):
        yield "rollout.metrics names something twice"
    if demands.window_seconds not in ROLLOUT_SECONDS:
        yield f"a rollout lasts 1 s to 30 days, not {demands.window_seconds} s"
    if not 0 <= demands.least_seconds < demands.window_seconds:
        yield "rollout.least_seconds is 0 or more, and less than window_seconds"


def weaker_rollout(these: Demands, those: Demands) -> list[str]:
    """Name what `these` demand less of than `those`."""
    less = {
        "first_weight": these.first_weight > those.first_weight,
        "least_seconds": these.least_seconds < those.least_seconds,
        "metrics": bool(set(those.metrics) - set(these.metrics)),
        "window_seconds": these.window_seconds > those.window_seconds,
    }
    return [name for name, is_less in less.items() if is_less]


def _begins(wanted: Evaluation, word: str) -> bool:
    return any(name.startswith(word) for name in wanted.metrics)


def _repeats(names: Collection[object]) -> bool:
    return len(set(names)) < len(names)
