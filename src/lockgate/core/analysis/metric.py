"""What is watched during a rollout, and how sure must one be of what?

`alpha` is the probability of a rollback for nothing, of one metric and a whole rollout, and all of them together stay
within `WHOLE_ALPHA`. `beta` is the probability of calling a candidate healthy that is beyond the tolerance.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.analysis.number import Number
from lockgate.errors import DeniedError
from lockgate.formats.names import Name

WHOLE_ALPHA = Number("0.01")
MAX_METRICS, MAX_QUANTILES = 32, 8
MAX_MARGIN, MAX_TOLERANCE = 10, 100
MOST = 1_000_000
FREQUENT = Fraction(9, 10)  # beyond it, quantiles say "slower" but are not waited for to say "not slower"
_DIGITS = 12


class Unit(StrEnum):
    """What counts as one. Where a user stays with an arm, a user is one, however many requests they send."""

    REQUEST = "request"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far is worse (`margin`, an odds ratio), how far is too far to promote (`tolerance`), and how sure of each."""

    alpha: Number
    beta: Number
    margin: Number
    tolerance: Number


@dataclass(frozen=True, slots=True)
class Sequential:
    """Is more of the candidate bad than of stable? At most `acceptable` bad is also good enough to promote."""

    type: ClassVar[str] = "sequential"
    name: Name
    bounds: Bounds
    unit: Unit
    consecutive_missing: int
    dry_run: bool
    acceptable: Number | None = None


@dataclass(frozen=True, slots=True)
class Users:
    """Have more users of the candidate a failure than of stable? Judged by gateways, each user once in a book."""

    type: ClassVar[str] = "users"
    name: Name
    bounds: Bounds
    consecutive_missing: int
    dry_run: bool
    acceptable: Number | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Is the candidate slower than stable? Slower is: more of it beyond one of the quantiles of stable."""

    type: ClassVar[str] = "latency"
    name: Name
    bounds: Bounds
    unit: Unit
    quantiles: tuple[Number, ...]
    consecutive_missing: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """Is a promise broken, whatever stable does? A measurement fails that is `fails` than `bound`; Argo's words.

    Counts are measured as soon as there are `min_requests` of the candidate since the last time.
    """

    type: ClassVar[str] = "threshold"
    name: Name
    fails: Literal[">", ">=", "<", "<="]
    bound: Number
    min_requests: int
    failure_limit: int
    consecutive_error_limit: int
    consecutive_missing: int
    dry_run: bool


Metric: TypeAlias = Sequential | Users | Latency | Threshold


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is watched during one rollout."""

    type: ClassVar[str] = "analysis-plan/v1"
    metrics: tuple[Metric, ...]


def check_plan(plan: Plan) -> None:
    """Raise `DeniedError` with everything that is wrong with a plan."""
    if reasons := [
        *_whole(plan.metrics),
        *(f"metric {each.name}: {flaw}" for each in plan.metrics for flaw in _flaws(each)),
    ]:
        raise DeniedError(*reasons)


def split(alpha: Number, parts: Sequence[int]) -> tuple[Number, ...]:
    """Share out a probability; what does not come out even is rounded down."""
    if not parts or min(parts) <= 0:
        raise DeniedError("what is shared out goes to one or more, in parts that are more than none")
    shares = [alpha.exact * part / sum(parts) * 10**_DIGITS // 1 for part in parts]
    return tuple(_number(share) for share in shares)


def _number(units: int) -> Number:
    whole, rest = divmod(units, 10**_DIGITS)
    digits = f"{rest:0{_DIGITS}d}".rstrip("0")
    return Number(f"{whole}.{digits}" if digits else f"{whole}")


def _whole(metrics: tuple[Metric, ...]) -> Iterator[str]:
    binding = [each for each in metrics if not each.dry_run]
    if not 1 <= len(binding) <= len(metrics) <= MAX_METRICS:
        yield f"a plan has at most {MAX_METRICS} metrics, and one at least that is no dry run"
    for name, times in Counter(each.name for each in metrics).items():
        if times > 1:
            yield f"metric {name} is named {times} times"
    alphas = [each.bounds.alpha.exact for each in binding if not isinstance(each, Threshold)]
    if sum(alphas) > WHOLE_ALPHA.exact:
        yield f"the alphas add up to {float(sum(alphas)):.6g}, more than {WHOLE_ALPHA}"


def _flaws(metric: Metric) -> Iterator[str]:
    if not 1 <= metric.consecutive_missing <= MOST:
        yield f"consecutive_missing is {metric.consecutive_missing}, not 1 to {MOST}"
    match metric:
        case Sequential() | Users():
            yield from _bound_flaws(metric.bounds)
            if metric.acceptable is not None and not 0 < metric.acceptable.exact < 1:
                yield f"acceptable is {metric.acceptable}, not between 0 and 1"
        case Latency():
            yield from _bound_flaws(metric.bounds)
            yield from _quantile_flaws([each.exact for each in metric.quantiles])
        case Threshold():
            yield from _threshold_flaws(metric)


def _bound_flaws(bounds: Bounds) -> Iterator[str]:
    if not 0 < bounds.alpha.exact < 1:
        yield f"alpha is {bounds.alpha}, not between 0 and 1"
    if not 0 < bounds.beta.exact <= Fraction(1, 2):
        yield f"beta is {bounds.beta}, not above 0 and at most 0.5"
    if not 1 <= bounds.margin.exact <= MAX_MARGIN:
        yield f"margin is {bounds.margin}, not 1 to {MAX_MARGIN}"
    if not bounds.margin.exact < bounds.tolerance.exact <= MAX_TOLERANCE:
        yield f"tolerance is {bounds.tolerance}, not above the margin {bounds.margin} and at most {MAX_TOLERANCE}"


def _quantile_flaws(quantiles: list[Fraction]) -> Iterator[str]:
    if not 1 <= len(quantiles) <= MAX_QUANTILES or sorted(set(quantiles)) != quantiles:
        yield f"quantiles are 1 to {MAX_QUANTILES} numbers, each above the one before"
    if any(not 0 < each < 1 for each in quantiles):
        yield "quantiles lie between 0 and 1"
    if quantiles and quantiles[0] > FREQUENT:
        yield "no quantile is at most 0.9, so it could never be said that the candidate is not slower"


def _threshold_flaws(metric: Threshold) -> Iterator[str]:
    for name, value, least in (
        ("min_requests", metric.min_requests, 1),
        ("failure_limit", metric.failure_limit, 0),
        ("consecutive_error_limit", metric.consecutive_error_limit, 0),
    ):
        if not least <= value <= MOST:
            yield f"{name} is {value}, not {least} to {MOST}"
