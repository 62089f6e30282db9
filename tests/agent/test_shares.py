"""How much does each run of a host get? What its newest signed lease says, and a candidate never more."""

from dataclasses import replace

import pytest

from lockgate.agent.shares import traffic_of, weighed
from lockgate.core.report import NOTHING, Counted
from lockgate.core.traffic import Address
from lockgate.loader.lease_clock import NANOSECONDS, Held
from tests.agent.runs import CANDIDATE, NOW_NS, OTHER, STABLE, run


def shares(*running, now_ns=NOW_NS):
    return {
        (str(one.endpoint), str(route.tag)): route.weight for one in traffic_of(running, now_ns) for route in one.routes
    }


def test_a_stable_release_alone_gets_everything():
    (traffic,) = traffic_of([run(STABLE)], NOW_NS)
    (route,) = traffic.routes
    assert (route.weight, route.address, route.until_ns) == (
        100,
        Address("127.0.0.1", 9001),
        run(STABLE).held.deadline_ns,
    )
    assert traffic.stable == STABLE.release


def test_a_stable_release_whose_candidate_is_elsewhere_gets_everything_here():
    assert shares(run(STABLE, weight=80)) == {("prod/magika", "magika@1.0.0"): 100}


def test_a_candidate_alone_gets_its_weight_and_no_more():
    assert shares(run(CANDIDATE, weight=20)) == {("prod/magika", "magika@1.1.0"): 20}


def test_of_two_the_candidate_gets_its_weight_and_the_stable_one_the_rest():
    traffic = traffic_of([run(CANDIDATE, weight=5, since=1), run(STABLE, weight=95)], NOW_NS)[0]
    assert [(str(route.tag), route.weight) for route in traffic.routes] == [("magika@1.0.0", 95), ("magika@1.1.0", 5)]
    assert traffic.stable == STABLE.release


@pytest.mark.parametrize(
    ("stable", "candidate", "given"),
    [
        ((90, 0), (10, 0), 10),
        ((100, 0), (10, 1), 10),  # the candidate was asked for later: it has just begun
        ((100, 1), (10, 0), 0),  # the stable one was: it is over
        ((80, 1), (10, 0), 10),  # it has climbed, and its own lease does not say so yet
        ((0, 0), (100, 0), 100),
        ((0, 1), (100, 0), 100),
    ],
)
def test_where_two_leases_differ_the_candidate_gets_the_least(stable, candidate, given):
    found = shares(
        run(STABLE, weight=stable[0], later=stable[1]), run(CANDIDATE, weight=candidate[0], later=candidate[1])
    )
    assert found == {("prod/magika", "magika@1.0.0"): 100 - given, ("prod/magika", "magika@1.1.0"): given}


def test_a_candidate_that_was_promoted_takes_over_from_the_one_that_is_still_there():
    promoted = run(CANDIDATE, candidate=False, weight=100, later=1)
    assert shares(run(STABLE), promoted) == {("prod/magika", "magika@1.0.0"): 0, ("prod/magika", "magika@1.1.0"): 100}


def test_two_runs_of_one_release_are_one_route_to_the_one_that_came_first():
    (traffic,) = traffic_of([run(STABLE, port=9002, since=1), run(STABLE)], NOW_NS)
    assert [route.address.port for route in traffic.routes] == [9001]


def test_two_runs_at_one_port_are_one_address_of_the_one_that_came_first():
    elsewhere = replace(STABLE, endpoint=OTHER)
    assert shares(run(STABLE), run(elsewhere, since=1)) == {("prod/magika", "magika@1.0.0"): 100}


def test_endpoints_do_not_mix():
    elsewhere = replace(STABLE, endpoint=OTHER)
    assert shares(run(STABLE, weight=80), run(elsewhere, port=9002)) == {
        ("prod/magika", "magika@1.0.0"): 100,
        ("prod/other", "magika@1.0.0"): 100,
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: setattr(one, "held", None),
        lambda one: setattr(one, "serving", False),
        lambda one: setattr(one, "answers", False),
        lambda one: setattr(one, "port", None),
        lambda one: one.ended.set(),
        lambda one: setattr(one, "held", Held(NOW_NS + 1, NOW_NS + 2, NOW_NS + 3 * NANOSECONDS)),
        lambda one: setattr(one, "held", replace(one.held, deadline_ns=NOW_NS)),
    ],
)
def test_what_does_not_serve_on_a_lease_gets_nothing(spoil):
    one = run(STABLE)
    assert shares(one)
    spoil(one)
    assert shares(one) == {}


def test_the_grace_that_the_policy_gives_is_for_requests_too():
    one = run(STABLE, grace=5)
    (traffic,) = traffic_of([one], one.held.deadline_ns + 4 * NANOSECONDS)
    assert traffic.routes[0].until_ns == one.held.deadline_ns + 5 * NANOSECONDS
    assert traffic_of([one], one.held.deadline_ns + 5 * NANOSECONDS) == ()


def test_what_is_counted_says_which_share_it_gets_and_what_was_never_asked_is_named():
    counts = replace(NOTHING, requests=3)
    counted = (Counted(STABLE.endpoint, STABLE.release, counts), Counted(OTHER, STABLE.release, counts))
    shown = traffic_of([run(CANDIDATE, weight=5), run(STABLE, weight=95)], NOW_NS)

    found = {(one.endpoint, one.release, one.weight, one.counts.requests) for one in weighed(counted, shown)}
    here = STABLE.endpoint
    assert found == {(here, STABLE.release, 95, 3), (here, CANDIDATE.release, 5, 0), (OTHER, STABLE.release, 0, 3)}
    assert {one.weight for one in weighed(counted, ())} == {0}
