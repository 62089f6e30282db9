"""What did an analysis find, in numbers that a person and the log can hold?

    failed        worse beyond doubt, or a promise broken too often: go back
    missing       nothing was seen for too long: do not go on
    inconclusive  it may be either: wait, or ask a person
    healthy       not worse than the tolerance, beyond doubt: may go on

Of several metrics the uppermost in this list counts. A dry run is told and does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from lockgate.core.analysis.number import Number
from lockgate.core.analysis.table import Counts
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name


class Conclusion(StrEnum):
    """What the numbers say."""

    FAILED = "failed"
    MISSING = "missing"
    INCONCLUSIVE = "inconclusive"
    HEALTHY = "healthy"


class Trigger(StrEnum):
    """Which rule it was that failed, or that something was missing."""

    SEQUENTIAL = "sequential"
    LATENCY = "latency"
    FAILURE_LIMIT = "failureLimit"
    CONSECUTIVE_ERROR_LIMIT = "consecutiveErrorLimit"
    CONSECUTIVE_MISSING = "consecutiveMissing"


@dataclass(frozen=True, slots=True)
class EValues:
    """E-values, and what each must reach: `worse` against "not worse", `sound` against "beyond the tolerance".

    `odds_at_most` bounds the odds ratio from above with doubt beta; null if it cannot be bounded yet.
    """

    worse: str
    worse_needed: str
    sound: str
    sound_needed: str
    odds_at_most: str | None = None


@dataclass(frozen=True, slots=True)
class Failures:
    """What a threshold found: the last value, how often it failed, and how often in a row it could not be had."""

    measured: int
    failed: int
    failure_limit: int
    errors: int
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one metric. `missing` is the number of looks in a row that brought nothing."""

    name: Name
    conclusion: Conclusion
    says: str
    dry_run: bool
    candidate: Counts
    stable: Counts
    missing: int
    trigger: Trigger | None = None
    e_values: EValues | None = None
    failures: Failures | None = None
    quantile: Number | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """One look at a rollout. Kept by its digest, which the log cites as the reason for what was done."""

    type: ClassVar[str] = "analysis/v1"
    plan: Digest
    looks: int
    looked_at: datetime
    conclusion: Conclusion
    findings: tuple[Finding, ...]


def whole(findings: Sequence[Finding]) -> Conclusion:
    """Say what several findings come to. Nothing that counts is nothing known."""
    found = {finding.conclusion for finding in findings if not finding.dry_run}
    return next((each for each in Conclusion if each in found), Conclusion.MISSING)
