"""Does the analysis watch what the strategy says, with its numbers, and nothing that could not be watched?"""

from dataclasses import replace

import pytest

from lockgate.core.analysis.metric import Bounds, Latency, Sequential, Threshold, Unit, Users
from lockgate.core.analysis.number import Number
from lockgate.core.plan import look_seconds, plan_of, watched
from lockgate.core.strategy import Envoy, Metric, Prometheus
from lockgate.core.strategy import Sequential as Compared
from lockgate.core.strategy import Threshold as Bounded
from lockgate.errors import DeniedError
from lockgate.formats.names import Name
from tests.core.strategies import ALERT, CANARY, ERRORS, MCP, SLOW, TRIED, judged_by

NAME = Name("m")


def metric(test, seconds=5, *, dry_run=False):
    return Metric(NAME, test, seconds, dry_run)


def translated(test, *others, **more):
    plan = plan_of(judged_by(metric(test, **more), *others))
    return plan.metrics[0]


def bounded(**changes):
    return replace(Bounded(Envoy(), ">", "0.05", 20, 2, 4, 10, "errors"), **changes)


def test_everything_but_alerts_is_watched_in_the_order_of_the_strategy():
    assert watched(CANARY) == (ERRORS, SLOW, MCP, TRIED)
    assert [one.name for one in plan_of(CANARY).metrics] == [one.name for one in watched(CANARY)]
    assert [one.dry_run for one in plan_of(CANARY).metrics] == [False, False, False, True]


@pytest.mark.parametrize("event", ["errors", "guardrail", "tool"])
def test_odds_are_compared_with_the_margin_and_alpha_of_the_strategy(event):
    found = translated(Compared(event, "0.004", "1.50", Envoy()))

    bounds = Bounds(Number("0.004"), Number("0.05"), Number("1.5"), Number("3"))
    assert found == Sequential(NAME, bounds, Unit.REQUEST, 1_000_000, dry_run=False, acceptable=Number("0.01"))


def test_latency_that_the_gateway_counts_is_compared_beyond_quantiles_and_of_others_as_counts():
    assert isinstance(translated(Compared("latency", "0.004", "1", Envoy())), Latency)
    assert isinstance(translated(Compared("latency", "0.004", "1", Prometheus("slow", "all"))), Sequential)


def test_users_whom_the_gateway_judges_are_compared_by_books():
    bounds = Bounds(Number("0.004"), Number("0.05"), Number("1.5"), Number("3"))

    found = translated(Compared("errors", "0.004", "1.5", Envoy(), "user"))
    assert found == Users(NAME, bounds, 1_000_000, dry_run=False, acceptable=Number("0.01"))


@pytest.mark.parametrize(("unit", "counted"), [(None, Unit.REQUEST), ("user", Unit.USER)])
def test_what_counts_as_one_is_what_the_strategy_says(unit, counted):
    assert translated(Compared("errors", "0.004", "1", Prometheus("bad", "all"), unit)).unit is counted


@pytest.mark.parametrize("fails", [">", ">=", "<", "<="])
@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({}, "0.05"),
        ({"bound": "5E-2"}, "0.05"),
        ({"bound": "-1.50", "source": Prometheus("x"), "event": None}, "-1.5"),
        ({"bound": "800", "event": "latency", "quantile": "0.99"}, "0.01"),
        ({"bound": "100", "event": "latency", "quantile": "0.5"}, "0.5"),
    ],
)
def test_a_bound_is_kept_as_it_was_written_and_a_quantile_is_a_share(fails, changes, bound):
    found = translated(bounded(fails=fails, **changes))

    assert found == Threshold(NAME, fails, Number(bound), 20, 2, 4, 11, dry_run=False)


def test_intervals_without_data_are_counted_in_looks():
    fast = metric(Compared("errors", "0.004", "1", Envoy()), 5)

    slow = plan_of(judged_by(replace(fast, name=Name("fast")), metric(bounded(), 22))).metrics[1]
    assert isinstance(slow, Threshold) and slow.consecutive_missing == 55
    assert look_seconds(CANARY) == 5


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (Compared("errors", "0.004", "10.1", Envoy()), "metric m: margin is 10.1, not 1 to 10"),
        (Compared("errors", "1e-15", "1", Envoy()), "metric m: not a number like 0.004"),
        (bounded(bound="1e16"), "metric m: not a number like 0.004"),
        (bounded(least_requests=2_000_000), "metric m: min_requests is 2000000"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_its_reason(test, reason):
    with pytest.raises(DeniedError, match=reason):
        plan_of(judged_by(metric(test), ALERT))


def test_all_reasons_are_given_at_once():
    with pytest.raises(DeniedError) as found:
        plan_of(judged_by(metric(bounded(bound="1e16")), replace(metric(bounded(bound="1e17")), name=Name("n"))))

    assert len(found.value.reasons) == 2
