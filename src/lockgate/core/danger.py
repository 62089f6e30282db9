"""What can go wrong with what serves, and how badly? The words of detectors, and of the strategies that heed them."""

from enum import StrEnum


class Danger(StrEnum):
    """What a detector has seen."""

    GUARDRAIL = "guardrail"
    JAILBREAK = "jailbreak"
    SECURITY = "security"
    TOOL = "tool"


class Severity(StrEnum):
    """How bad it is, in rising order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """How bad it is, as a number."""
        return tuple(Severity).index(self)
