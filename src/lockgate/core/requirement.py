"""What does a policy ask of a release, and what is against it? Each requirement by itself; nothing passes for silence.

An objection says what it is about, so that one of them can be set aside by name and no other with it. Integrity is what
nobody can set aside: signatures, digests, what was revoked, who the authors are, what the change is about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from lockgate.core.evidence import Evidence, Provenance, TestRun, Verdict, latest_runs
from lockgate.core.measure import is_at_least
from lockgate.core.policy import Approvals, Evaluation, Rules

Requirement: TypeAlias = Literal[
    "integrity", "evaluation", "scan", "provenance", "components", "pins", "rollout", "approvals"
]


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason against a release: which requirement it misses, in what (a suite, a component), and why."""

    kind: Requirement
    about: str
    text: str


def objections(kind: Requirement, about: str, reasons: Sequence[str]) -> Iterator[Objection]:
    """Make reasons against one thing objections."""
    return (Objection(kind, about, reason) for reason in reasons)


def wrong_provenance(rules: Rules, evidence: Sequence[Evidence]) -> Iterator[Objection]:
    """Say whether the provenance that the policy wants is missing."""
    if rules.provenance and not any(isinstance(item.about, Provenance) for item in evidence):
        yield Objection("provenance", "provenance", "the release has no provenance by a trusted signer")


def wrong_evaluations(rules: Rules, evidence: Sequence[Evidence], at: datetime) -> Iterator[Objection]:
    """Say which suites have not passed as the policy wants it.

    Enforces: failed_validation_blocks
    """
    runs = latest_runs(evidence)
    for wanted in rules.evaluations:
        yield from objections("evaluation", wanted.suite, wrong_evaluation(wanted, runs.get(wanted.suite), at))


def wrong_evaluation(wanted: Evaluation, run: TestRun | None, at: datetime) -> Sequence[str]:
    """Say what is wrong with the newest result of a suite."""
    if run is None:
        return [f"suite {wanted.suite} has no result by a trusted signer for this release"]
    reasons = []
    if run.result is not Verdict.PASSED:
        reasons.append(f"suite {wanted.suite} {run.result}, it must have PASSED")
    if not at - timedelta(days=wanted.max_age_days) <= run.finished_at <= at:
        reasons.append(
            f"suite {wanted.suite} finished at {run.finished_at}, not in the {wanted.max_age_days} days before"
        )
    for metric, threshold in sorted(wanted.metrics.items()):
        found = run.metrics.get(metric)
        if found is None or not is_at_least(found, threshold):
            reasons.append(f"suite {wanted.suite}: {metric} is {str(found)[:40]!a}, at least {threshold} is wanted")
    return reasons


def wrong_approvals(wanted: Approvals, found: int) -> Iterator[Objection]:
    """Say how many people still have to approve."""
    if found < wanted.count:
        people = f"somebody with the role {wanted.role} who is no author"
        yield Objection("approvals", "approvals", f"{found} of {wanted.count} approvals by {people}")


def passed(wanted: Evaluation, run: TestRun) -> str:
    """Say how a suite has passed."""
    metrics = (f"{name} is {run.metrics[name]}, at least {least} is wanted" for name, least in wanted.metrics.items())
    return f"suite {wanted.suite} {run.result} at {run.finished_at}: {'; '.join(sorted(metrics))}"
