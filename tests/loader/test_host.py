"""What does a serving host remember, so that nobody can take it back in time?"""

from dataclasses import replace

import pytest

from lockgate.app.issue_passport import passport_for
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.errors import VerificationError
from lockgate.loader.host import open_host
from lockgate.tlog.tiles import TilePath
from tests.rolling import begin, order, try_candidate
from tests.world import NOW, PROD, World, host_home


class Tiles:
    """The hash tiles and the head of a world, as its server publishes them."""

    def __init__(self, world):
        self.world = world

    def fetch(self, path):
        if path == "/log/checkpoint":
            return publish_checkpoint(self.world.installation).encode()
        tile = TilePath.parse(path.removeprefix("/log/"))
        return self.world.memory.tile(tile.level, tile.n, tile.width)


@pytest.fixture
def home(tmp_path, world):
    return host_home(tmp_path, updates=world.feed(tmp_path / "feed"))


def seen(home, world, admission):
    open_host(home, NOW).remember(admission, Tiles(world))


def test_what_was_judged_can_be_judged_again(home, world: World):
    world.serve("1.0.0")
    for _ in range(2):
        seen(home, world, world.admit())
    world.serve("1.1.0")

    seen(home, world, world.admit())


def test_a_log_that_was_set_back_is_refused(home, world: World):
    world.serve("1.0.0")
    old = world.admit()
    world.serve("1.1.0")
    seen(home, world, world.admit())

    with pytest.raises(VerificationError, match="it was set back"):
        seen(home, world, old)


def test_a_log_of_the_same_size_and_another_root_is_refused(home, world: World):
    world.serve("1.0.0")
    admission = world.admit()
    seen(home, world, admission)
    other = World()
    other.serve("1.0.0")

    with pytest.raises(VerificationError):
        seen(home, other, other.admit())


def test_a_release_that_was_replaced_is_not_brought_back_under_a_newer_head(home, world: World):
    world.serve("1.0.0")
    former = passport_for(world.installation, PROD)
    world.serve("1.1.0")
    newest = world.admit()
    seen(home, world, newest)

    stolen = replace(world.admit(former), checkpoint=newest.checkpoint)

    with pytest.raises(VerificationError, match=f"this host has seen entry {newest.epoch}"):
        seen(home, world, stolen)


def test_a_change_of_what_was_before_is_not_carried_out_after_it(home, world: World):
    world.serve("1.0.0")
    opened = world.admit()
    world.serve("1.1.0")
    newest = world.admit()
    seen(home, world, newest)
    late = replace(newest, epoch=newest.epoch + 1, checkpoint=newest.checkpoint)
    for follows in (-1, opened.epoch, newest.epoch - 1):
        with pytest.raises(VerificationError, match=f"this host has seen entry {newest.epoch} since"):
            seen(home, world, replace(late, follows=follows))

    seen(home, world, newest)
    seen(home, world, replace(late, follows=newest.epoch))


def test_a_rollback_is_later_not_earlier(home, world: World):
    world.serve("1.0.0")
    world.serve("1.1.0")
    seen(home, world, world.admit())
    world.roll_back()

    seen(home, world, world.admit())


@pytest.mark.parametrize("document", ["trust", "policy"])
def test_documents_older_than_those_judged_by_before_are_refused(home, world: World, document):
    world.serve("1.0.0")
    seen(home, world, world.admit())
    known = (home / "seen.json").read_text()
    (home / "seen.json").write_text(known.replace(f'"{document}":1', f'"{document}":2'))

    with pytest.raises(VerificationError, match="older than one that this host judged by before"):
        open_host(home, NOW)


def test_a_candidate_and_the_stable_release_are_remembered_beside_each_other(home, world):
    world.serve("1.0.0")
    seen(home, world, world.admit())
    begin(world)
    for _ in range(2):
        seen(home, world, try_candidate(world))
        seen(home, world, world.admit())
    order(world, "abort")

    seen(home, world, world.admit())
    open_host(home, NOW).look(Tiles(world), NOW)
    begin(world, "1.2.0")
    seen(home, world, try_candidate(world))
    order(world, "promote")
    seen(home, world, world.admit())


def test_a_candidate_from_before_another_one_is_not_brought_back(home, world: World):
    begin(world)
    aborted = passport_for(world.installation, PROD, candidate=True)
    order(world, "abort")
    begin(world, "1.2.0")
    newest = try_candidate(world)
    seen(home, world, newest)

    stolen = replace(try_candidate(world, aborted), checkpoint=newest.checkpoint)
    with pytest.raises(VerificationError, match=f"this host has seen entry {newest.epoch}"):
        seen(home, world, stolen)


@pytest.mark.parametrize("again", [False, True], ids=["promoted", "promoted and rolled back"])
def test_what_was_stable_once_is_not_brought_back_as_a_candidate(home, world: World, again):
    begin(world)
    former = passport_for(world.installation, PROD, candidate=True)
    order(world, "promote")
    if again:
        world.roll_back()
    newest = world.admit()
    seen(home, world, newest)

    stolen = replace(try_candidate(world, former), checkpoint=newest.checkpoint)
    with pytest.raises(VerificationError, match="this host has seen entry"):
        seen(home, world, stolen)
