"""How often is a rollout rolled back for nothing, and how soon for something? Dice, thousands of rollouts."""

import os

import numpy as np
import pytest

from tests.simulated import (
    ALPHA,
    COARSE,
    FINE,
    LOOKS,
    delays,
    fixed_rule,
    healthy,
    latency_rule,
    peeking_rule,
    sequential_rule,
    share,
    steady,
    sticky,
)

pytestmark = pytest.mark.slow
MORE = 10 if os.environ.get("LOCKGATE_SOAK") else 1


def dice(seed):
    return np.random.default_rng(seed)


def test_healthy_candidates_are_rolled_back_as_seldom_as_promised():
    thrown = dice(4)
    rollouts = [healthy(thrown) for _ in range(1000 * MORE)]

    assert all(len(truth.weight) >= 360 for truth in rollouts)
    assert share([sequential_rule(truth.tables(thrown)) for truth in rollouts]) <= ALPHA


def test_rules_that_are_common_roll_back_what_is_healthy():
    thrown = dice(5)
    rollouts = [steady(0.005).tables(thrown) for _ in range(200)]

    assert share(list(map(fixed_rule, rollouts))) > 0.7
    assert share(list(map(peeking_rule, rollouts))) > 0.1
    assert share(list(map(sequential_rule, rollouts))) <= ALPHA


def test_ten_times_the_errors_are_found_in_seconds():
    thrown = dice(6)
    rollouts = [steady(0.005, times=10, looks=40).tables(thrown) for _ in range(200 * MORE)]

    median, late = delays([sequential_rule(tables) for tables in rollouts])

    assert median <= 15
    assert late <= 40


@pytest.mark.parametrize("bounds", [FINE, COARSE])
def test_twice_the_latency_is_found_in_seconds_at_two_requests_a_second(bounds):
    thrown = dice(7)

    median, late = delays([latency_rule(thrown, 2, looks=40, bounds=bounds) for _ in range(200 * MORE)])

    assert median <= 15
    assert late <= 30


def test_what_is_not_slower_is_left_alone_also_when_everything_is_slow():
    thrown = dice(8)

    assert share([latency_rule(thrown, 1, shock=range(100, 112)) for _ in range(50 * MORE)]) == 0


@pytest.mark.parametrize("bad", [0.3, 0.9, 1.0])
def test_an_outage_of_both_is_no_reason(bad):
    thrown = dice(9)
    truth = steady(0.005)
    truth.candidate[100:160] = truth.stable[100:160] = bad

    assert share([sequential_rule(truth.tables(thrown)) for _ in range(150 * MORE)]) <= ALPHA


def test_users_who_stay_are_counted_once_or_it_goes_wrong():
    thrown = dice(10)
    rollouts = [sticky(thrown, looks=LOOKS // 3) for _ in range(60)]

    assert share([sequential_rule(requests) for requests, _ in rollouts]) > 5 * ALPHA
    assert share([sequential_rule(once) for _, once in rollouts]) <= ALPHA
