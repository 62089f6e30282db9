"""May a release that another replaced finish what it began, and only that, and only on the lease that it has?"""

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lockgate.agent import renewing
from lockgate.agent.holdings import Holdings
from lockgate.agent.shares import traffic_of
from lockgate.core.lease import Superseded
from lockgate.errors import DeniedError
from lockgate.loader.control import Stop
from lockgate.loader.lease_clock import NANOSECONDS
from tests.agent.runs import CANDIDATE, NOW_NS, STABLE, run
from tests.world import PROD

BY = Superseded(PROD, STABLE.release, STABLE.epoch, CANDIDATE.release)


@pytest.fixture
def former():
    return run(STABLE)


@pytest.fixture
def node(former):
    """An agent whose gateway is open, with one run."""
    found = SimpleNamespace(holdings=Holdings(), routing=SimpleNamespace(gateway=object()), ending=threading.Event())
    found.holdings.add(former)
    return found


def hear(node, monkeypatch, answer, claim):
    """Ask once, and be answered like this."""
    node.quick = node.control = node.host = None
    node.heard = lambda: None
    monkeypatch.setattr(renewing, "ask_leases", lambda *_: {claim: answer})
    monkeypatch.setattr(renewing, "boot_now", lambda: NOW_NS)
    renewing.ask(node, [claim])


def routes(*holdings, now_ns=NOW_NS):
    return {str(each.tag): (each.weight, each.finishing) for one in traffic_of(holdings, now_ns) for each in one.routes}


def test_what_is_superseded_keeps_its_lease_and_gets_nothing_new(node, former, monkeypatch):
    before = former.held
    hear(node, monkeypatch, BY, former.claim)

    assert former.superseded and former.channel.words == []
    assert (former.held.sent_at_ns, former.held.deadline_ns) == (before.sent_at_ns, before.deadline_ns)
    assert routes(former, run(CANDIDATE, candidate=False, since=1)) == {
        "magika@1.0.0": (0, True),
        "magika@1.1.0": (100, False),
    }
    assert routes(former) == {"magika@1.0.0": (0, True)}
    assert routes(former, now_ns=before.deadline_ns) == {}


def test_no_lease_renews_what_was_superseded_whenever_it_was_asked_for(node, former, monkeypatch):
    hear(node, monkeypatch, BY, former.claim)
    before = former.held

    node.holdings.lease(former.claim, replace(before, sent_at_ns=NOW_NS, deadline_ns=NOW_NS + 90 * NANOSECONDS))

    assert former.held is before and former.channel.words == []


def test_it_is_asked_about_again_to_hear_of_a_shutdown_and_not_without_pause(node, former, monkeypatch):
    hear(node, monkeypatch, BY, former.claim)

    assert not former.is_due(NOW_NS + 9 * NANOSECONDS) and former.is_due(NOW_NS + 10 * NANOSECONDS)
    hear(node, monkeypatch, DeniedError("suspended"), former.claim)
    assert former.channel.words == [Stop(("suspended",), 5)] and node.holdings.all() == ()


@pytest.mark.parametrize("spoilt", ["no gateway", "not open", "no lease", "lease over", "not started"])
def test_without_a_lease_to_finish_on_or_a_gateway_that_keeps_others_away_it_stops(node, former, monkeypatch, spoilt):
    match spoilt:
        case "no gateway":
            node.routing = None
        case "not open":
            node.routing.gateway = None
        case "no lease":
            former.held = None
        case "lease over":
            former.held = replace(former.held, deadline_ns=NOW_NS)
        case _:
            former.serving = False

    hear(node, monkeypatch, BY, former.claim)

    (stop,) = former.channel.words
    assert isinstance(stop, Stop) and "took the place" in stop.reasons[0] and node.holdings.all() == ()


def test_a_run_of_the_same_release_that_came_back_goes_before_the_one_that_finishes(node, former, monkeypatch):
    hear(node, monkeypatch, BY, former.claim)

    assert routes(former, run(STABLE, port=9009, since=1)) == {"magika@1.0.0": (100, False)}


def test_callers_stay_by_the_header_of_the_newest_grant_of_the_candidate():
    stable, candidate = run(STABLE, weight=80), run(CANDIDATE, weight=20)
    candidate.held = replace(candidate.held, sticky_by="x-user")

    assert [one.sticky_by for one in traffic_of([stable, candidate], NOW_NS)] == ["x-user"]
    assert [one.sticky_by for one in traffic_of([stable], NOW_NS)] == [None]
