"""Does a candidate get its traffic in steps that others approved, and leave by itself when it is bad?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.strategy import SetWeight
from lockgate.errors import DeniedError
from tests.core.strategies import CANARY, DEMANDS, canary
from tests.rolling import FAILED, NOTHING, begin, content, demand, go_on, open_rollout, order, rollout
from tests.world import PROD


def test_a_candidate_begins_with_nothing_and_climbs_as_its_approvers_signed(world):
    begin(world)
    assert rollout(world).weight == 0

    go_on(world)
    assert rollout(world).weight == 5 and go_on(world) and rollout(world).weight == 5


def test_nobody_approves_one_strategy_and_sees_another_carried_out(world):
    world.serve("1.0.0")
    release = world.register("1.1.0")
    hasty = replace(CANARY, steps=(SetWeight(100),))

    assert content(world, release, CANARY).digest != content(world, release, hasty).digest


@pytest.mark.parametrize("seconds", [0, 60, 3600])
def test_a_bad_candidate_leaves_by_itself_whatever_it_waits_for(world, seconds):
    begin(world)
    go_on(world)
    order(world, "pause")
    world.now += timedelta(seconds=seconds)

    go_on(world, FAILED)
    assert world.endpoint().rollout is None and str(world.endpoint().stable.tag) == "magika@1.0.0"


def test_a_candidate_without_data_is_never_promoted(world):
    begin(world)
    while world.endpoint().rollout is not None:
        go_on(world, NOTHING, after=600, fresh=False)

    assert str(world.endpoint().stable.tag) == "magika@1.0.0"


def test_what_replaces_a_stable_release_at_once_is_refused_where_the_policy_says_so(world):
    world.serve("1.0.0")
    demand(world, DEMANDS)
    release = world.register("1.1.0")

    with pytest.raises(DeniedError, match="the policy demands a rollout"):
        open_rollout(world, release, None)
    with pytest.raises(DeniedError, match="the policy allows 5 %"):
        open_rollout(world, release, canary(steps=(SetWeight(50), *CANARY.steps[4:])))
    assert world.endpoint().endpoint == PROD
