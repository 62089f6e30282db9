"""What does an agent do with what it learns, and with what it cannot learn?"""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import tests.world
from lockgate.agent.attending import LOOK_SECONDS, RELAY_SECONDS, learn, look
from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node
from lockgate.agent.renewing import renew
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.loader.control import Leased, Stop
from lockgate.loader.host import open_host
from lockgate.loader.leasing import Claim
from tests.live.company import Company, serving
from tests.live.drill import wait_until
from tests.world import PROD, key


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
        claim = Claim(PROD, company.release.digest, epoch, 30)
        told = Told()
        holding = Holding(claim, company.release.manifest.tag, 0, told, datetime.now(UTC), serving=True)
        node.holdings.add(holding)
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
