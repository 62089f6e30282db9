"""What does a strategy want watched, in the words of the analysis? Every metric that brings data; alerts bring none.

    sequential errors, guardrail, tool   odds of the candidate against those of the stable release
    sequential errors, unit user         the same of users that gateways judge, each once in a book
    sequential latency                   the same, beyond each quantile of what the stable release took
    threshold rate                       bad ones of the candidate, as a share
    threshold latency, quantile q        those slower than the bound are more than 1 - q of the candidate's
    threshold query                      the value that somebody else measured

What a strategy does not say is chosen here, once: how far from the margin is too far to promote (`_TOLERANCE`), how
sure of it one must be (`_BETA`), and which rate of bad ones is always good enough (`_ACCEPTABLE`).
"""

from decimal import Decimal

from lockgate.core.analysis.metric import Bounds, Latency, Metric, Plan, Sequential, Threshold, Unit, Users, check_plan
from lockgate.core.analysis.number import Number
from lockgate.core.measure import decimal
from lockgate.core.strategy import Envoy, OnAlert, Strategy
from lockgate.core.strategy import Metric as Wanted
from lockgate.core.strategy import Sequential as Compared
from lockgate.core.strategy import Threshold as Bounded
from lockgate.errors import DeniedError, VerificationError

QUANTILES = ("0.5", "0.75", "0.9", "0.99", "0.999")

_TOLERANCE = 2  # times the margin
_BETA = Number("0.05")
_ACCEPTABLE = Number("0.01")
_NEVER = 1_000_000  # looks in a row: that nothing is known is said by whoever decides (`core.rollout`)


def plan_of(strategy: Strategy) -> Plan:
    """Say what is watched; raise `DeniedError` with every reason why something cannot be."""
    reasons, metrics = [], []
    for wanted in watched(strategy):
        try:
            metrics.append(_metric(wanted, -(-wanted.interval_seconds // look_seconds(strategy))))
        except VerificationError as e:
            reasons.append(f"metric {wanted.name}: {e}")
    if reasons:
        raise DeniedError(*reasons)
    plan = Plan(tuple(metrics))
    check_plan(plan)
    return plan


def watched(strategy: Strategy) -> tuple[Wanted, ...]:
    """List the metrics that bring data."""
    return tuple(metric for metric in strategy.metrics if not isinstance(metric.test, OnAlert))


def look_seconds(strategy: Strategy) -> int:
    """Say how often there is something to look at."""
    return min(metric.interval_seconds for metric in watched(strategy))


def _metric(wanted: Wanted, looks: int) -> Metric:
    """Translate a metric that is looked at every so many `looks`."""
    match wanted.test:
        case Compared() as test:
            return _compared(wanted, test)
        case Bounded() as test:
            return _bounded(wanted, test, looks)
        case OnAlert():
            raise VerificationError("an alert brings no data")


def _compared(wanted: Wanted, test: Compared) -> Sequential | Users | Latency:
    margin = decimal(test.margin)
    bounds = Bounds(_number(decimal(test.alpha)), _BETA, _number(margin), _number(margin * _TOLERANCE))
    if test.event == "latency" and isinstance(test.source, Envoy):
        quantiles = tuple(map(Number, QUANTILES))
        return Latency(wanted.name, bounds, Unit.REQUEST, quantiles, _NEVER, wanted.dry_run)
    if test.unit == "user" and isinstance(test.source, Envoy):
        return Users(wanted.name, bounds, _NEVER, wanted.dry_run, _ACCEPTABLE)
    unit = Unit.USER if test.unit == "user" else Unit.REQUEST
    return Sequential(wanted.name, bounds, unit, _NEVER, wanted.dry_run, _ACCEPTABLE)


def _bounded(wanted: Wanted, test: Bounded, looks: int) -> Threshold:
    bound = Decimal(1) - decimal(test.quantile) if test.quantile is not None else decimal(test.bound)
    return Threshold(
        wanted.name,
        test.fails,
        _number(bound),
        test.least_requests,
        test.failure_limit,
        test.error_limit,
        min((test.missing_limit + 1) * looks, _NEVER),
        wanted.dry_run,
    )


def _number(value: Decimal) -> Number:
    text = format(value, "f")
    return Number(text.rstrip("0").rstrip(".") if "." in text else text)
