"""How does a candidate get its traffic, and what takes it away again? Steps and metrics, signed by who approves them.

    0 % ── set weight ──▶ pause ──▶ analysis ──▶ set weight ──▶ … ──▶ 100 % ──▶ stable
      └ a metric that fails, in any step and in any pause: all traffic to the stable release again

The words are those of Argo Rollouts. The weight never falls on the way, and the way has an end: a strategy that could
stand still for ever, or be promoted by nobody's numbers, is none (spec/strategy.md).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.analysis.metric import MAX_MARGIN
from lockgate.core.danger import Danger, Severity
from lockgate.core.measure import decimal
from lockgate.core.policy import Demands, Symptom
from lockgate.core.traffic import WHOLE, tells_callers_apart
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

MAX_STEPS = 64
MAX_METRICS = 32
SPAN = range(1, 30 * 86_400 + 1)  # of anything that takes time, in seconds
ALPHA = Decimal("0.01")  # healthy candidates that may be sent away, all metrics together
INTERVAL = range(1, 3601)

_UNSEEN = {
    "latency": "one slow request of many makes no slow user, so count them in prometheus, or bound it (threshold)",
    "guardrail": "what a guardrail said it does not see, so count them in prometheus",
    "tool": "calls of tools it does not see, so count them in prometheus",
}

Failure: TypeAlias = Literal["rollback", "pause", "shutdown"]


@dataclass(frozen=True, slots=True)
class SetWeight:
    """The candidate gets this percentage of new traffic."""

    type: ClassVar[str] = "set-weight"
    weight: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing changes for so long; without `seconds`, until a person goes on."""

    type: ClassVar[str] = "pause"
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """Nothing changes until each of these metrics has passed."""

    type: ClassVar[str] = "analysis"
    metrics: tuple[Name, ...]


Step: TypeAlias = SetWeight | Pause | Analysis


@dataclass(frozen=True, slots=True)
class Envoy:
    """The counters of the gateway, which sees every request."""

    type: ClassVar[str] = "envoy"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A query (PromQL). For a sequential test, raw counters by `release`: of what is bad, and of the `total`."""

    type: ClassVar[str] = "prometheus"
    query: str
    total: str | None = None


Source: TypeAlias = Envoy | Prometheus


@dataclass(frozen=True, slots=True)
class Sequential:
    """The candidate is worse than the stable release: shown so that a healthy one is blamed with `alpha` at most.

    Odds up to `margin` times those of the stable release are no worse (decimal text, both). What counts as one is a
    request, or a `unit` of its own: somebody who stays with a release is one user, however many requests they send.
    """

    type: ClassVar[str] = "sequential"
    event: Symptom
    alpha: str
    margin: str
    source: Source
    unit: Literal["user"] | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """An absolute bound for the candidate, whatever the stable release does.

    It has failed when the value was `fails` than `bound` in more than `failure_limit` intervals of `least_requests`
    each; `error_limit` and `missing_limit` are intervals in a row without an answer, or without data. `event` says what
    is measured where the gateway counts: a rate, or the `quantile` of the latency in milliseconds.
    """

    type: ClassVar[str] = "threshold"
    source: Source
    fails: Literal[">", ">=", "<", "<="]
    bound: str
    least_requests: int
    failure_limit: int
    error_limit: int
    missing_limit: int
    event: Symptom | None = None
    quantile: str | None = None


@dataclass(frozen=True, slots=True)
class OnAlert:
    """An alert of this kind, at least so severe: one is enough, and no statistics are asked."""

    type: ClassVar[str] = "alert"
    kind: Danger
    severity: Severity


@dataclass(frozen=True, slots=True)
class Metric:
    """What is looked at, every `interval_seconds`. A dry run is shown, and decides nothing."""

    name: Name
    test: Sequential | Threshold | OnAlert
    interval_seconds: int
    dry_run: bool

    @property
    def is_needed(self) -> bool:
        """Ask whether nothing is promoted before this metric has passed: it brings data, and counts."""
        return not self.dry_run and not isinstance(self.test, OnAlert)


@dataclass(frozen=True, slots=True)
class Strategy:
    """The way of a candidate to all traffic (spec/strategy.md).

    `patience_seconds` is how long a step waits for evidence before a person is asked, `no_data_seconds` how long the
    candidate may send none before it goes, `max_seconds` how long all of it may take. `sticky_by` names the header
    whose value decides which release somebody gets.
    """

    type: ClassVar[str] = "strategy/v1"
    kind: Literal["canary", "blue-green"]
    steps: tuple[Step, ...]
    metrics: tuple[Metric, ...]
    max_seconds: int
    patience_seconds: int
    no_data_seconds: int
    on_failure: Failure
    sticky_by: str | None = None

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical strategy: what a change names, and its approvers sign."""
        return Digest.of(plain.encode(self))

    @property
    def needed(self) -> tuple[Metric, ...]:
        """The metrics without which nothing is promoted."""
        return tuple(metric for metric in self.metrics if metric.is_needed)


def open_strategy(document: bytes, digest: Digest) -> Strategy:
    """Read the strategy with this digest; raise `VerificationError` for another, `DeniedError` for an absurd one."""
    if Digest.of(document) != digest:
        raise VerificationError(f"the strategy is {Digest.of(document)}, not {digest}")
    strategy = plain.decode(Strategy, document)
    check_strategy(strategy)
    return strategy


def check_strategy(strategy: Strategy) -> None:
    """Raise `DeniedError` with every reason why a strategy could not mean what its author wanted."""
    reasons = [
        *wrong_steps(strategy.steps, strategy.metrics),
        *wrong_metrics(strategy.metrics),
        *wrong_spans(strategy),
        *wrong_sticking(strategy),
        *wrong_users(strategy),
    ]
    if reasons:
        raise DeniedError(*reasons)


def wrong_steps(steps: Sequence[Step], metrics: Sequence[Metric]) -> Iterator[str]:
    """Say what is wrong with the steps."""
    if not 1 <= len(steps) <= MAX_STEPS:
        yield f"a strategy has 1 to {MAX_STEPS} steps, not {len(steps)}"
    before = 0
    for number, step in enumerate(steps, 1):
        if isinstance(step, SetWeight):
            yield from _wrong_weight(f"step {number}", before, step.weight)
            before = step.weight
        elif isinstance(step, Pause) and step.seconds is not None and step.seconds not in SPAN:
            yield f"step {number} pauses for {step.seconds} s, not for 1 s to 30 days"
        elif isinstance(step, Analysis):
            yield from _wrong_analysis(f"step {number}", step, metrics)
    if before != 100:
        yield f"the weights end at {before}, and must end at 100"


def wrong_metrics(metrics: Sequence[Metric]) -> Iterator[str]:
    """Say what is wrong with the metrics."""
    if len(metrics) > MAX_METRICS:
        yield f"a strategy has at most {MAX_METRICS} metrics, not {len(metrics)}"
    for name, times in Counter(metric.name for metric in metrics).items():
        if times > 1:
            yield f"{times} metrics are called {name}"
    for metric in metrics:
        yield from (f"metric {metric.name}: {reason}" for reason in _wrong_metric(metric))
    if not any(metric.is_needed for metric in metrics):
        yield "no metric brings data that counts, so nothing could ever be promoted"
    tests = [metric.test for metric in metrics if isinstance(metric.test, Sequential) and not metric.dry_run]
    spent = sum((_number(test.alpha) or Decimal(0) for test in tests), Decimal(0))
    if spent > ALPHA:
        yield f"the alphas add up to {spent}, more than {ALPHA}"


def wrong_spans(strategy: Strategy) -> Iterator[str]:
    """Say what is wrong with the spans of time, and with the weights for this kind."""
    spans = (
        ("maxDuration", strategy.max_seconds),
        ("patience", strategy.patience_seconds),
        ("noData", strategy.no_data_seconds),
    )
    for name, seconds in spans:
        if seconds not in SPAN:
            yield f"{name} is {seconds} s, not 1 s to 30 days"
    if not strategy.patience_seconds <= strategy.no_data_seconds <= strategy.max_seconds:
        yield "patience is at most noData, and noData at most maxDuration"
    if (pauses := paused_seconds(strategy.steps)) >= strategy.max_seconds:
        yield f"the pauses take {pauses} s, and all of it may take {strategy.max_seconds} s"
    weights = [step.weight for step in strategy.steps if isinstance(step, SetWeight)]
    if strategy.kind == "blue-green" and len(weights) > 1:
        yield f"blue-green goes to 100 at once, not by {', '.join(map(str, weights))}"


def wrong_sticking(strategy: Strategy) -> Iterator[str]:
    """Say what is wrong with callers that stay: the header, and counting their requests as if they did not."""
    header = strategy.sticky_by
    if header is None:
        return
    if not tells_callers_apart(header):
        yield f"stickyBy is no header of callers, in lower case: {header[:64]!a}"
    for metric in strategy.metrics:
        if isinstance(metric.test, Sequential) and metric.test.unit is None and not metric.dry_run:
            yield (
                f"metric {metric.name}: where callers stay with a release their requests are not independent, and "
                "alpha would be no promise: count users (unit: user), bound it (threshold), or dryRun"
            )


def wrong_users(strategy: Strategy) -> Iterator[str]:
    """Say which users no gateway could judge: those it cannot tell apart, for what it cannot see, or all at one arm."""
    judged = [metric for metric in strategy.metrics if _is_of_users(metric.test)]
    splits = any(isinstance(step, SetWeight) and step.weight < WHOLE for step in strategy.steps)
    for metric in judged:
        if strategy.sticky_by is None:
            yield f"metric {metric.name}: the gateway tells users apart by a header, and stickyBy names none"
        if not splits:
            yield (
                f"metric {metric.name}: at no step both releases have users, so they cannot be compared: bound it "
                "(threshold), or begin with a weight below 100"
            )


def unmet(strategy: Strategy, demands: Demands) -> Iterator[str]:
    """Say what a policy demands of strategies that this one does not do."""
    first = next((step.weight for step in strategy.steps if isinstance(step, SetWeight)), 0)
    if first > demands.first_weight:
        yield f"the candidate begins with {first} % of the traffic, the policy allows {demands.first_weight} %"
    until = next((place for place, step in enumerate(strategy.steps) if step == SetWeight(100)), 0)
    if (pauses := paused_seconds(strategy.steps[:until])) < demands.least_seconds:
        yield f"the pauses before 100 % take {pauses} s, the policy demands {demands.least_seconds} s"
    if strategy.max_seconds > demands.window_seconds:
        yield f"the rollout may take {strategy.max_seconds} s, the policy allows {demands.window_seconds} s"
    judged = {test.event for test in (m.test for m in strategy.needed) if isinstance(test, Sequential | Threshold)}
    yield from (f"the policy demands a metric for {event}" for event in demands.metrics if event not in judged)


def paused_seconds(steps: Iterable[Step]) -> int:
    """Add up the pauses that end by themselves."""
    return sum(step.seconds or 0 for step in steps if isinstance(step, Pause))


def _wrong_weight(where: str, before: int, weight: int) -> Iterator[str]:
    if not 1 <= weight <= 100:
        yield f"{where} sets the weight {weight}, which is not 1 to 100"
    elif weight < before:
        yield f"{where} lowers the weight from {before} to {weight}: it never falls"
    elif weight == before:
        yield f"{where} sets the weight {weight} again, which changes nothing"


def _wrong_analysis(where: str, step: Analysis, metrics: Sequence[Metric]) -> Iterator[str]:
    if not step.metrics:
        yield f"{where} waits for no metric"
    if len(set(step.metrics)) < len(step.metrics):
        yield f"{where} names a metric twice"
    known = {metric.name: metric for metric in metrics}
    for name in step.metrics:
        if name not in known:
            yield f"{where} waits for {name}, and no metric is called so"
        elif not known[name].is_needed:
            yield f"{where} waits for {name}, which brings no data that counts"


def _wrong_metric(metric: Metric) -> Iterator[str]:
    if metric.interval_seconds not in INTERVAL:
        yield f"the interval is {metric.interval_seconds} s, not 1 s to 1 h"
    match metric.test:
        case Sequential() as test:
            yield from _wrong_sequential(test)
        case Threshold() as test:
            yield from _wrong_threshold(test)
        case OnAlert() as test:
            if metric.dry_run:
                yield "an alert that decides nothing is none"


def _wrong_sequential(test: Sequential) -> Iterator[str]:
    alpha, margin = _number(test.alpha), _number(test.margin)
    if alpha is None or not 0 < alpha <= ALPHA:
        yield f"alpha is {test.alpha[:40]!a}, not a number above 0 and at most {ALPHA}"
    if margin is None or not 1 <= margin <= MAX_MARGIN:
        yield f"the odds margin is {test.margin[:40]!a}, not a number from 1 to {MAX_MARGIN}"
    if test.event != "errors" and _is_of_users(test):
        yield f"of users the gateway counts who had an error: {_UNSEEN[test.event]}"
    if isinstance(test.source, Prometheus) and not (test.source.query.strip() and (test.source.total or "").strip()):
        yield "there is no data: a sequential test needs a query for what is bad, and one for the total"


def _is_of_users(test: Sequential | Threshold | OnAlert) -> bool:
    return isinstance(test, Sequential) and test.unit == "user" and isinstance(test.source, Envoy)


def _wrong_threshold(test: Threshold) -> Iterator[str]:
    if _number(test.bound) is None:
        yield f"the bound is {test.bound[:40]!a}, which is no number"
    counts = (test.least_requests, test.failure_limit, test.error_limit, test.missing_limit)
    if test.least_requests < 1 or min(counts) < 0 or max(counts) > 1_000_000:
        yield "a count is negative or too large, or there are failures without a request"
    yield from _wrong_query(test, test.source) if isinstance(test.source, Prometheus) else _wrong_count(test)


def _wrong_query(test: Threshold, source: Prometheus) -> Iterator[str]:
    if not source.query.strip() or source.total is not None:
        yield "there is no data: a threshold needs one query"
    if test.event is not None or test.quantile is not None:
        yield "a query measures what it says: neither event nor quantile goes with it"


def _wrong_count(test: Threshold) -> Iterator[str]:
    if test.event is None:
        yield "there is no data: it says neither an event that the gateway counts nor a query"
    quantile = _number(test.quantile or "")
    if (test.event == "latency") != (test.quantile is not None):
        yield "a quantile goes with latency, and latency with a quantile"
    elif test.quantile is not None and (quantile is None or not 0 < quantile < 1):
        yield f"the quantile is {test.quantile[:40]!a}, not a number between 0 and 1"


def _number(text: str) -> Decimal | None:
    try:
        return decimal(text)
    except VerificationError:
        return None
