"""How often is a rollout rolled back for nothing where users stay with a release, and how soon for something?"""

import os

import numpy as np
import pytest

pytest.importorskip("lockgate.drivers.envoy")

from tests.judged import Crowd, rollout
from tests.simulated import ALPHA, sequential_rule, share

pytestmark = pytest.mark.slow
MORE = 10 if os.environ.get("LOCKGATE_SOAK") else 1


def played(seed, count, **crowd):
    """Play so many rollouts; give at which second each was rolled back by users, and by requests."""
    dice = np.random.default_rng(seed)
    both = [rollout(dice, Crowd(**crowd)) for _ in range(count * MORE)]
    return [ended for ended, _ in both], [sequential_rule(requests) for _, requests in both]


@pytest.mark.parametrize("gateways", [1, 3])
def test_healthy_candidates_are_rolled_back_by_requests_and_not_by_users(gateways):
    users, requests = played(11 + gateways, 25, gateways=gateways, looks=180)

    assert share(users) <= ALPHA
    assert share(requests) > 5 * ALPHA


def test_a_candidate_that_is_bad_for_everybody_is_found_by_its_users():
    users, _ = played(14, 20, worse=0.3, looks=90)

    assert share(users) == 1
    assert sorted(users)[len(users) // 2] <= 120
