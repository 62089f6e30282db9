"""What did following a pickle show: what it names, what it calls, and how far it could be followed?"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Named:
    """What a pickle imports."""

    module: str
    name: str

    def __str__(self) -> str:
        """Write it as one would import it."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Called:
    """What a call gave."""

    what: Named | None
    arguments: object = None
    state: object = None


@dataclass(slots=True)
class Course:
    """How far the machine came: what was named and called, and at which byte it ended, with or without a STOP.

    `is_doubtful`: it ended for a reason of ours, and a real one may go on.
    """

    named: list[Named] = field(default_factory=list)
    called: list[Named | None] = field(default_factory=list)
    ended_at: int = 0
    is_whole: bool = False
    is_doubtful: bool = False
    steps: int = 0
    trouble: str = ""
