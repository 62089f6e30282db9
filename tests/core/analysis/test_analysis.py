"""Does a rollout come to the same whoever watches it, and is nothing taken that belongs to another?"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core import analysis
from lockgate.core.analysis import Conclusion, Plan, analyse, begin, resume, take, teach
from lockgate.core.analysis.metric import Threshold
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.table import Counts, Histogram, Spread, Table
from lockgate.core.analysis.threshold import Unanswered, Value
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.core.analysis.test_metric import FEW, LIMIT, PLAN, SLOW
from tests.world import NOW

ERRORS, LATENCY, THRESHOLD = (metric.name for metric in PLAN.metrics)
TABLE = (Table(Counts(100, 2), Counts(1000, 20)),)
BAD = (Table(Counts(100, 40), Counts(1000, 20)),)
TIMES = Histogram((10, 20), (500, 400, 100))
SPREAD = (Spread(Histogram((10, 20), (50, 40, 10)), TIMES),)
ALL = {ERRORS: TABLE, LATENCY: SPREAD, THRESHOLD: TABLE}


def through(*looks, plan=PLAN):
    state = begin(plan)
    for observed in looks:
        state = take(plan, state, observed)
    return state


def test_what_is_the_same_becomes_healthy():
    state = through(*[ALL] * 100)

    found = analyse(PLAN, state, NOW)

    assert (found.conclusion, found.looks, found.looked_at) == (Conclusion.HEALTHY, 100, NOW)
    assert [finding.conclusion for finding in found.findings] == [Conclusion.HEALTHY] * 3


def test_one_failure_is_enough_and_is_not_forgotten():
    state = through(*[ALL] * 3, ALL | {ERRORS: BAD}, *[ALL] * 20)

    assert analyse(PLAN, state, NOW).conclusion is Conclusion.FAILED
    assert analyse(PLAN, resume(PLAN, plain.encode(state)), NOW).conclusion is Conclusion.FAILED


def test_silence_is_missing():
    assert analyse(PLAN, through(*[{}] * 12), NOW).conclusion is Conclusion.MISSING
    assert analyse(PLAN, through(*[{}] * 11), NOW).conclusion is Conclusion.INCONCLUSIVE


def test_it_begins_only_with_a_sound_plan():
    with pytest.raises(DeniedError):
        begin(Plan(()))


def test_stable_teaches_before_the_rollout():
    state = teach(PLAN, begin(PLAN), {LATENCY: TIMES, ERRORS: TIMES})

    assert state.tallies[1].before == TIMES
    assert (state.looks, state.tallies[0], state.tallies[2]) == (0, begin(PLAN).tallies[0], begin(PLAN).tallies[2])
    assert take(PLAN, state, {LATENCY: SPREAD}).tallies[1].marks[0].candidate.n == 100


tables = st.builds(
    lambda n, bad, others, more: (Table(Counts(n, min(n, bad)), Counts(others, min(others, more))),),
    *[st.integers(0, 200)] * 4,
)
spreads = st.lists(st.integers(0, 50), min_size=6, max_size=6).map(
    lambda counts: (Spread(Histogram((10, 20), tuple(counts[:3])), Histogram((10, 20), tuple(counts[3:]))),)
)
values = st.one_of(tables, st.just(Value(Number("0.2"))), st.just(Unanswered("away")))
looks = st.lists(st.fixed_dictionaries({}, optional={ERRORS: tables, LATENCY: spreads, THRESHOLD: values}), max_size=8)


@given(looks, st.integers(0, 8))
def test_whoever_takes_over_comes_to_the_same(given_looks, killed_after):
    state = begin(PLAN)
    for number, observed in enumerate(given_looks):
        if number == killed_after:
            state = resume(PLAN, plain.encode(state))
        state = take(PLAN, state, observed)

    assert state == through(*given_looks)
    assert plain.encode(resume(PLAN, plain.encode(state))) == plain.encode(state)


@given(looks)
def test_an_analysis_can_be_written_and_read(given_looks):
    found = analyse(PLAN, through(*given_looks), NOW)

    assert plain.decode(analysis.Analysis, plain.encode(found)) == found


def spoilt(change):
    document = json.loads(plain.encode(through(ALL)))
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(type="analysis-state/v2"),
        lambda state: state.update(plan="sha256:" + "0" * 64),
        lambda state: state.update(looks=-1),
        lambda state: state.update(more=1),
        lambda state: state["tallies"].pop(),
        lambda state: state["tallies"].reverse(),
        lambda state: state["tallies"][0]["row"].pop(),
        lambda state: state["tallies"][0].update(peak="nan"),
        lambda state: state["tallies"][0].update(peak=0.5),
        lambda state: state["tallies"][0].update(missing=-1),
        lambda state: state["tallies"][0]["candidate"].update(bad=101),
        lambda state: state["tallies"][1]["marks"].pop(),
        lambda state: state["tallies"][1]["marks"][0]["row"].append("0x0.0p+0"),
        lambda state: state["tallies"][1].update(missing=-1),
        lambda state: state["tallies"][2].update(failed=-1),
        lambda state: state["tallies"][2].update(failed=3),
        lambda state: state["tallies"][2].update(errors=-1),
        lambda state: state["tallies"][2].update(missing=-1),
        lambda state: state["tallies"][2].update(broken="sequentially"),
    ],
)
def test_a_state_that_is_not_of_this_plan_and_version_is_refused(change):
    assert resume(PLAN, spoilt(lambda _: None)) == through(ALL)

    with pytest.raises(VerificationError):
        resume(PLAN, spoilt(change))


@pytest.mark.parametrize("other", [Plan((FEW, SLOW, replace(LIMIT, failure_limit=1))), Plan((SLOW, FEW, LIMIT))])
def test_another_plan_has_another_state(other):
    with pytest.raises(VerificationError, match="another one"):
        resume(other, plain.encode(through(ALL)))


@pytest.mark.parametrize(
    "observed",
    [
        {Name("unknown"): TABLE},
        {ERRORS: SPREAD},
        {ERRORS: (*TABLE, *SPREAD)},
        {ERRORS: Value(Number("1"))},
        {LATENCY: TABLE},
        {LATENCY: Value(Number("1"))},
        {THRESHOLD: SPREAD},
    ],
)
def test_what_is_counted_otherwise_is_refused(observed):
    with pytest.raises(VerificationError):
        take(PLAN, begin(PLAN), observed)


def test_what_is_not_answered_is_missing():
    state = through({ERRORS: Unanswered("away"), LATENCY: Unanswered("away"), THRESHOLD: Unanswered("away")})

    assert [tally.missing for tally in state.tallies] == [1, 1, 1]


def test_a_tally_of_another_metric_is_refused():
    state = replace(begin(PLAN), tallies=begin(PLAN).tallies[::-1])

    with pytest.raises(VerificationError, match="not one of a sequential metric"):
        take(PLAN, state, {})
    with pytest.raises(VerificationError, match="not one of a sequential metric"):
        analyse(PLAN, state, NOW)


def test_every_metric_can_stand_alone():
    for metric in PLAN.metrics:
        found = analyse(Plan((metric,)), through({metric.name: ALL[metric.name]}, plan=Plan((metric,))), NOW)
        assert found.findings[0].name == metric.name
    assert isinstance(PLAN.metrics[2], Threshold)
