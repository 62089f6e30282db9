"""What came of a run of a suite? What was counted, what was seen, and what went wrong with the run itself.

A harness gives this and no verdict: whether it is enough the policy says, to the runner that signs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lockgate.core.measure import Measure
from lockgate.evaluator.tried import Tried

Tell = Callable[[str], None]
"""Told the name of each measure when it is done."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a harness measured.

    Attributes:
        measures: By the names that the suite gives them. What the release does not have is not there.
        records: Reports and logs, by name.
        harness_version: Which version of the harness ran.
        isolation: The layers that held whatever ran in a sandbox; None if nothing did.
        served: Whether the release was served, from the bytes that were compared, and answered.
        trouble: What makes the result a failure, whatever was counted.
        whole: Measures of which the release says how many cases there are: if they are wanted, every case must hold.
        samples: Of a shard, which samples each measure counted.
    """

    measures: Mapping[str, Measure]
    records: Mapping[str, bytes]
    harness_version: str
    isolation: tuple[str, ...] | None = None
    served: bool = False
    trouble: tuple[str, ...] = field(default=())
    whole: frozenset[str] = frozenset()
    samples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def counted(tried: Iterable[Tried]) -> Measure | None:
    """Count the cases that held; None if there was none."""
    cases = list(tried)
    return Measure(sum(case.why is None for case in cases), len(cases)) if cases else None


def failed(trouble: str, harness_version: str) -> Measured:
    """Say that nothing was measured, and why."""
    return Measured({}, {}, harness_version, trouble=(trouble,))
