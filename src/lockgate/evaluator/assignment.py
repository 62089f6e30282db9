"""What does a harness get? A suite, a candidate that was scanned, and a sandbox to run either in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.measured import Measured, Tell
from lockgate.evaluator.on_trial import Surroundings
from lockgate.evaluator.sandbox import Sandbox
from lockgate.evaluator.suite_folder import Suite
from lockgate.scanner.scanned import Scan


@dataclass(frozen=True, slots=True)
class Portion:
    """Which part of a run: shard `number` of `of`. The first of one is all of it."""

    number: int = 1
    of: int = 1

    @property
    def is_all(self) -> bool:
        """Tell whether it is the whole run."""
        return self.of == 1


ALL = Portion()


@dataclass(frozen=True, slots=True)
class Assignment:
    """One run of a suite over a candidate, or a portion of it; `tell` is told each measure when it is done."""

    suite: Suite
    candidate: Candidate
    scan: Scan
    sandbox: Sandbox
    around: Surroundings
    tell: Tell
    portion: Portion = ALL


Harness: TypeAlias = Callable[[Assignment], Measured]
"""Runs a suite, and measures. What goes wrong with the run is `Measured.trouble`; what it raises counts as that too."""
