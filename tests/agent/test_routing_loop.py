"""Is what the gateway shows what the host holds, whatever fails, and is what was cut left cut?"""

import threading
import time
from datetime import UTC, datetime

import pytest

from lockgate.agent import routing
from lockgate.agent.holdings import Holdings
from lockgate.agent.routing import Routing
from lockgate.core.traffic import Cut
from lockgate.errors import ConflictError, UnavailableError
from lockgate.loader.control import Stop
from lockgate.loader.lease_clock import NANOSECONDS, Held
from tests.agent.runs import CANDIDATE, STABLE, run
from tests.world import PROD


class RecordingGateway:
    """A gateway that routes nothing: what it was shown last, what was cut, and by which fences."""

    def __init__(self, *, fail_closed=True):
        self.fail_closed, self.closed = fail_closed, False
        self.least, self.shown, self.cuts = 0, {}, []
        self.ill, self.while_showing = None, lambda: None

    def show(self, traffic, *, fence):
        self.while_showing()
        if fence < self.least:
            raise ConflictError("older than a cut")
        self.least, self.shown = fence, {one.endpoint: one for one in traffic}
        if self.ill:
            raise self.ill

    def cut(self, endpoint, *, fence):
        self.least = max(self.least, fence + 1)
        self.cuts.append(endpoint)
        self.shown.pop(endpoint, None)
        if self.ill:
            raise self.ill
        return Cut(endpoint, datetime.now(UTC))

    def close(self):
        self.closed = True

    def weights(self):
        return {str(route.tag): route.weight for one in self.shown.values() for route in one.routes}


class Owner:
    def __init__(self):
        self.holdings, self.ending, self.worries = Holdings(), threading.Event(), {}

    def worry(self, about, what):
        self.worries[about] = what

    def fine(self, about):
        self.worries.pop(about, None)


def current(kind, **more):
    """Make a run whose lease is of now."""
    found, now = run(kind, **more), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    lease = found.held
    found.held = Held(now, now + 10 * NANOSECONDS, now + 30 * NANOSECONDS, lease.weight, lease.candidate)
    return found


@pytest.fixture
def owner():
    found = Owner()
    found.shared = set()
    return found


@pytest.fixture
def gateway():
    return RecordingGateway()


@pytest.fixture
def routed(owner, gateway):
    found = Routing(owner, "127.0.0.1:8421", lambda: gateway, lambda pid, *_: pid not in owner.shared)
    found.gateway = gateway
    return found


def test_what_is_held_is_shown_and_what_is_not_is_cut(owner, gateway, routed):
    holding = current(STABLE)
    owner.holdings.add(holding)
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 100}

    owner.holdings.stop(PROD, Stop(("no",), 0))
    routed.look()
    assert gateway.cuts == [PROD] and gateway.weights() == {}
    routed.look()
    assert gateway.shown[PROD].routes == (), "it is known here, and answered 503"


def test_a_run_at_whose_port_somebody_else_answers_too_gets_nothing_until_it_is_alone(owner, gateway, routed):
    owner.holdings.add(current(STABLE))
    routed.look()
    owner.shared.add(1)
    routed.look()
    assert gateway.weights() == {} and gateway.cuts == [PROD]

    owner.shared.clear()
    routed.look()
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 100}


def test_what_did_not_change_is_not_shown_again(owner, gateway, routed):
    owner.holdings.add(current(STABLE))
    routed.look()
    before = gateway.least
    routed.look()
    assert gateway.least == before


def test_a_new_weight_is_shown_at_once_and_nothing_is_cut(owner, gateway, routed):
    stable, candidate = current(STABLE, weight=95), current(CANDIDATE, weight=5)
    for each in (stable, candidate):
        owner.holdings.add(each)
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 95, "magika@1.1.0": 5}

    owner.holdings.changed.clear()
    for each, weight in ((stable, 50), (candidate, 50)):
        last = each.held
        owner.holdings.lease(
            each.claim, Held(last.sent_at_ns + 1, last.renew_at_ns, last.deadline_ns, weight, each is candidate)
        )
    assert owner.holdings.changed.is_set()
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 50, "magika@1.1.0": 50} and gateway.cuts == []


def test_an_aborted_candidate_goes_and_the_stable_release_is_not_cut(owner, gateway, routed):
    stable, candidate = current(STABLE, weight=95), current(CANDIDATE, weight=5)
    for each in (stable, candidate):
        owner.holdings.add(each)
    routed.look()
    owner.holdings.stop(PROD, Stop(("aborted",), 5), candidate.claim)
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 100} and gateway.cuts == []


def test_what_was_worked_out_before_a_cut_is_not_shown_after_it(owner, gateway, routed):
    owner.holdings.add(current(STABLE))

    def ordered():
        gateway.while_showing = lambda: None
        owner.holdings.stop(PROD, Stop(("ordered",), 0))
        routed.cut(PROD)

    gateway.while_showing = ordered
    routed.look()
    assert gateway.weights() == {}
    for _ in range(3):
        routed.look()
    assert gateway.weights() == {} and owner.worries == {}


def test_what_is_cut_while_the_loop_looks_is_not_shown(owner, gateway, routed):
    owner.holdings.add(current(STABLE))
    looked = owner.holdings.all

    def looked_too_early():
        owner.holdings.all = looked
        found = looked()
        owner.holdings.stop(PROD, Stop(("ordered",), 0))
        routed.cut(PROD)
        return found

    owner.holdings.all = looked_too_early
    routed.look()
    assert gateway.weights() == {}
    routed.look()
    assert gateway.weights() == {} and owner.worries == {}


def test_a_run_that_comes_after_a_cut_is_shown(owner, gateway, routed):
    owner.holdings.add(current(STABLE))
    routed.look()
    owner.holdings.stop(PROD, Stop(("ordered",), 0))
    routed.cut(PROD)
    routed.look()
    owner.holdings.add(current(STABLE))
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 100}


def test_what_was_not_confirmed_is_shown_again_and_said(owner, gateway, routed):
    gateway.ill = UnavailableError("Envoy is away")
    owner.holdings.add(current(STABLE))
    routed.look()
    assert "Envoy is away" in owner.worries["gateway"]

    gateway.ill, gateway.shown = None, {}
    routed.look()
    assert gateway.weights() == {"magika@1.0.0": 100} and owner.worries == {}


def test_what_may_have_been_shown_is_cut_when_it_goes(owner, gateway, routed):
    gateway.ill = UnavailableError("Envoy is slow")
    owner.holdings.add(current(STABLE))
    routed.look()
    owner.holdings.stop(PROD, Stop(("no",), 0))
    routed.look()
    assert gateway.cuts == [PROD]


def test_a_gateway_that_was_not_seen_to_fail_closed_is_shown_nothing(owner, monkeypatch):
    monkeypatch.setattr(routing, "_AGAIN_SECONDS", 0)
    opened = []

    def open_gateway():
        opened.append(RecordingGateway(fail_closed=False))
        if len(opened) == 2:
            owner.ending.set()
        return opened[-1]

    owner.holdings.add(current(STABLE))
    Routing(owner, "127.0.0.1:8421", open_gateway).route_until_the_end()
    assert [one.closed for one in opened] == [True, True]
    assert all(one.shown == {} for one in opened) and "nothing is routed" in owner.worries["gateway"]


def test_a_gateway_that_does_not_open_is_said_and_nothing_is_cut(owner, monkeypatch):
    monkeypatch.setattr(routing, "_AGAIN_SECONDS", 0)

    def open_gateway():
        owner.ending.set()
        raise UnavailableError("no Envoy here")

    found = Routing(owner, "127.0.0.1:8421", open_gateway)
    found.route_until_the_end()
    assert "no Envoy here" in owner.worries["gateway"] and found.cut(PROD) is None


def test_a_cut_waits_for_no_loop(owner, gateway, routed):
    assert routed.cutting(PROD).result(10).endpoint == PROD
    routed.close()
    assert gateway.closed and routed.cut(PROD) is None
