"""Which hosts does an order go to? Those of this environment, each once; whoever is missing is named."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.fleet import Fleet, Member, check_fleet, strangers
from lockgate.core.rights import Role
from lockgate.core.trust import Actor
from lockgate.errors import VerificationError
from lockgate.formats.names import Name
from tests.world import NOW, PROD, key, trust

ONE = Member(Name("host-1"), "https://host-1:8422", (PROD,), NOW)
FLEET = Fleet(Name("prod"), (ONE,), NOW)


def with_agents(*names, until=None):
    held = trust()
    more = tuple(Actor(Name(name), (Role.AGENT,), (key(name).public,), until) for name in names)
    return replace(held, actors=(*held.actors, *more))


def test_a_fleet_of_this_environment_is_taken():
    check_fleet(FLEET, trust())
    check_fleet(replace(FLEET, members=()), trust())


@pytest.mark.parametrize("spoilt", [{"environment": Name("dev")}, {"members": (ONE, replace(ONE, control=None))}])
def test_another_fleet_is_refused(spoilt):
    with pytest.raises(VerificationError):
        check_fleet(replace(FLEET, **spoilt), trust())


def test_agents_that_no_order_reaches_are_named():
    assert strangers(FLEET, with_agents("host-3", "host-2"), NOW) == [Name("host-2"), Name("host-3")]
    assert strangers(FLEET, with_agents("host-2", until=NOW), NOW) == []
    assert strangers(FLEET, with_agents("host-2", until=NOW + timedelta(1)), NOW) == [Name("host-2")]
    assert strangers(FLEET, trust(), NOW) == []
