"""Is a log that was put back noticed by everything that grants or signs, and by nothing that only stops?"""

import pytest

from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.app.publish_updates import publish_updates
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.drivers.memory import Memory
from lockgate.errors import UnavailableError
from lockgate.formats.names import Name
from tests.world import PROD, World, key

EVERYTHING = ("log", "hashes", "states", "documents", "receipts", "notes")


def backup(world: World) -> dict[str, object]:
    assert isinstance(world.memory, Memory)
    return {name: getattr(world.memory, name).copy() for name in EVERYTHING} | {"last": world.memory.last}


def restore(world: World, kept: dict[str, object], *, noticed: bool = True) -> None:
    """Put a backup back, as another database under the same address: connections are made anew."""
    assert isinstance(world.memory, Memory)
    for name, value in kept.items():
        setattr(world.memory, name, value)
    world.memory.connections += noticed


def ask(world: World) -> bool:
    stable = world.endpoint().stable
    assert stable is not None
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, stable.release),), "sealed")
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    return bool(open_grant(document, request, world.trust, world.now).granted)


@pytest.fixture
def put_back():
    """A world whose endpoint was shut down, and whose database is from before; with how to put it right."""
    world = World()
    world.serve()
    before = backup(world)
    assert world.shut_down().anchored
    after = backup(world)
    restore(world, before)
    yield world, after
    restore(world, after)
    world.installation.watch.look()
    world.check()


def test_a_database_from_before_a_shutdown_grants_nothing(put_back):
    world, _ = put_back

    assert not world.endpoint().suspended
    with pytest.raises(UnavailableError, match=r"the log is frozen: the database has 1. entries, but 1. were signed"):
        ask(world)
    assert "it was put back" in (world.installation.watch.frozen or "")


def test_it_signs_no_head_no_passport_and_no_decision(put_back):
    world, _ = put_back
    size = world.memory.size()

    for act in (
        lambda: publish_checkpoint(world.installation),
        lambda: passport_for(world.installation, PROD),
        lambda: world.register("2.0.0"),
        world.roll_back,
        lambda: publish_updates(world.installation, world.now),
    ):
        with pytest.raises(UnavailableError, match="frozen"):
            act()
    assert world.memory.size() == size


def test_a_shutdown_stands_all_the_same_and_says_that_it_is_not_anchored(put_back):
    world, _ = put_back

    receipt = world.shut_down("dave")

    assert world.endpoint().suspended
    assert receipt.anchored is False


def test_so_does_a_revocation_and_it_is_anchored_when_the_log_is_right(put_back):
    world, after = put_back

    assert world.revoke("magika@1.0.0").anchored is False
    restore(world, after)
    world.installation.watch.look()
    assert world.revoke("magika@1.0.0").anchored is True


def test_growing_past_what_was_signed_does_not_help(put_back):
    world, _ = put_back
    for _ in range(5):
        world.shut_down()

    with pytest.raises(UnavailableError, match="frozen: consistency proof"):
        world.installation.watch.look()
    with pytest.raises(UnavailableError, match="frozen"):
        ask(world)


def test_it_ends_when_the_database_is_right_again(put_back):
    world, after = put_back
    told: list[str | None] = []
    world.installation.watch.hooks.append(told.append)
    with pytest.raises(UnavailableError):
        ask(world)
    with pytest.raises(UnavailableError):
        ask(world)

    restore(world, after)
    world.installation.watch.look()

    assert ask(world) is False
    assert world.installation.watch.frozen is None
    assert (len(told), told[1]) == (2, None)


def test_a_server_that_has_just_started_asks_the_signer_before_it_grants_anything():
    from dataclasses import replace

    world = World()
    world.serve()
    before = backup(world)
    world.shut_down()
    restore(world, before)
    world.installation = replace(world.installation)

    with pytest.raises(UnavailableError, match="frozen"):
        ask(world)


def test_even_if_no_connection_was_seen_to_be_cut_a_shorter_log_is_noticed():
    world = World()
    world.serve()
    before = backup(world)
    world.shut_down()
    assert not ask(world)

    restore(world, before, noticed=False)

    with pytest.raises(UnavailableError, match="frozen"):
        ask(world)


def test_another_log_of_the_same_length_is_noticed():
    world = World()
    world.serve()
    before = backup(world)
    world.shut_down("olivia")
    assert not ask(world)
    restore(world, before, noticed=False)

    world.shut_down("dave")
    world.memory.states |= before["states"]

    with pytest.raises(UnavailableError, match="frozen: two roots at one size"):
        ask(world)


def test_a_log_that_was_emptied_is_not_founded_anew():
    world = World()
    world.serve()
    publish_checkpoint(world.installation)

    restore(world, {name: type(getattr(world.memory, name))() for name in EVERYTHING})

    with pytest.raises(UnavailableError, match="frozen: the database has 0 entries"):
        world.installation.watch.look()


def test_without_the_signer_what_is_known_goes_on_and_nothing_new_is_signed(world: World) -> None:
    world.serve()
    assert ask(world)
    world.heads.down = True

    assert ask(world)
    assert world.shut_down().anchored is False
    assert not ask(world)
    with pytest.raises(UnavailableError, match="the signer does not answer"):
        publish_checkpoint(world.installation)
    world.heads.down = False
    assert world.shut_down().anchored


def test_after_a_new_connection_nothing_is_granted_until_the_signer_has_answered(world: World) -> None:
    world.serve()
    assert ask(world)
    world.heads.down = True
    assert isinstance(world.memory, Memory)

    world.memory.connections += 1

    with pytest.raises(UnavailableError, match="the signer does not answer"):
        ask(world)
    assert world.installation.watch.frozen is None
    world.heads.down = False
    assert ask(world)


def test_a_head_that_another_server_had_signed_meanwhile_is_read_again(world: World) -> None:
    from dataclasses import replace

    world.serve()
    other = replace(world.installation)
    publish_checkpoint(world.installation)
    world.shut_down()
    publish_checkpoint(other)

    assert publish_checkpoint(world.installation).split("\n")[1] == str(world.memory.size())
    assert world.installation.watch.frozen is None


def test_a_signer_whose_key_nobody_trusts_freezes_the_log(world: World) -> None:
    from dataclasses import replace

    from lockgate.drivers.memory import MemoryHeads

    stranger = replace(world.installation, heads=MemoryHeads(world.trust.origin, key("stranger")))

    with pytest.raises(UnavailableError, match="frozen: none of the 1 signatures is by one of 1 known keys"):
        stranger.watch.look()
