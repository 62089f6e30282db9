"""Is what was revoked denied everywhere, for good? By the server at once, and by every host that learns of it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.passport import admit_passport
from lockgate.core.release import Release
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.names import Name
from lockgate.loader.feed import FolderFeed
from lockgate.loader.updates import Update, refresh
from tests.world import PROD, World, key


def granted(world: World, release: Release) -> int:
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, release.digest),), "sealed")
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    return len(open_grant(document, request, world.trust, world.now).granted)


def learn(world: World, folder: Path) -> Update:
    feed = FolderFeed(world.feed(folder / "feed"))
    return refresh(folder / "memory", world.trust.root, feed, datetime.now(UTC))


@pytest.mark.parametrize("what", ["magika@1.0.0", "components", "results", "bob", "prod-vsa", "prod-checkpoint"])
def test_what_serves_today_is_loaded_by_no_host_after_its_revocation(world: World, tmp_path: Path, what: str) -> None:
    world.serve()
    passport = passport_for(world.installation, PROD)
    now = learn(world, tmp_path)
    admit_passport(passport, PROD, now.trust, now.policy, now.revoked, world.now)
    world.revoke(what)

    after = learn(world, tmp_path)

    with pytest.raises((DeniedError, VerificationError)):
        admit_passport(passport, PROD, after.trust, after.policy, after.revoked, world.now)


@pytest.mark.parametrize("who", ["olivia", "ann"])
def test_from_the_moment_of_its_revocation_a_release_is_granted_to_nobody(world: World, who: str) -> None:
    release = world.serve()
    assert granted(world, release) == 1

    world.revoke("magika@1.0.0", who=who)

    assert granted(world, release) == 0


def test_no_approved_change_brings_a_revoked_release_back(world: World) -> None:
    release = world.serve()
    number = world.open(release)
    world.approve(number)
    world.revoke("magika@1.0.0")

    with pytest.raises(DeniedError, match="is revoked since"):
        world.activate(number)
    with pytest.raises(DeniedError, match="is revoked since"):
        world.open(release)


def test_an_entry_that_a_host_has_seen_is_never_taken_off_its_list(world: World, tmp_path: Path) -> None:
    world.serve()
    world.revoke("magika@1.0.0")
    learn(world, tmp_path)
    other = World()
    other.serve()
    for name in ("bob", "carol", "ci"):  # longer, so that no version is older
        other.revoke(name)

    with pytest.raises(VerificationError, match="lost or changed an entry that was seen"):
        learn(other, tmp_path)


def test_a_key_that_was_revoked_is_not_trusted_again_by_a_later_document(world: World) -> None:
    world.revoke("bob")

    with pytest.raises(DeniedError, match="is revoked since"):
        world.adopt(replace(world.trust, version=2), world.policy)
