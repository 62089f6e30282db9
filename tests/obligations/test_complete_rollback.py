"""Does one act bring the whole former release back, or change nothing at all?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.follow_rollback import follow_rollback
from lockgate.app.issue_passport import passport_for
from lockgate.app.roll_back import roll_back
from lockgate.core.journal import read_fact
from lockgate.core.notice import notice_of
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from tests.world import PROD, World


def test_one_hand_restores_every_component_of_the_former_release(world: World) -> None:
    first = world.serve("1.0.0")
    world.serve("1.1.0")

    receipt = world.roll_back()

    permit = world.admit().permit
    assert receipt.stop == receipt.first + 1
    assert permit.release.manifest == first.manifest
    assert {name: one.dir_hash for name, one in permit.components.items()} == {
        name: part.digest for name, part in first.manifest.components.items()
    }


def test_a_rollback_needs_no_fresh_evidence_and_no_second_opinion(world: World) -> None:
    first = world.serve("1.0.0")
    world.now += timedelta(days=200)
    world.serve("1.1.0")

    world.roll_back("olivia")
    assert world.admit().permit.release.digest == first.digest


@pytest.mark.parametrize("who", ["alice", "bob", "ann", "ci", "host-1"])
def test_who_has_no_right_changes_nothing(world: World, who: str) -> None:
    world.serve("1.0.0")
    latest = world.serve("1.1.0")

    with pytest.raises(DeniedError, match=f"{who} has no right to endpoint.roll-back"):
        world.roll_back(who)
    assert world.admit().permit.release.digest == latest.digest


def test_a_release_that_is_not_whole_any_more_is_not_half_restored(world: World) -> None:
    world.serve("1.0.0")
    latest = world.serve("1.1.0")
    size = world.memory.size()
    del world.blobs.blobs[Digest.of(b"weights 1.0.0")]

    with pytest.raises(UnavailableError):
        world.roll_back()
    assert world.memory.size() == size and world.admit().permit.release.digest == latest.digest


def test_a_rollback_leads_to_the_former_release_and_to_no_other(world: World) -> None:
    oldest = world.serve("1.0.0")
    world.serve("1.1.0")
    latest = world.serve("1.2.0")
    said = world.say("dave", "endpoint.roll-back", PROD, before=latest.digest, after=oldest.digest)

    with pytest.raises(DeniedError, match="the intent says after"):
        roll_back(world.installation, PROD, said, world.now)


def test_an_order_is_carried_out_once(world: World) -> None:
    first = world.serve("1.0.0")
    second = world.serve("1.1.0")
    said = world.say("dave", "endpoint.roll-back", PROD, before=second.digest, after=first.digest)

    once = roll_back(world.installation, PROD, said, world.now)
    assert roll_back(world.installation, PROD, said, world.now) == once


def test_without_a_former_release_or_while_suspended_there_is_no_way_back(world: World) -> None:
    world.serve("1.0.0")
    with pytest.raises(DeniedError, match="has no former release"):
        world.roll_back()
    world.serve("1.1.0")
    world.shut_down()

    with pytest.raises(DeniedError, match="only a new approved change resumes it"):
        world.roll_back()


def test_what_may_not_come_back_is_refused_with_every_reason_and_nothing_changes(world: World) -> None:
    world.serve("1.0.0")
    latest = world.serve("1.1.0")
    world.revoke("magika@1.0.0")
    size = world.memory.size()
    del world.blobs.blobs[Digest.of(b"weights 1.0.0")]

    with pytest.raises(DeniedError) as refused:
        world.roll_back()
    revoked, lost = refused.value.reasons
    assert "revoked" in revoked and "weights/model.onnx" in lost
    assert world.memory.size() == size and world.admit().permit.release.digest == latest.digest


def test_a_rollback_that_no_host_is_seen_to_follow_is_told_when_its_window_is_over(world: World) -> None:
    world.serve("1.0.0")
    world.serve("1.1.0")
    world.roll_back()
    world.now += timedelta(seconds=60)

    assert follow_rollback(world.installation, PROD, world.now) is not None
    (entry,) = list(world.memory.entries(world.memory.size() - 1, world.memory.size()))
    notice = notice_of(entry, 1, "prod", str)
    assert notice is not None and "60 s after the rollback at prod/magika" in notice.text


def test_a_host_does_not_believe_in_a_rollback_that_nobody_ordered(world: World) -> None:
    world.serve("1.0.0")
    world.serve("1.1.0")
    world.roll_back()
    passport = passport_for(world.installation, PROD)
    assert passport.case is not None

    with pytest.raises(VerificationError, match="holds no order for it"):
        world.admit(replace(passport, case=replace(passport.case, order=None)))
    _, event = read_fact(list(world.memory.entries(0, world.memory.size()))[-1])
    assert event.type == "endpoint.rolled_back/v1"
