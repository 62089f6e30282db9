"""Is it seen that what an endpoint would go back to is not whole any more, written once, and said again when it is?"""

import threading
from datetime import timedelta

import pytest

from lockgate.app.examine import damaged
from lockgate.controllers.targets import EVERY, LEASE, Targets, look_kept
from lockgate.core.journal import read_fact
from lockgate.core.notice import notice_of
from lockgate.core.preservation import AGAIN, SOON, Examined
from lockgate.core.wrap import Kek
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from tests.rolling import begin
from tests.world import PROD, World

WEIGHTS = Digest.of(b"weights 1.0.0")


@pytest.fixture
def world():
    found = World()
    found.memory.clock = lambda: found.now
    found.serve("1.0.0")
    found.serve("1.1.0")
    yield found
    found.check()


def controller(world, holder="a"):
    return Targets(world.installation, lambda: world.now, holder=holder, pace=1 << 40)


def look(world, after=EVERY):
    """Let time go by, and a controller that was just started look."""
    world.now += after
    controller(world).look()
    return look_kept(world.installation, PROD)


def said(world):
    entries = enumerate(world.memory.entries(0, world.memory.size()))
    return [(event, entry) for _, entry in entries for event in [read_fact(entry)[1]] if isinstance(event, Examined)]


def flip(world, at=-1):
    content = bytearray(world.blobs.blobs[WEIGHTS])
    content[at] ^= 1
    world.blobs.blobs[WEIGHTS] = bytes(content)


def cut_short(world):
    world.blobs.blobs[WEIGHTS] = world.blobs.blobs[WEIGHTS][:-1]


def lose(world):
    del world.blobs.blobs[WEIGHTS]


def lose_key(world):
    del world.vault.keys[Kek.of_release(world.record("magika@1.0.0").release)]


def destroy_key(world):
    world.vault.destroy(Kek.of_release(world.record("magika@1.0.0").release))


def silence(world):
    def wraps(_digest):
        raise UnavailableError("the store does not answer")

    world.blobs.wraps = wraps


def empty_vault(world):
    world.vault.keys.clear()


def test_what_is_whole_is_looked_at_and_nothing_is_written(world):
    found = look(world)
    assert (found.finding, found.files, found.flaws, said(world)) == ("whole", 2, (), [])
    assert list(damaged(world.installation)) == []


@pytest.mark.parametrize(
    ("damage", "what", "file"),
    [
        (flip, "bytes", "weights/model.onnx"),
        (lambda world: flip(world, 40), "bytes", "weights/model.onnx"),
        (cut_short, "bytes", "weights/model.onnx"),
        (lose, "gone", "weights/model.onnx"),
        (lose_key, "key", "config/config.json"),
        (destroy_key, "key", "config/config.json"),
        (lambda world: world.revoke("magika@1.0.0"), "revoked", None),
        (lambda world: world.revoke("components"), "signature", None),
    ],
    ids=["last byte", "some byte", "truncated", "gone", "key gone", "key destroyed", "revoked", "signer revoked"],
)
def test_each_damage_is_written_once_with_what_differs_and_told(world, damage, what, file):
    damage(world)
    found = look(world)
    look(world, AGAIN)
    ((event, entry),) = said(world)

    assert found.finding == event.finding == "damaged" and event.release == world.endpoint().former.release
    assert {flaw.what for flaw in event.flaws} == {what} and event.flaws[0].file == file
    if what == "bytes":
        stored = Digest.of(world.blobs.blobs[WEIGHTS])
        assert (event.flaws[0].wanted, event.flaws[0].found, event.flaws[0].stored) == (WEIGHTS, None, stored)
    notice = notice_of(entry, 9, "prod", str)
    assert notice is not None and notice.title == "Lockgate prod: way back damaged"
    assert [one.release for one in damaged(world.installation)] == [event.release]


@pytest.mark.parametrize("damage", [silence, empty_vault], ids=["store", "vault"])
def test_who_does_not_answer_is_unknown_and_not_damaged_and_told_only_when_it_lasts(world, damage):
    before, keys = world.blobs.wraps, dict(world.vault.keys)
    damage(world)
    assert look(world).finding == "unknown" and said(world) == []
    look(world, SOON)
    look(world, SOON)
    assert [event.finding for event, _ in said(world)] == ["unknown"]

    world.blobs.wraps = before
    world.vault.keys.update(keys)
    assert look(world, SOON).finding == "whole"
    assert [event.finding for event, _ in said(world)] == ["unknown", "whole"]


def test_what_is_whole_again_is_said_and_what_is_unknown_then_stays_damaged(world):
    whole = world.blobs.blobs[WEIGHTS]
    flip(world)
    look(world)
    before = world.blobs.wraps
    silence(world)
    look(world, AGAIN)
    look(world, SOON)
    assert [event.finding for event, _ in said(world)] == ["damaged"]

    world.blobs.wraps = before
    world.blobs.blobs[WEIGHTS] = whole
    look(world, SOON)
    assert [event.finding for event, _ in said(world)] == ["damaged", "whole"]
    assert list(damaged(world.installation)) == []
    flip(world)
    look(world)
    assert [event.finding for event, _ in said(world)] == ["damaged", "whole", "damaged"]


def test_another_damage_is_news(world):
    flip(world)
    look(world)
    lose(world)
    look(world, AGAIN)

    assert [[flaw.what for flaw in event.flaws] for event, _ in said(world)] == [["bytes"], ["gone"]]


@pytest.mark.parametrize(
    ("after", "seen"), [(timedelta(seconds=1), False), (EVERY - timedelta(seconds=1), False), (EVERY, True)]
)
def test_it_is_looked_at_once_a_day_and_at_once_when_it_is_another_release(world, after, seen):
    look(world, timedelta(seconds=1))
    flip(world)
    assert bool(look(world, after).finding == "damaged") is seen

    world.serve("1.2.0")
    assert look(world, timedelta(seconds=1)).release == world.record("magika@1.1.0").release


def test_who_asks_has_it_looked_at_now(world):
    found = controller(world)
    found.look()
    flip(world)
    found.look()
    assert said(world) == []

    found.want(PROD)
    found.look()
    assert len(said(world)) == 1


def test_beside_a_candidate_the_stable_release_is_the_way_back(world):
    begin(world, "1.2.0")
    assert look(world).release == world.record("magika@1.1.0").release


@pytest.mark.parametrize("act", ["roll_back", "shut_down"])
def test_where_there_is_no_way_back_nothing_is_looked_at(world, act):
    getattr(world, act)()
    lose(world)

    assert look(world) is None and said(world) == []


def test_two_controllers_that_look_at_once_write_one_entry(world):
    flip(world)
    both = [controller(world, holder) for holder in "ab"]
    threads = [threading.Thread(target=one.look) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(said(world)) == 1


def test_one_that_dies_in_the_middle_writes_nothing_and_another_goes_on_when_its_claim_is_over(world):
    flip(world)
    dying, other = controller(world, "a"), controller(world, "b")

    def die(_name, _fence):
        def pace(_count):
            raise KeyboardInterrupt

        return pace

    dying._held = die
    with pytest.raises(KeyboardInterrupt):
        dying.look()
    other.look()
    assert said(world) == [] and look_kept(world.installation, PROD) is None

    world.now += timedelta(seconds=LEASE)
    other.look()
    assert len(said(world)) == 1


def test_one_that_slept_longer_than_its_claim_does_not_say_when_it_was_looked_at(world):
    asleep, awake = controller(world, "a"), controller(world, "b")

    def sleep(_name, _fence):
        def pace(_count):
            if look_kept(world.installation, PROD) is None:
                world.now += timedelta(seconds=LEASE)
                awake.look()

        return pace

    asleep._held = sleep
    asleep.look()
    assert world.memory.recall(f"target/{PROD}").fence == 2
