"""Does no policy come into force that asks for a suite that nobody knows, whichever way it comes?"""

from dataclasses import replace

import pytest

from lockgate.app.adopt import found
from lockgate.core.policy import Evaluation
from lockgate.drivers.memory import Memory
from lockgate.errors import DeniedError
from tests.tried import add
from tests.world import PROD, World, carried, rules

UNKNOWN = "nobody knows the suite 'agentic': pin its content by `digests`, or add it first: lockgate suite add"


def asking(policy, version=2):
    ruled = replace(rules(), evaluations=(Evaluation("agentic", {"a": "1"}, 30),))
    return replace(policy, version=version, endpoints={str(PROD): ruled})


@pytest.fixture
def world():
    world = World()
    yield world
    world.check()


def test_it_is_not_proposed(world):
    with pytest.raises(DeniedError, match=UNKNOWN):
        world.propose(asking(world.policy))
    add(world, "agentic")
    world.propose(asking(world.policy))


def test_it_is_not_adopted(world):
    with pytest.raises(DeniedError, match=UNKNOWN):
        world.adopt(world.trust, asking(world.policy))
    add(world, "agentic")
    world.adopt(world.trust, asking(world.policy))
    assert world.installation.policy().document.version == 2


def test_it_is_not_the_first_one(world):
    first = carried(world.trust, asking(world.policy, 1))
    empty = World(ruled=False)
    nobody = replace(empty.installation, ledger=(log := Memory(world.trust.origin)), catalog=log)

    with pytest.raises(DeniedError, match=UNKNOWN):
        found(nobody, first, world.trust.root, world.now)


def test_what_is_in_force_already_stays(world):
    add(world, "agentic")
    world.adopt(world.trust, asking(world.policy))

    assert world.installation.suites() == {"agentic"}
    assert world.installation.policy().document.endpoints[str(PROD)].evaluations[0].suite == "agentic"
