"""Does no node hide from a rollout what others see, and does alpha stay what it is?"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.analysis.metric import Threshold
from lockgate.core.observation import (
    Look,
    Shown,
    Watch,
    grounds_of,
    looked,
    read_watch,
    signals_of,
    watch_anew,
)
from lockgate.core.outvoting import GROUPS, grouped, of_all, outvoted
from lockgate.core.plan import plan_of
from lockgate.core.report import NOTHING
from lockgate.core.strategy import Sequential
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.core.strategies import judged_by
from tests.core.test_observation import ERRORS, LATE, ROLLOUT, counts, metric
from tests.traffic import BROKEN
from tests.world import NOW

STRATEGY = judged_by(ERRORS, LATE, BROKEN)
ONE, TWO = Name("host-1"), Name("host-2")
BAD, GOOD, LIE = (counts(5, 3, 9), counts(95)), (counts(5), counts(95)), (counts(50_000), counts(50_000, 500, 9))


def times(number, shown):
    total = (NOTHING, NOTHING)
    for _ in range(number):
        total = (total[0] + shown[0], total[1] + shown[1])
    return Shown("i" * 16, *total)


def watched(looks=30, strategy=STRATEGY, **nodes):
    watch = None
    for number in range(looks):
        shown = {Name(name.replace("_", "-")): times(number, each) for name, each in nodes.items()}
        look = Look(NOW + timedelta(seconds=5 * number), shown, {})
        watch = looked(watch or watch_anew(strategy, ROLLOUT, look), strategy, ROLLOUT, look)
        watch = read_watch(plain.encode(watch), strategy, ROLLOUT)
    return watch


def grounds(watch, strategy=STRATEGY):
    return grounds_of(watch, strategy, ROLLOUT, (), revoked=False, now=NOW)


def failed(watch, strategy=STRATEGY):
    return {name for name, found in signals_of(grounds(watch, strategy)).metrics.items() if found == "failed"}


def test_a_node_that_lies_hides_no_failure_that_another_one_counts():
    for liars in ({"host_2": LIE}, {"host_0": LIE}):
        watch = watched(host_1=BAD, **liars)
        assert failed(watch) == {ERRORS.name, LATE.name, BROKEN.name}
        assert set(grounds(watch).outvoted or ()) == {ERRORS.name, LATE.name, BROKEN.name}
        assert not failed(replace(watch, without=())), "together they say that all is well"


def test_one_that_comes_later_hides_nothing_either():
    watch = watched(10, host_1=BAD)
    for number in range(10, 60):
        shown = {ONE: times(number, BAD), TWO: times(number, LIE)}
        watch = looked(watch, STRATEGY, ROLLOUT, Look(NOW + timedelta(seconds=5 * number), shown, {}))
    assert failed(watch) == {ERRORS.name, LATE.name, BROKEN.name}


def test_a_healthy_candidate_is_healthy_however_many_nodes_there_are():
    for number in (1, 2, 3, GROUPS + 2):
        watch = watched(**{f"host_{each}": GOOD for each in range(number)})
        assert not failed(watch) and grounds(watch).outvoted is None
        assert len(watch.without) == min(number, GROUPS)


def test_a_dry_run_is_not_named():
    tried = judged_by(replace(ERRORS, dry_run=True), LATE)

    assert ERRORS.name not in (grounds(watched(strategy=tried, host_1=BAD, host_2=LIE), tried).outvoted or ())


def test_what_was_written_down_before_is_read_and_goes_on():
    watch = watched(10, host_1=GOOD)
    before = plain.decode(Watch, plain.encode(replace(watch, groups=None, without=None)))

    assert before.groups is None
    look = Look(NOW + timedelta(seconds=50), {ONE: times(10, GOOD), TWO: times(10, GOOD)}, {})
    assert len(looked(before, STRATEGY, ROLLOUT, look).without) == 2


@given(st.lists(st.sets(st.sampled_from([Name(f"h{n}") for n in range(40)])), max_size=8))
def test_a_node_stays_in_its_group_and_each_group_is_used_before_one_is_used_twice(looks):
    groups = {}
    for nodes in looks:
        more = grouped(groups, nodes)
        assert groups.items() <= more.items() and more.keys() == groups.keys() | nodes
        groups = more
    assert len(set(groups.values())) == min(len(groups), GROUPS)


@given(st.integers(1, 10**10))
def test_all_views_together_spend_no_more_than_alpha(units):
    alpha = Decimal(units).scaleb(-12)
    plan = plan_of(judged_by(metric("errors", Sequential("errors", f"{alpha:f}", "1", ERRORS.test.source)), BROKEN))
    (whole, kept), spent = of_all(plan).metrics, plan.metrics[0].bounds.alpha.exact

    assert isinstance(kept, Threshold) and 0 < whole.bounds.alpha.exact <= spent
    if whole.bounds.alpha.exact < spent:
        assert whole.bounds.alpha.exact + GROUPS * spent / 1024 <= spent
    else:
        assert outvoted(plan, watched(3, STRATEGY, host_1=GOOD).without[:0], NOW) == ()
