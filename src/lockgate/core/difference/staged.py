"""What does a strategy do, in words that an approver can decide by?"""

from collections.abc import Iterator

from lockgate.core.difference.sentence import free
from lockgate.core.strategy import (
    Analysis,
    Envoy,
    Metric,
    OnAlert,
    Pause,
    Sequential,
    SetWeight,
    Source,
    Step,
    Strategy,
    Threshold,
)

_THEN = {
    "rollback": "all traffic goes back to the stable release",
    "pause": "the rollout stops where it is, for a person to decide",
    "shutdown": "the endpoint is shut down",
}


def strategy_words(strategy: Strategy) -> Iterator[str]:
    """Say every step, every metric and every limit of a strategy."""
    yield f"{strategy.kind}, at most {span(strategy.max_seconds)} from the first step to the last"
    yield from (f"step {number}: {_step(step)}" for number, step in enumerate(strategy.steps, 1))
    yield from (f"metric {metric.name}: {_metric(metric)}" for metric in strategy.metrics)
    yield f"if a metric fails, {_THEN[strategy.on_failure]}"
    yield (
        f"without evidence for {span(strategy.patience_seconds)} a person is asked; "
        f"without data for {span(strategy.no_data_seconds)} {_THEN['rollback']}"
    )
    if strategy.sticky_by is not None:
        yield f"who sends the same {strategy.sticky_by} gets the same release"


def span(seconds: int) -> str:
    """Write a span of time in the largest unit that it is a multiple of."""
    for unit, word in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds % unit == 0 and seconds >= unit:
            return f"{seconds // unit} {word}"
    return f"{seconds} s"


def _step(step: Step) -> str:
    match step:
        case SetWeight():
            return f"{step.weight} % of new traffic goes to the candidate"
        case Pause():
            return "wait until a person goes on" if step.seconds is None else f"wait {span(step.seconds)}"
        case Analysis():
            return f"wait until {', '.join(map(str, step.metrics))} passed"


def _metric(metric: Metric) -> str:
    every = f", every {span(metric.interval_seconds)}"
    dry = "; a dry run, which decides nothing" if metric.dry_run else ""
    match metric.test:
        case Sequential() as test:
            what = f"fails when {test.event} of the candidate are shown to be worse than those of the stable release"
            odds = f"by more than {free(test.margin)} times the odds (alpha {free(test.alpha)})"
            users = ", where one user counts once" if test.unit == "user" else ""
            return f"{what} {odds}{every}, {_source(test.source)}{users}{dry}"
        case Threshold() as test:
            when = f"{_measured(test)} {test.fails} {free(test.bound)}"
            times = f"in more than {test.failure_limit} intervals of {test.least_requests} requests or more"
            limits = f"{test.error_limit} without an answer and {test.missing_limit} without data are borne"
            return f"fails when {when} {times}; {limits}{every}, {_source(test.source)}{dry}"
        case OnAlert() as test:
            return f"fails at once by an alert of kind {test.kind}, {test.severity} or worse"


def _measured(test: Threshold) -> str:
    if test.event is None:
        return "the result"
    if test.quantile is not None:
        return f"the {free(test.quantile)} quantile of {test.event} in ms"
    return f"the rate of {test.event}"


def _source(source: Source) -> str:
    if isinstance(source, Envoy):
        return "as the gateway counts"
    total = f" of {free(source.total)}" if source.total else ""
    return f"by the query {free(source.query)}{total}"
