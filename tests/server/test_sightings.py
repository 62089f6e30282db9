"""What does a server remember of its hosts? The newest of each, however much another one says."""

from datetime import timedelta

import pytest

from lockgate.app.grant_leases import Answered
from lockgate.core.halt import Halt
from lockgate.core.lease import Grant, Refused, Request, Want
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.server import sightings
from lockgate.server.sightings import Sightings
from tests.world import NOW, PROD

MODEL = Digest.of(b"a")


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(sightings, "MOST", 4)
    return Sightings()


def asked(node, *endpoints):
    wants = tuple(Want(endpoint, MODEL) for endpoint in endpoints)
    refused = tuple(Refused(endpoint, MODEL, "unknown") for endpoint in endpoints)
    return Answered(Request(Name(node), "n" * 16, wants, "sealed"), Grant(Name(node), "n" * 16, (), refused), b"")


def halt(node, endpoint):
    return Halt(Name(node), endpoint, (), "none", None, NOW)


def test_a_node_that_invents_endpoints_forgets_its_own_oldest_and_nobody_elses(seen):
    invented = [Endpoint.parse(f"prod/x{number}") for number in range(9)]
    seen.see([asked("host-1", PROD)], NOW)
    seen.hear(halt("host-1", PROD), NOW)

    seen.see([asked("host-2", *invented)], NOW)
    for endpoint in invented:
        seen.hear(halt("host-2", endpoint), NOW)

    kept = [("host-1", PROD), *(("host-2", endpoint) for endpoint in invented[-4:])]
    assert [(str(one.node), one.endpoint) for one in seen.listing(NOW)] == kept
    assert [(str(one.halt.node), one.halt.endpoint) for one in seen.halts(NOW)] == kept


def test_what_is_said_again_is_the_newest(seen):
    places = [Endpoint.parse(f"prod/x{number}") for number in range(4)]
    seen.see([asked("host-1", *places)], NOW)
    seen.see([asked("host-1", places[0])], NOW + timedelta(seconds=1))
    seen.see([asked("host-1", PROD)], NOW + timedelta(seconds=2))

    assert {one.endpoint for one in seen.listing(NOW)} == {PROD, places[0], *places[2:]}


def test_what_is_older_than_a_day_is_not_listed(seen):
    seen.see([asked("host-1", PROD)], NOW)
    seen.hear(halt("host-1", PROD), NOW)

    assert seen.listing(NOW + timedelta(hours=23)) and seen.halts(NOW + timedelta(hours=23))
    assert not seen.listing(NOW + timedelta(days=1)) and not seen.halts(NOW + timedelta(days=1))
