"""What may an author write into a strategy? What means something; and everything else is said at once."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lockgate.cli.planning import parse_strategy
from lockgate.core.strategy import Pause, SetWeight, check_strategy
from lockgate.errors import DeniedError
from tests.cli.written import GOOD
from tests.core.strategies import BLUE_GREEN, CANARY, JUDGED, STICKY

BLUE = """
blueGreen: {pause: {duration: 10m}, analysis: {templates: [errors]}, scaleDownDelay: 30s}
"""


READ = yaml.safe_load(GOOD)


def written(**changes):
    return deepcopy(READ) | changes


def step(*steps):
    return written(canary={"steps": list(steps)})


def metric(**changes):
    first, *others = written()["metrics"]
    return written(metrics=[{name: value for name, value in (first | changes).items() if value != "gone"}, *others])


def reasons_of(document):
    with pytest.raises(DeniedError) as caught:
        parse_strategy(document)
    return caught.value.reasons


def test_what_an_author_writes_is_the_strategy_that_is_signed():
    assert parse_strategy(written()) == CANARY


def test_blue_green_is_the_steps_that_it_means():
    blue = {name: value for name, value in written().items() if name != "canary"} | yaml.safe_load(BLUE)

    assert parse_strategy(blue) == BLUE_GREEN


def test_callers_that_stay_are_counted_as_users():
    sequential = {"event": "errors", "alpha": 0.004, "oddsMargin": 1.5, "unit": "user"}
    users = {"query": "failed_users", "total": "users"}
    found = metric(sequential=sequential, envoy="gone", prometheus=users)
    found["canary"] |= {"stickyBy": "x-user"}

    assert parse_strategy(found) == STICKY


def test_users_whom_the_gateway_judges_need_no_query():
    sequential = {"event": "errors", "alpha": 0.004, "oddsMargin": 1.5, "unit": "user"}
    found = metric(sequential=sequential)
    found["canary"] |= {"stickyBy": "x-user"}

    assert parse_strategy(found) == replace(STICKY, metrics=(JUDGED, *STICKY.metrics[1:]))


def test_what_is_left_out_has_the_value_that_the_specification_says():
    short = {"canary": {"steps": [{"setWeight": 100}]}, "metrics": [written()["metrics"][0]]}

    found = parse_strategy(short)
    assert (found.max_seconds, found.patience_seconds, found.no_data_seconds) == (86_400, 600, 3600)
    assert (found.on_failure, found.sticky_by, found.metrics[0].interval_seconds) == ("rollback", None, 5)


def test_bare_blue_green_goes_to_everything_at_once():
    found = parse_strategy({"blueGreen": {"scaleDownDelay": "30s"}, "metrics": [written()["metrics"][0]]})

    assert found.steps == (SetWeight(100), Pause(30))
    check_strategy(found)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "neither canary nor blueGreen"),
        ([], "the strategy is [], which is no table"),
        ({1: 2}, "the strategy is {1: 2}, which is no table"),
        (written(blueGreen={}), "the strategy is neither canary nor blueGreen, or both"),
        (written(surprise=1), "the strategy says 'surprise', which is unknown"),
        (written(canary={"steps": [], "surge": 1}), "canary says 'surge', which is unknown"),
        (written(canary={"steps": "all"}), "steps are 'all', which is no list"),
        (written(canary=7), "canary is 7, which is no table"),
        (step({"setWeight": 5}, {"setWeight": 2}, {"setWeight": 100}), "step 2 lowers the weight from 5 to 2"),
        (step({"setWeight": 5}, {"setWeight": 120}), "step 2 sets the weight 120, which is not 1 to 100"),
        (step({"setWeight": 5}), "the weights end at 5, and must end at 100"),
        (step({"setWeight": 5.5}), "step 1: setWeight is 5.5, not a whole number"),
        (step({"setWeight": True}), "step 1: setWeight is True, not a whole number"),
        (step({"setWeight": "5"}), "step 1: setWeight is '5', not a whole number"),
        (step({"setWeight": 5, "pause": {}}), "step 1 is not exactly one of setWeight, pause, analysis"),
        (step({}), "step 1 is not exactly one of"),
        (step(7), "step 1 is 7, which is no table"),
        (step({"setHeaderRoute": {}}), "step 1 says 'setHeaderRoute', which is unknown"),
        (step({"pause": {"duration": "-5m"}}), "step 1: duration is '-5m', not a span like"),
        (step({"pause": {"duration": "0s"}}), "step 1: duration is '0s', not a span like"),
        (step({"pause": {"duration": float("inf")}}), "step 1: duration is inf, not a span like"),
        (step({"pause": {"duration": 300}}), "step 1: duration is 300, not a span like"),
        (step({"pause": {"for": "5m"}}), "step 1 says 'for', which is unknown"),
        (step({"pause": {"duration": "31d"}}, {"setWeight": 100}), "step 1 pauses for 2678400 s"),
        (step({"analysis": {"templates": ["errorz"]}}, {"setWeight": 100}), "step 1 waits for errorz, and no metric"),
        (step({"analysis": {"templates": "errors"}}), "step 1: templates are 'errors', which is no list"),
        (step({"analysis": {"templates": [7]}}), "step 1 names 7, which is no name"),
        (step({"analysis": {}}), "step 1: templates are None, which is no list"),
        (written(metrics=7), "metrics are 7, which is no list"),
        (written(metrics=[]), "no metric brings data that counts"),
        (metric(name="not a name"), "metric 1 names 'not a name', which is no name"),
        (metric(name="slow"), "2 metrics are called slow"),
        (metric(envoy="gone"), "metric errors has no data: its source is exactly one of envoy, prometheus"),
        (metric(prometheus={"query": "x"}), "metric errors has no data: its source is exactly one of"),
        (metric(envoy={"x": 1}), "metric errors says 'x', which is unknown"),
        (metric(envoy="gone", prometheus={"query": 7}), "metric errors: query is 7, not text"),
        (metric(envoy="gone", prometheus={"query": "bad"}), "a sequential test needs a query for what is bad"),
        (metric(sequential="gone"), "metric errors is not exactly one of sequential, threshold, alert"),
        (metric(threshold={}), "metric errors is not exactly one of sequential, threshold, alert"),
        (metric(sequential={"event": "errors"}), "metric errors: alpha is None, not a number"),
        (metric(sequential={"event": "speed", "alpha": 0.004}), "metric errors: event is 'speed', not one of"),
        (metric(sequential={"event": "errors", "alpha": 0}), "alpha is '0', not a number above 0"),
        (metric(sequential={"event": "errors", "alpha": True}), "metric errors: alpha is True, not a number"),
        (metric(sequential={"event": "errors", "alpha": float("nan")}), "alpha is 'nan'"),
        (metric(sequential={"event": "errors", "alpha": 0.004, "oddsMargin": 11}), "not a number from 1 to 10"),
        (
            metric(sequential={"event": "errors", "alpha": 0.004, "unit": "tab"}),
            "metric errors: unit is 'tab', not one",
        ),
        (
            metric(sequential={"event": "errors", "alpha": 0.004, "unit": "user"}),
            "tells users apart by a header, and stickyBy names none",
        ),
        (metric(interval="soon"), "metric errors: interval is 'soon', not a span like"),
        (metric(dryRun="yes"), "metric errors: dryRun is 'yes', not true or false"),
        (metric(webhook="http://127.0.0.1"), "metric 1 says 'webhook', which is unknown"),
        (metric(envoy="gone", webhook="http://127.0.0.1"), "metric errors has no data: its source is exactly one of"),
        (metric(envoy="gone", prometheus={"query": "up", "url": "http://10.0.0.1"}), "metric errors says 'url', which"),
        (metric(sequential="gone", threshold={"failureCondition": "bad"}), "failureCondition is 'bad', not one like"),
        (metric(sequential="gone", threshold={"failureCondition": "> x"}), "the bound is 'x', which is no number"),
        (metric(sequential="gone", threshold={"failureCondition": "> 1", "minRequests": "x"}), "minRequests is 'x'"),
        (metric(sequential="gone", threshold={"failureCondition": "> 1"}), "it says neither an event"),
        (metric(sequential="gone", alert={"kind": "x"}), "metric errors: an alert comes by itself, and has no source"),
        (
            metric(sequential="gone", envoy="gone", alert={"kind": "?"}),
            "kind is '?', not one of guardrail",
        ),
        (
            metric(sequential="gone", envoy="gone", alert={"kind": "tool", "severity": "bad"}),
            "severity is 'bad'",
        ),
        (written(maxDuration="never"), "maxDuration is 'never', not a span like"),
        (written(maxDuration="31d"), "maxDuration is 2678400 s, not 1 s to 30 days"),
        (written(maxDuration="5m"), "the pauses take 360 s, and all of it may take 300 s"),
        (written(patience="2h"), "patience is at most noData"),
        (written(onFailure="ignore"), "onFailure is 'ignore', not one of rollback, pause, shutdown"),
        (written(canary=written()["canary"] | {"stickyBy": 7}), "stickyBy is 7, which is no text"),
        (written(canary=written()["canary"] | {"stickyBy": "x-user"}), "alpha would be no promise: count users"),
        (written(canary=written()["canary"] | {"stickyBy": "Host"}), "stickyBy is no header of callers, in lower"),
    ],
)
def test_everything_else_is_refused(document, reason):
    assert [found for found in reasons_of(document) if reason in found], reasons_of(document)


def test_all_that_is_wrong_is_said_at_once():
    bad = written(canary={"steps": [{"setWeight": 120}]}, maxDuration="-1d", onFailure=7, more=1)
    bad["metrics"] += [{"name": "x"}, {"name": "y", "threshold": {}, "envoy": None}]

    assert len(reasons_of(bad)) >= 6


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)


@given(_JUNK, st.sampled_from(["canary", "blueGreen", "metrics", "maxDuration", "patience", "onFailure", "noData"]))
def test_no_junk_ends_in_anything_but_reasons(junk, where):
    for document in (junk, written(**{where: junk})):
        with suppress(DeniedError):
            check_strategy(parse_strategy(document))
