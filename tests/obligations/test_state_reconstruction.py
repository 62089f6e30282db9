"""Is the whole state of any past instant rebuilt from the log alone, and equal to what was true then?"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from lockgate.core import endpoint as at_endpoint
from lockgate.core.change import Change
from lockgate.core.journal import Subject, change_subject, endpoint_subject, replay
from lockgate.drivers.memory import Memory
from lockgate.errors import VerificationError
from tests.world import NOW, PROD, World

HOUR = timedelta(hours=1)


def state_of(world: World) -> dict[Subject, object]:
    assert isinstance(world.memory, Memory)
    return {subject: held[0] for subject, held in world.memory.states.items()}


def rebuilt(world: World, *, until=None):
    return replay(world.memory.entries(0, world.memory.size()), until=until)


def test_every_past_state_is_rebuilt_as_it_was(world: World) -> None:
    acts: list[Callable[[], object]] = [
        lambda: world.serve("1.0.0"),
        lambda: world.serve("1.1.0"),
        world.roll_back,
        world.shut_down,
        lambda: world.register("1.2.0"),
    ]
    then = [(world.now, state_of(world))]
    for act in acts:
        world.now += HOUR
        act()
        then.append((world.now, state_of(world)))

    for at, state in then:
        assert rebuilt(world, until=at) == rebuilt(world, until=at + HOUR - timedelta(microseconds=1)) == state
    assert rebuilt(world) == state_of(world) and rebuilt(world, until=NOW - HOUR) == {}


def test_digests_approvals_and_decision_are_part_of_the_state(world: World) -> None:
    release = world.serve()
    states = rebuilt(world)

    endpoint = states[endpoint_subject(PROD)]
    assert isinstance(endpoint, at_endpoint.State) and endpoint.stable is not None
    change = states[change_subject(endpoint.stable.change)]
    assert isinstance(change, Change)
    assert endpoint.stable.release == release.digest and change.decision == endpoint.stable.decision
    assert [str(approval.by) for approval in change.approvals] == ["bob", "carol"] and change.phase == "closed"


def test_a_log_with_a_backdated_entry_is_not_believed() -> None:
    world = World()
    world.now += HOUR
    world.serve()
    log = list(world.memory.entries(0, world.memory.size()))
    earlier = log[-1].replace(b"2026-11-21T13:", b"2026-11-21T11:")

    assert earlier != log[-1]
    with pytest.raises(VerificationError, match="earlier than the one before it"):
        replay([*log[:-1], earlier])
