"""Was this the only try? A trial is written down before it begins, so what came of it cannot be left out.

The number of a trial is the index of its entry. It names the block of the policy that it was begun under, so that the
thresholds are older than the run. A trial without a result is unfinished, and counts like one that failed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag, Version

LAYERS = ("namespaces", "seccomp", "landlock", "limits", "cgroup")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody is about to run: this suite, over this release, under what this endpoint demands. They sign it."""

    type: ClassVar[str] = "trial/v1"
    tag: Tag
    release: Digest
    suite: str
    suite_version: Version
    suite_digest: Digest
    demands: Digest
    endpoint: Endpoint

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical document."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class Begun:
    """Somebody is about to run a suite over a release, under the demands that an endpoint makes of it."""

    type: ClassVar[str] = "trial.begun/v1"
    tag: Tag
    release: Digest
    suite: str
    suite_version: Version
    suite_digest: Digest
    demands: Digest
    endpoint: Endpoint
    policy: Digest
    by: Name


@dataclass(frozen=True, slots=True)
class Trial:
    """What the log says of a trial."""

    number: int
    suite: str
    suite_version: Version
    suite_digest: Digest
    demands: Digest
    endpoint: Endpoint
    policy: Digest
    by: Name
    begun_at: datetime


def considered(statements: Iterable[Digest], trials: Iterable[int]) -> Digest:
    """Name in one digest what a decision rests on: all statements that the log held of a release, and its trials."""
    held = sorted({str(statement) for statement in statements})
    return Digest.of(canonical.encode({"statements": held, "trials": sorted(set(trials))}))


def trial_of(event: Begun, index: int, at: datetime) -> Trial:
    """Say what the log knows of a trial."""
    return Trial(
        index, event.suite, event.suite_version, event.suite_digest, event.demands, event.endpoint, event.policy,
        event.by, at,
    )  # fmt: skip
