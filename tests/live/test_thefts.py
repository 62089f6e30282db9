"""What does a thief get, of each thing that can be stolen, and what not? Each row of the threat model, on a real host.

`cannot`: nothing new is served, nothing old and nothing that nobody authorised, and the host says why; afterwards the
honest thing is served by the same host. `can still`: what is left to the thief, and what ends it.
"""

from datetime import UTC, datetime, timedelta

import pytest

import tests.world
from lockgate.agent.node import Node
from lockgate.agent.obeying import obey
from lockgate.app.open_blob import plaintext, release_keys
from lockgate.core.evidence import Verdict
from lockgate.core.order import Order
from lockgate.core.revocation import ReleaseRevoked
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.cloudevent import decode_entry
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.loader.host import open_host
from lockgate.loader.opening import ask_lease, connect, judge_endpoint, open_release
from tests.live import thieves
from tests.live.company import Company, serving
from tests.world import PROD, host_home


@pytest.fixture
def company(tmp_path, monkeypatch):
    """A company of today, with magika@1.0.0 in service."""
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    company = Company(tmp_path)
    company.first = company.world.serve("1.0.0")
    return company


def judged(host):
    """Judge what the server says should serve; return which version that is."""
    return str(judge_endpoint(host, PROD, connect(host)).permit.release.manifest.tag.version)


def loaded(host):
    """Load what the server says should serve, down to the last byte; return which version that is."""
    opened = open_release(host, PROD, connection=connect(host), mounts=None)
    opened.files.close()
    return str(opened.admission.permit.release.manifest.tag.version)


def wanted(world, *runs):
    """Have an author want the next release, good unless `runs` say otherwise; return it and its change."""
    release = world.register("1.1.0")
    world.attest(release, *runs)
    return release, world.open(release)


def in_the_names_of_others(world):
    _, number = wanted(world)
    thieves.approve(world, number, "bob", "carol")
    thieves.carry_out(world, number)


def with_approvals_of_another_change(world):
    _, number = wanted(world)
    for approval in world.change(world.endpoint().slots[0].change).approvals:
        thieves.add_approval(world, number, thieves.read(world, approval.approval))
    thieves.carry_out(world, number)


def with_no_approval(world):
    thieves.carry_out(world, wanted(world)[1])


def with_failed_tests(world):
    _, number = wanted(world, world.built(), world.ran(Verdict.FAILED))
    world.approve(number)
    thieves.carry_out(world, number)


def with_no_tests(world):
    _, number = wanted(world, world.built())
    world.approve(number)
    thieves.carry_out(world, number)


def an_approval_that_expired(world):
    _, number = wanted(world)
    world.approve(number, "bob")
    world.approve(number, "carol", lasts=timedelta(minutes=1))
    thieves.carry_out(world, number, at=world.now + timedelta(minutes=2))


def an_approved_change_for_the_second_time(world):
    number = world.endpoint().slots[0].change
    world.serve("1.1.0")
    yield
    thieves.carry_out(world, number)


def a_rollback_that_nobody_ordered(world):
    second = world.serve("1.1.0")
    yield
    first = world.endpoint().slots[0].release
    thieves.roll_back(world, thieves.said(world, "dave", "endpoint.roll-back", PROD, before=second.digest, after=first))


CANNOT = [
    (in_the_names_of_others, "0 of 2 approvals"),
    (with_approvals_of_another_change, "0 of 2 approvals"),
    (with_no_approval, "0 of 2 approvals"),
    (with_failed_tests, "suite file-types FAILED, it must have PASSED"),
    (with_no_tests, "has no result by a trusted signer"),
    (an_approval_that_expired, "the word of carol to change.approve change/.* expired"),
    (an_approved_change_for_the_second_time, "so that change was over"),
    (a_rollback_that_nobody_ordered, "no key that is trusted for this has signed it"),
]


@pytest.mark.parametrize(("steals", "says"), CANNOT, ids=[steals.__name__ for steals, _ in CANNOT])
def test_a_thief_of_the_server_brings_nothing_into_service(company, steals, says):
    world = company.world
    with serving(world) as url:
        host = company.host(url)
        assert loaded(host) == "1.0.0"
        theft = steals(world)
        if theft is not None:  # what the host sees before the theft counts
            next(theft)
            assert loaded(host) == "1.1.0"
            assert next(theft, None) is None

        with pytest.raises((DeniedError, VerificationError), match=says):
            judged(host)

        world.serve("1.2.0")
        assert loaded(host) == "1.2.0"


def test_a_thief_of_the_server_can_still_date_back_to_when_an_approval_counted(company):
    world = company.world
    _, number = wanted(world)
    world.approve(number, lasts=timedelta(minutes=1))
    then, world.now = world.now, world.now + timedelta(minutes=4)
    with pytest.raises(DeniedError, match="0 of 2 approvals"):
        world.activate(number)
    world.attest(world.register("1.2.0"))
    with serving(world) as url:
        thieves.carry_out(world, number, at=then)

        assert loaded(company.host(url)) == "1.1.0"

    times = [decode_entry(entry).time for entry in world.memory.log]
    assert times != sorted(times), "time goes back in the log, which every auditor sees"


def test_a_thief_of_the_server_can_still_hide_a_failure_that_came_after_a_success(company):
    world = company.world
    release, number = wanted(world)
    world.now += timedelta(seconds=1)
    failed = world.ran(Verdict.FAILED)
    world.attest(release, failed)
    world.approve(number)
    with pytest.raises(DeniedError, match="FAILED"):
        world.activate(number)
    with serving(world) as url:
        thieves.carry_out(world, number, without=[world.statement(release, failed)])

        assert loaded(company.host(url)) == "1.1.0"


def test_a_thief_of_the_server_can_still_bring_a_former_release_back_where_nothing_is_remembered(company):
    world, number = company.world, company.world.endpoint().slots[0].change
    world.serve("1.1.0")
    with serving(world) as url:
        remembering = company.host(url)
        assert loaded(remembering) == "1.1.0"

        thieves.carry_out(world, number)

        assert loaded(open_host(host_home(company.path / "new", url), datetime.now(UTC))) == "1.0.0"
        with pytest.raises(VerificationError, match="so that change was over"):
            judged(remembering)


def test_a_thief_of_the_server_can_still_play_an_order_to_roll_back_again(company):
    world = company.world
    second = world.serve("1.1.0")
    world.roll_back()
    ordered = thieves.read(world, world.endpoint().rolled_back_by)
    again = world.open(second)
    world.approve(again)
    world.activate(again)
    with serving(world) as url:
        host = company.host(url)
        assert loaded(host) == "1.1.0"

        thieves.roll_back(world, ordered)

        assert loaded(host) == "1.0.0"


def test_a_thief_of_the_server_can_still_grant_after_a_shutdown_until_the_order_goes_straight_to_the_host(company):
    world = company.world
    with serving(world) as url:
        node = Node(company.home(url), print)
        world.shut_down()
        with pytest.raises(DeniedError, match="is suspended"):
            node.judge(PROD)

        thieves.show(world, suspended=False, epoch=world.endpoint().slots[-1].index)

        admission = node.judge(PROD)
        assert ask_lease(node.host, admission, node.connection, "sealed")
        obey(node, Order(thieves.said(world, "olivia", "endpoint.suspend", PROD, by="olivia")))
        with pytest.raises(DeniedError, match="is shut on this host by order of olivia"):
            node.judge(PROD)


def test_a_thief_of_the_server_can_still_stop_things_by_revoking_them_on_nobodys_word(company):
    world, first = company.world, company.first
    nobody = Digest.of(b"nobody said so")
    with serving(world) as url:
        assert judged(company.host(url)) == "1.0.0"

        thieves.write(world, ReleaseRevoked(first.manifest.tag, first.digest, (), "ha", Name("olivia"), nobody))

        world.feed(company.path / "feed")
        host = open_host(host_home(company.path / "host", url, updates=company.path / "feed"), datetime.now(UTC))
        with pytest.raises(DeniedError, match=r"is revoked since .*: ha"):
            judged(host)
    assert nobody not in world.memory.documents, "no signed order is in the log, which is how it is found"


def test_a_thief_of_the_server_can_still_hide_a_revocation_from_who_did_not_see_it(company):
    world, feed = company.world, company.path / "feed"
    with serving(world) as url:
        world.feed(feed)
        home = host_home(company.path / "host", url, updates=feed)
        host = open_host(home, datetime.now(UTC))
        world.revoke("results")

        thieves.republish(world, feed)

        assert judged(open_host(home, datetime.now(UTC))) == "1.0.0"
        world.feed(feed)
        with pytest.raises(DeniedError, match="has no result by a trusted signer"):
            judged(open_host(home, datetime.now(UTC)))
        thieves.republish(world, feed)
        with pytest.raises(VerificationError):
            open_host(home, datetime.now(UTC))
        assert host.revoked.entries == ()


def test_a_thief_of_the_server_can_still_read_the_weights_while_the_vault_answers(company):
    world, first = company.world, company.first
    weights = b"weights 1.0.0"
    (key,) = release_keys(world.installation, first.digest, [Digest.of(weights)]).values()

    with plaintext(world.blobs, Digest.of(weights), key) as pieces:
        assert b"".join(map(bytes, pieces)) == weights
