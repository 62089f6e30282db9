"""What stops when a release or a key is taken back, and what does not stop the taking back?"""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import export, passport_for, passport_of
from lockgate.app.publish_updates import deny_list
from lockgate.app.revoke import revoke_key, revoke_release
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.world import PROD, World, key

TAG = "magika@1.0.0"


def leased(world, release):
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, release.digest),), "sealed")
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)
    return open_grant(document, request, world.trust, world.now)


def test_a_revoked_release_is_leased_activated_opened_and_exported_no_more(world: World) -> None:
    release = world.serve()
    number = world.open(release)
    world.approve(number)
    assert leased(world, release).granted
    world.revoke(TAG)

    assert not leased(world, release).granted
    for attempt in (
        lambda: world.activate(number),
        lambda: world.open(release),
        lambda: passport_for(world.installation, PROD),
        lambda: export(world.installation, Tag.parse(TAG)),
    ):
        with pytest.raises(DeniedError, match=f"release {TAG} is revoked since .*: it leaks"):
            attempt()
    assert passport_of(world.installation, Tag.parse(TAG)).manifest


def test_nobody_rolls_back_to_a_revoked_release_but_away_from_it(world: World) -> None:
    world.serve("1.0.0")
    world.serve("1.1.0")
    world.revoke("magika@1.0.0")
    with pytest.raises(DeniedError, match=r"release magika@1.0.0 is revoked"):
        world.roll_back()
    world.serve("1.2.0")

    world.revoke("magika@1.2.0")

    world.roll_back()
    stable = world.endpoint().stable
    assert stable and str(stable.tag) == "magika@1.1.0"
    world.admit()


def test_a_revoked_key_registers_approves_and_opens_no_session_any_more(world: World) -> None:
    release = world.register()
    world.attest(release)
    number = world.open(release)
    world.approve(number)
    world.revoke("bob")
    world.revoke("components")

    with pytest.raises(VerificationError, match="no key that is trusted"):
        world.register("1.1.0")
    with pytest.raises(VerificationError):
        world.approve(number, "bob")
    with pytest.raises(DeniedError):
        world.activate(number)


def test_approvals_by_a_revoked_key_stop_counting(world: World) -> None:
    release = world.register()
    world.attest(release)
    number = world.open(release)
    world.approve(number)
    world.revoke("carol")

    with pytest.raises(DeniedError, match="1 of 2 approvals"):
        world.activate(number)


def test_what_a_revoked_key_signed_is_not_admitted_though_it_serves(world: World) -> None:
    world.serve()
    world.admit()
    world.revoke("components")

    with pytest.raises(DeniedError, match="does not verify"):
        world.admit()


def test_revoking_twice_is_revoking_once(world: World) -> None:
    world.register()
    first, key_first = world.revoke(TAG), world.revoke("bob")
    size = world.memory.size()

    assert world.revoke(TAG, who="ann", reason="still") == first
    assert world.revoke("bob", reason="again") == key_first
    assert world.memory.size() == size
    assert [entry.index for entry in deny_list(world.installation).entries] == [first.first, key_first.first]


def test_the_deny_list_is_in_the_order_of_the_log(world: World) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        world.register(version)
    places = [world.revoke(what).first for what in ("magika@1.2.0", "bob", "magika@1.0.0", "ci")]

    found = deny_list(world.installation)

    assert [entry.index for entry in found.entries] == places
    assert [str(entry.tag) for entry in found.entries] == ["magika@1.2.0", "None", "magika@1.0.0", "None"]
    manifest_parts = found.entries[0].components
    assert len(manifest_parts) == 2


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "ci", "host-1"])
def test_one_hand_is_enough_but_not_any(world: World, who: str) -> None:
    world.register()
    for what in (TAG, "carol"):
        with pytest.raises(DeniedError, match=f"{who} has no right to"):
            world.revoke(what, who=who)
    world.revoke(TAG, who="ann")


@pytest.mark.parametrize("name", ["root1", "prod-updates"])
def test_root_keys_and_those_for_updates_are_replaced_not_revoked(world: World, name: str) -> None:
    with pytest.raises(DeniedError, match="not revoked but replaced"):
        world.revoke(name)


def test_a_key_that_nobody_knows_is_revoked_all_the_same(world: World) -> None:
    world.revoke("leaf of a certificate")

    assert key("leaf of a certificate").public.key_id in deny_list(world.installation).keys


def test_the_word_for_one_revocation_is_no_word_for_another(world: World) -> None:
    release = world.register()
    why = Digest.of(b"it leaks")
    said = world.say("olivia", "release.revoke", TAG, before=release.digest, after=why)
    other = world.say("olivia", "release.revoke", TAG, before=Digest.of(b"x"), after=why)

    with pytest.raises(DeniedError, match="the intent says after"):
        revoke_release(world.installation, Tag.parse(TAG), "another reason", said, world.now)
    with pytest.raises(DeniedError, match="the intent says before"):
        revoke_release(world.installation, Tag.parse(TAG), "it leaks", other, world.now)
    with pytest.raises(DeniedError, match="is not registered here"):
        revoke_release(world.installation, Tag.parse("magika@9.9.9"), "it leaks", said, world.now)
    with pytest.raises(VerificationError, match="the intent says"):
        revoke_key(world.installation, release.digest, "it leaks", said, world.now)


class Racing:
    """A ledger that others move just before each append, some number of times."""

    def __init__(self, memory, races):
        self.memory, self.races = memory, races

    def __getattr__(self, name):
        return getattr(self.memory, name)

    @contextmanager
    def transaction(self):
        with self.memory.transaction() as act:
            append = act.append

            def raced(*args, **more):
                self.races -= 1
                if self.races >= 0:
                    raise ConflictError("the log moved")
                return append(*args, **more)

            act.append = raced
            yield act


def test_a_revocation_loses_no_race(world: World) -> None:
    release = world.register()
    said = world.say("olivia", "release.revoke", TAG, before=release.digest, after=Digest.of(b"it leaks"))
    racing = replace(world.installation, ledger=Racing(world.memory, 50))

    revoke_release(racing, Tag.parse(TAG), "it leaks", said, world.now)

    assert deny_list(world.installation).release(release.digest)


def test_whoever_decided_before_the_revocation_was_known_has_to_decide_again(world: World) -> None:
    release = world.serve("1.0.0")
    number = world.open(release)
    world.approve(number)
    with world.memory.transaction() as act:
        world.installation.revocations([release.digest], act)
        world.revoke(TAG)
        with pytest.raises(ConflictError):
            act.append([], actor="dave", key=Digest.of(b"k"), at=world.now)


def test_races_without_end_are_said(world: World) -> None:
    release = world.register()
    said = world.say("olivia", "release.revoke", TAG, before=release.digest, after=Digest.of(b"it leaks"))
    racing = replace(world.installation, ledger=Racing(world.memory, 10**6))

    with pytest.raises(UnavailableError, match="changed 1000 times"):
        revoke_release(racing, Tag.parse(TAG), "it leaks", said, world.now)
