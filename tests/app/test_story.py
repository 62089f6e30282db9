"""Does the life of a release go through all floors, from its signature to the passport that a host judges?"""

import pytest

from lockgate.app.shut_down import shut_down
from lockgate.errors import DeniedError
from lockgate.formats.names import Endpoint
from tests.world import World


def test_a_release_is_registered_attested_approved_activated_and_admitted(world: World) -> None:
    release = world.serve("1.0.0")

    admission = world.admit()

    assert admission.permit.release.digest == release.digest
    assert [str(name) for name in admission.decision.authorized_by] == ["bob", "carol"]


def test_a_rollback_restores_the_former_release_and_its_passport_is_admitted(world: World) -> None:
    first = world.serve("1.0.0")
    world.serve("1.1.0")

    world.roll_back()

    assert world.admit().permit.release.digest == first.digest


def test_after_a_shutdown_nothing_is_issued_until_a_new_approved_change_resumes(world: World) -> None:
    release = world.serve("1.0.0")
    world.shut_down()
    with pytest.raises(DeniedError, match="suspended"):
        world.admit()

    number = world.open(release, resumes=True)
    world.approve(number)
    world.activate(number)

    assert world.admit().permit.release.digest == release.digest


def test_an_endpoint_of_another_environment_cannot_be_suspended_here(world: World) -> None:
    elsewhere = Endpoint.parse("dev/magika")
    said = world.say("olivia", "endpoint.suspend", elsewhere)

    with pytest.raises(DeniedError, match="not of this installation"):
        shut_down(world.installation, elsewhere, said, world.now)
