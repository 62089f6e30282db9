"""Does a host load only what it has judged itself, under rules of its own, with a live permission to serve?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.grant_leases import grant_leases
from lockgate.app.issue_passport import passport_for
from lockgate.core.lease import Grant, Request, Want, open_grant, sign_request
from lockgate.core.passport import admit_passport
from lockgate.core.release import Release
from lockgate.core.trust import Agreed
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.world import NOTHING_REVOKED, PROD, World, key


def asked(release: Release, node: str = "host-1", nonce: str = "0123456789abcdef") -> Request:
    return Request(Name(node), nonce, (Want(PROD, release.digest),), "sealed")


def lease(world: World, request: Request, signer: str = "host-1") -> Grant:
    document = grant_leases(world.installation, sign_request(request, key(signer)), world.now)
    return open_grant(document, request, world.trust, world.now)


def test_a_host_admits_what_was_activated_and_gets_a_lease_for_the_same_act(world: World) -> None:
    release = world.serve()

    admission, grant = world.admit(), lease(world, asked(release))

    assert admission.permit.release.digest == release.digest == grant.granted[0].release
    assert admission.epoch == grant.granted[0].epoch and grant.granted[0].seconds == 30


def test_a_host_does_not_take_the_servers_word_for_whom_to_trust(world: World) -> None:
    world.serve()
    actors = tuple(actor for actor in world.trust.actors if str(actor.name) != "carol")
    mine = replace(world.trust, version=2, actors=actors)

    with pytest.raises(DeniedError, match="1 of 2 approvals"):
        admit_passport(
            passport_for(world.installation, PROD),
            PROD,
            Agreed(mine, Digest.of(plain.encode(mine))),
            world.installation.policy(),
            NOTHING_REVOKED,
            world.now,
        )


def test_rules_that_have_expired_let_nothing_in(world: World) -> None:
    world.serve()
    world.now = world.trust.expires

    with pytest.raises(DeniedError, match=r"the trust document expired .*; the policy document expired"):
        world.admit()


def test_a_passport_opens_no_other_endpoint(world: World) -> None:
    world.serve()
    passport = passport_for(world.installation, PROD)
    trust, policy = world.installation.trust(), world.installation.policy()

    with pytest.raises(DeniedError, match="does not name prod/other"):
        admit_passport(passport, Endpoint.parse("prod/other"), trust, policy, NOTHING_REVOKED, world.now)


def test_parts_of_two_passports_make_none(world: World) -> None:
    world.serve("1.0.0")
    old = passport_for(world.installation, PROD)
    world.serve("1.1.0")
    new = passport_for(world.installation, PROD)

    for mixed in (replace(old, case=new.case), replace(new, case=old.case), replace(new, registered=old.registered)):
        with pytest.raises((DeniedError, VerificationError)):
            world.admit(mixed)


def test_evidence_that_came_later_changes_nothing_for_what_serves(world: World) -> None:
    release = world.serve()
    world.now += timedelta(days=20)
    world.attest(release, world.ran())

    assert world.admit().permit.release.digest == release.digest


def test_an_old_release_gets_no_lease(world: World) -> None:
    old = world.serve("1.0.0")
    new = world.serve("1.1.0")
    given = lease(world, asked(old))

    assert given.granted == () and [one.by for one in given.superseded or ()] == [new.digest]
    world.shut_down()
    assert [one.release for one in lease(world, asked(old)).refused] == [old.digest]


def test_a_lease_is_for_the_node_and_the_nonce_that_asked(world: World) -> None:
    release = world.serve()
    request = asked(release)
    document = grant_leases(world.installation, sign_request(request, key("host-1")), world.now)

    with pytest.raises(VerificationError, match="the lease answers another request"):
        open_grant(document, asked(release, nonce="fedcba9876543210"), world.trust, world.now)


@pytest.mark.parametrize(("node", "signer"), [("host-1", "mallory"), ("host-2", "host-1")])
def test_nobody_gets_a_lease_as_somebody_else(world: World, node: str, signer: str) -> None:
    with pytest.raises(VerificationError):
        lease(world, asked(world.serve(), node), signer)


def test_who_is_no_agent_gets_no_lease(world: World) -> None:
    with pytest.raises(DeniedError, match="dave has no right to lease"):
        lease(world, asked(world.serve(), "dave"), "dave")
