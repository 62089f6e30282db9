"""What does an agent do with what it learns, and with what it cannot learn?"""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import tests.world
from lockgate.agent.attending import LOOK_SECONDS, RELAY_SECONDS, judge_all_again, learn, look
from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node
from lockgate.agent.renewing import renew
from lockgate.app.issue_passport import passport_for
from lockgate.core.policy import Approvals, Evaluation, Lease
from lockgate.core.rights import Role
from lockgate.core.trust import Agreed, Purpose, TrustedSigner
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.names import Name
from lockgate.loader.control import Leased, Stop
from lockgate.loader.host import open_host
from lockgate.loader.leasing import Claim, claim_of
from lockgate.loader.rejudging import judge_again
from lockgate.tlog.note import NoteSigner
from tests.live.company import Company, serving
from tests.live.drill import wait_until
from tests.world import CONTENT, PROD, SUITE, key


class Told:
    """A run that only hears (port `Channel`)."""

    pid = os.getpid()

    def __init__(self):
        self.words = []

    def push(self, word):
        self.words.append(word)


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    return Company(tmp_path)


@pytest.fixture
def attended(company):
    """An agent that holds the lease of one run, while the server answers."""
    company.release = company.serve()
    with serving(company.world) as url:
        node = Node(company.home(url), print)
        epoch = company.world.endpoint().epoch
        claim, now = Claim(PROD, company.release.digest, epoch, 30), datetime.now(UTC)
        told, passport = Told(), passport_for(company.world.installation, PROD)
        tag = company.release.manifest.tag
        node.holdings.add(Holding(claim, tag, 0, told, now, passport, now, node.edition, serving=True))
        yield node, told


def test_what_is_learnt_and_named_by_nobody_goes_on(attended):
    node, told = attended
    renew(node, node.holdings.all())
    assert [type(word) for word in told.words] == [Leased]

    assert learn(node) == LOOK_SECONDS
    wait_until(lambda: look(node) == LOOK_SECONDS, 10)  # the first head is signed a moment after the server starts

    assert len(told.words) == 1 and len(node.holdings.all()) == 1 and not node.trouble


def test_what_the_deny_list_names_is_stopped_when_that_is_learnt(company, attended):
    node, told = attended
    company.world.revoke(str(company.release.manifest.tag))

    wait_until(lambda: learn(node) and told.words, 10)

    (stop,) = told.words
    assert isinstance(stop, Stop) and stop.grace_seconds == 0 and "is revoked" in stop.reasons[0]
    assert node.holdings.all() == ()


def ruled(world, **changes):
    """Write the next policy."""
    return replace(world.policy, version=2, endpoints={str(PROD): replace(tests.world.rules(), **changes)})


def without(world, name, *more):
    """Write the next trust document, in which nobody who signs is called `name`."""
    signers = tuple(one for one in world.trust.signers if str(one.name) != name)
    return replace(world.trust, version=2, signers=(*signers, *more))


STRICTER = {
    "evaluations": (Evaluation(SUITE, {"accuracy": "0.995"}, 30, (CONTENT,)),),
    "approvals": Approvals(3, Role.APPROVER),
}
MILDER = {"approvals": Approvals(1, Role.APPROVER), "lease": Lease(20, "stop")}


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (lambda world: world.revoke("components"), ["the release does not verify"]),
        (lambda world: world.revoke("results"), ["no provenance by a trusted", "suite file-types has no result"]),
        (lambda world: world.revoke("bob"), ["1 of 2 approvals"]),
        (lambda world: world.revoke("prod-vsa"), ["no key that is trusted for this has signed"]),
        (lambda world: world.adopt(without(world, "ci-results"), world.policy), ["suite file-types has no result"]),
        (lambda world: world.adopt(world.trust, ruled(world, **STRICTER)), ["accuracy is '0.99'", "2 of 3 approvals"]),
    ],
    ids=["component key", "result key", "approver's key", "decision key", "no longer in trust", "stricter policy"],
)
def test_what_is_not_admitted_any_more_is_stopped_with_every_reason(company, attended, happens, says):
    node, told = attended
    happens(company.world)

    wait_until(lambda: learn(node) and told.words, 10)

    (stop,) = told.words
    assert all(any(said in reason for reason in stop.reasons) for said in says), stop.reasons
    assert stop.grace_seconds == 0 and node.holdings.all() == ()


@pytest.mark.parametrize(
    ("happens", "seconds"),
    [
        (lambda world: world.revoke("dave"), 30),
        (lambda world: world.offboard("alice"), 30),
        (lambda world: world.adopt(without(world, "dev-export"), world.policy), 30),
        (lambda world: world.adopt(world.trust, ruled(world, **MILDER)), 20),
    ],
    ids=["another key", "its author left", "another signer", "milder policy"],
)
def test_what_is_admitted_all_the_same_goes_on_by_the_rules_of_now(company, attended, happens, seconds):
    node, told = attended
    company.world.now += timedelta(seconds=1)  # whoever leaves was there until then
    happens(company.world)

    wait_until(lambda: learn(node) and node.edition, 10)

    (holding,) = node.holdings.all()
    assert (told.words, holding.edition, holding.claim.seconds) == ([], 1, seconds)


def test_a_log_key_that_ended_since_is_no_reason_to_stop(attended):
    node, _ = attended
    (holding,) = node.holdings.all()
    signers = node.host.trust.document.signers
    ended = tuple(replace(one, until=holding.judged_at + timedelta(seconds=1)) for one in signers)
    later = Agreed(replace(node.host.trust.document, signers=ended), node.host.trust.digest)
    host = replace(node.host, update=replace(node.host.update, trust=later))

    assert again(node, host, holding) == holding.claim


def again(node, host, holding):
    """Judge again while no server answers."""
    nowhere = replace(node.connection, url="http://127.0.0.1:1")
    return claim_of(judge_again(host, holding.claim, holding.passport, holding.judged_at, nowhere, node.orders))


def test_when_the_key_of_the_log_was_revoked_a_passport_by_its_next_key_will_do(company, attended):
    node, told = attended
    (holding,) = node.holdings.all()
    world, held = company.world, holding.passport
    signer = TrustedSigner(Name("log-2"), Purpose.CHECKPOINT, (), key("log-2").public)
    world.adopt(without(world, "nobody", signer), world.policy)
    world.heads.signer = NoteSigner.of(world.trust.origin, key("log-2"))
    world.revoke("prod-checkpoint")

    wait_until(lambda: learn(node) and node.host.revoked.entries, 10)

    assert (told.words, holding.edition) == ([], node.edition)
    assert holding.passport != held and again(node, node.host, holding) == holding.claim
    holding.passport = held
    with pytest.raises(DeniedError, match="none of the 1 signatures"):
        again(node, node.host, holding)


def test_a_run_that_was_taken_back_is_judged_by_what_it_brings(company, attended):
    node, told = attended
    (holding,) = node.holdings.all()
    other = replace(holding.claim, epoch=holding.claim.epoch + 1)
    node.holdings.add(replace(holding, edition=None))
    node.holdings.add(replace(holding, claim=other, edition=None))

    judge_all_again(node)

    assert [each.claim for each in node.holdings.all()] == [holding.claim] * 2
    (stop,) = told.words
    assert "has moved on" in stop.reasons[0]


def test_what_cannot_be_learnt_is_said_and_ends_nothing_by_itself(company, attended):
    node, told = attended
    (node.home / "host.toml").write_text('node = "host-1"\nserver = "http://127.0.0.1:1"\n')

    assert learn(node) == RELAY_SECONDS

    assert "cannot be learnt" in node.trouble["rules"] and told.words == []


def test_an_agent_starts_by_what_it_remembers_when_nobody_answers(company, attended):
    node, _ = attended
    (node.home / "host.toml").write_text('node = "host-1"\nserver = "http://127.0.0.1:1"\n')

    again = Node(node.home, print)

    assert again.host.trust.digest == node.host.trust.digest
    with pytest.raises(UnavailableError):
        again.judge(PROD)


def test_an_agent_that_remembers_nothing_does_not_start_when_nobody_answers(company):
    with pytest.raises(UnavailableError):
        Node(company.home("http://127.0.0.1:1"), print)


def test_what_is_remembered_under_another_pinned_root_is_not_believed(company, attended):
    node, _ = attended
    other = replace(company.world.trust.root, keys=(key("mallory").public, key("eve").public))
    (node.home / "root.json").write_bytes(plain.encode(other))

    with pytest.raises(VerificationError):
        open_host(node.home, datetime.now(UTC), asking=False)


@pytest.mark.parametrize(
    "name", ["trust.json", "policy.json", "root.json", "targets.json", "deny.json", "bootstrap.json"]
)
def test_what_is_remembered_and_was_spoilt_is_not_believed(attended, name):
    node, _ = attended
    path = node.home / "updates" / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-2])

    with pytest.raises((VerificationError, UnavailableError)):
        open_host(node.home, datetime.now(UTC), asking=False)


def test_what_is_remembered_goes_out_of_date(attended):
    node, _ = attended
    later = datetime.now(UTC) + timedelta(days=1)

    remembered = open_host(node.home, later, asking=False)

    with pytest.raises(UnavailableError, match="was fresh until"):
        remembered.update.check_fresh(later)


@pytest.mark.parametrize("spoilt", [{"root": "sha256:" + "0" * 64}, {"size": 1}])
def test_a_log_that_is_not_the_one_that_was_seen_ends_all_renewals(attended, spoilt):
    node, told = attended
    wait_until(lambda: look(node) == LOOK_SECONDS, 10)
    seen = canonical.parse_object((node.home / "seen.json").read_bytes())
    (node.home / "seen.json").write_bytes(canonical.encode({**seen, **spoilt}))

    assert look(node) == RELAY_SECONDS

    with pytest.raises(UnavailableError, match="no lease is asked for"):
        renew(node, node.holdings.all())
    assert told.words == []
    (node.home / "seen.json").write_bytes(canonical.encode(seen))
    assert look(node) == LOOK_SECONDS
    renew(node, node.holdings.all())
    assert [type(word) for word in told.words] == [Leased]
