"""Which rule shuts an endpoint down, without any person? Breakers: agreed beforehand, in the policy.

A breaker knows nothing of a candidate and a stable release: it is about everything that serves at the endpoint. When it
trips is said by `core.trip` (spec/breaker.md). One that only flags stops nothing: people see it, and are told.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.danger import Danger, Severity
from lockgate.errors import VerificationError
from lockgate.formats.names import Name

SECONDS = range(1, 601)
REQUESTS = range(1, 1_000_001)
MAX_BREAKERS = 32
RECENT = 32  # alerts of one sort whose instants are remembered

Failing: TypeAlias = Literal["errors", "guardrail", "tool"]


@dataclass(frozen=True, slots=True)
class OnAlerts:
    """So many alerts of these kinds, each at least so severe, within so many seconds. One may be enough."""

    type: ClassVar[str] = "alerts"
    kinds: tuple[Danger, ...]
    severity: Severity
    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class OnFailures:
    """Of at least so many within so many seconds, this percentage or more failed: answers, tool calls, or guardrails.

    A guardrail fails when it blocks.
    """

    type: ClassVar[str] = "failures"
    of: Failing
    percent: int
    requests: int
    seconds: int


@dataclass(frozen=True, slots=True)
class OnUnguarded:
    """Of at least so many requests within so many seconds, the guardrail judged less than this percentage.

    A guardrail model that is down does not block anything: that is how it is noticed.
    """

    type: ClassVar[str] = "unguarded"
    percent: int
    requests: int
    seconds: int


@dataclass(frozen=True, slots=True)
class OnRevoked:
    """A release that serves was revoked, or a key without which it would not have been let in."""

    type: ClassVar[str] = "revoked"


@dataclass(frozen=True, slots=True)
class OnProviderChanged:
    """A hosted model of what serves is another than its release pins; `before`: or than it was when it was let in."""

    type: ClassVar[str] = "provider-changed"
    than: Literal["pinned", "before"]


@dataclass(frozen=True, slots=True)
class OnOverrideExpired:
    """What serves was let through by an override, and that is over."""

    type: ClassVar[str] = "override-expired"


Condition: TypeAlias = OnAlerts | OnFailures | OnUnguarded | OnRevoked | OnProviderChanged | OnOverrideExpired


@dataclass(frozen=True, slots=True)
class Breaker:
    """A rule that shuts an endpoint down, or only flags it, by its name."""

    later: ClassVar[tuple[str, ...]] = ("then",)
    name: Name
    on: Condition
    then: Literal["shutdown", "flag"] | None = None

    @property
    def only_flags(self) -> bool:
        """Whether what serves goes on serving when it trips."""
        return self.then == "flag"


def check_breakers(endpoint: str, breakers: Sequence[Breaker]) -> None:
    """Raise `VerificationError` for breakers that could not mean what their author wanted."""
    if len(breakers) > MAX_BREAKERS:
        raise VerificationError(f"{endpoint}: {len(breakers)} breakers; at most {MAX_BREAKERS} can be watched")
    names = [breaker.name for breaker in breakers]
    if len(set(names)) < len(names):
        raise VerificationError(f"{endpoint}: two breakers have the same name")
    for breaker in breakers:
        for wrong in _wrong(breaker.on):
            raise VerificationError(f"{endpoint}: breaker {breaker.name}: {wrong}")


def longest(breakers: Collection[Breaker]) -> timedelta:
    """Say for how long samples are needed."""
    spans = (breaker.on.seconds for breaker in breakers if isinstance(breaker.on, OnFailures | OnUnguarded))
    return timedelta(seconds=max(spans, default=0))


def _wrong(on: Condition) -> Iterator[str]:
    if isinstance(on, OnRevoked | OnProviderChanged | OnOverrideExpired):
        return
    if on.seconds not in SECONDS:
        yield f"a window has {SECONDS[0]} to {SECONDS[-1]} seconds, not {on.seconds}"
    if isinstance(on, OnAlerts):
        if not on.kinds or len(set(on.kinds)) < len(on.kinds):
            yield "it names no kind of alert, or one twice"
        if not 1 <= on.count <= RECENT:
            yield f"it counts 1 to {RECENT} alerts, not {on.count}"
        return
    if not 1 <= on.percent <= 100:
        yield f"a share is 1 to 100 %, not {on.percent} %"
    if on.requests not in REQUESTS:
        yield f"it takes 1 to {REQUESTS[-1]} requests to judge by, not {on.requests}"
