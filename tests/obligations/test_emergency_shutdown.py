"""Does one authorised hand stop an endpoint, whatever else is going on, until a new approved change resumes it?"""

from datetime import timedelta
from pathlib import Path

import pytest

from lockgate.agent.grant_book import GrantBook
from lockgate.agent.tethers import Leave, Scope, Tethers
from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.core.binding import Holder
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.release import Release
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.host_wiring import Wired
from tests.bound import InMemory
from tests.guarded import CRITICAL, Watched
from tests.warning import warn
from tests.world import NOW, PROD, World, key


def granted(world: World, release: Release) -> int:
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, release.digest),), "sealed")
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    return len(open_grant(document, request, world.trust, world.now).granted)


def resume(world: World, release: Release, *, resumes: bool = True) -> None:
    number = world.open(release, resumes=resumes)
    world.approve(number)
    world.activate(number)


@pytest.mark.parametrize("who", ["olivia", "dave", "ann"])
def test_from_the_moment_of_the_shutdown_nobody_gets_a_lease_or_a_passport(world: World, who: str) -> None:
    release = world.serve()
    assert granted(world, release) == 1

    world.shut_down(who)

    assert granted(world, release) == 0
    with pytest.raises(DeniedError, match="prod/magika is suspended"):
        passport_for(world.installation, PROD)


@pytest.mark.parametrize("who", ["alice", "bob", "ci", "host-1"])
def test_who_has_no_right_stops_nothing(world: World, who: str) -> None:
    release = world.serve()

    with pytest.raises(DeniedError, match=f"{who} has no right to endpoint"):
        world.shut_down(who)
    assert granted(world, release) == 1


def test_a_shutdown_needs_neither_a_policy_nor_documents_that_are_current(world: World) -> None:
    world.serve()
    world.now = world.trust.expires + timedelta(days=1)

    world.shut_down()
    assert world.endpoint().suspended


def test_a_shutdown_can_be_repeated_and_comes_before_anything_served(world: World) -> None:
    world.shut_down()
    world.shut_down("dave")

    release = world.register()
    world.attest(release)
    with pytest.raises(DeniedError, match="a change that resumes it is needed"):
        resume(world, release, resumes=False)


def test_a_change_that_was_approved_before_does_not_resume(world: World) -> None:
    world.serve("1.0.0")
    release = world.register("1.1.0")
    world.attest(release)
    number = world.open(release)
    world.approve(number)
    world.shut_down()

    with pytest.raises(DeniedError, match="a change that resumes it is needed"):
        world.activate(number)
    assert granted(world, release) == 0


def test_a_new_approved_change_resumes(world: World) -> None:
    release = world.serve()
    world.shut_down()

    resume(world, release)
    assert granted(world, release) == 1 and world.admit().permit.release.digest == release.digest


def test_nobody_opens_a_resuming_change_in_advance(world: World) -> None:
    release = world.serve()

    with pytest.raises(DeniedError, match="is not suspended, so nothing is to be resumed"):
        world.open(release, resumes=True)


def test_a_forged_order_stops_nothing(world: World) -> None:
    from lockgate.app.shut_down import shut_down
    from lockgate.core.intent import Intent, sign_intent

    release = world.serve()
    word = Intent(
        "endpoint.suspend", str(PROD), None, None, Name("olivia"), "0123456789abcdef", world.now + timedelta(1)
    )

    with pytest.raises(VerificationError):
        shut_down(world.installation, PROD, sign_intent(word, key("mallory")), world.now)
    assert granted(world, release) == 1


def test_a_rule_of_the_policy_stops_an_endpoint_without_any_hand() -> None:
    watched = Watched(CRITICAL)
    warn(watched.world, "security", "high")
    watched.look()
    assert granted(watched.world, watched.release) == 1

    warn(watched.world, "security", "critical")
    watched.look()

    assert granted(watched.world, watched.release) == 0
    with pytest.raises(DeniedError, match="prod/magika is suspended"):
        passport_for(watched.world.installation, PROD)
    resume(watched.world, watched.release)
    assert granted(watched.world, watched.release) == 1


def test_what_the_endpoint_holds_is_cut_and_tried_whatever_one_of_the_systems_does(tmp_path: Path) -> None:
    systems = {name: InMemory() for name in ("memory", "liar", "gone")}
    tethers = Tethers({Name(name): Wired("webhook", each) for name, each in systems.items()}, GrantBook(tmp_path))
    holder = Holder(PROD, Name("host-1"), Digest.of(b"a"))
    for tether in tethers.all.values():
        tethers.grant(tether, Leave(holder, NOW), tethers.fence(PROD))
    systems["liar"].trouble, systems["gone"].trouble = "lies", "down"

    severed = tethers.sever(Scope(PROD)).result(tethers) or ()

    assert {str(one.name): one.state for one in severed} == {"memory": "cut", "liar": "open", "gone": "unknown"}
    with pytest.raises(DeniedError, match="was to be cut"):
        tethers.grant(tethers.all[Name("liar")], Leave(holder, NOW), tethers.fence(PROD))
