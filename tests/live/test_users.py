"""Does the gateway count users where callers stay, and does a rollout end by them? Real requests, a real Envoy."""

import http.client
import os
import signal
import socket
import time

import pytest

from lockgate.app.watch_rollout import grounds_at
from lockgate.core.analysis import Conclusion
from lockgate.core.analysis.sequential import conclude, count, nothing_counted
from lockgate.core.analysis.table import Counts, Table
from lockgate.core.journal import read_fact
from lockgate.core.observation import Grounds
from lockgate.core.report import NOTHING, Tally, round_name
from lockgate.core.rollout import Aborted
from lockgate.core.strategy import Envoy, Metric, Pause, Sequential, SetWeight
from lockgate.core.traffic import RELEASE_HEADER, Route, Traffic
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.calling import PATIENCE, boottime, free_address, until
from tests.simulated import ERRORS
from tests.traffic import ALERT, Flying, Host, judged_by
from tests.upstream import Upstream
from tests.world import PROD

envoy = pytest.importorskip("lockgate.drivers.envoy")

SECOND = 1_000_000_000
WATCHED = 2.0
NOBODY = Tally(0, 0)
USERS = Metric(Name("users"), Sequential("errors", "0.004", "1", Envoy(), "user"), 5, dry_run=False)
STICKY = judged_by(USERS, ALERT, sticky_by="x-user", steps=(SetWeight(50), Pause(60), SetWeight(100)))


class RealHost(Host):
    """A node whose gateway is real."""

    def __init__(self, world, gateway):
        self.gateway = gateway
        super().__init__(world)

    def look(self):
        counting = self.gateway.counts()
        self.incarnation = counting.incarnation
        self.totals = {one.release: one.counts for one in counting.counted}
        return self.totals


class Judging:
    """A rollout whose requests are real; what is counted begins at nothing."""

    def __init__(self, world, gateway, address, upstreams):
        self.flying, self.gateway, self.address = Flying(world, STICKY), gateway, address
        self.flying.host, self.line = RealHost(world, gateway), None
        self.stable, self.candidate = self.flying.stable, self.flying.candidate
        self.places = dict(zip((self.stable, self.candidate), upstreams, strict=True))
        self.flying.pass_by(5, NOTHING)  # it gets its first share
        self.show()
        self.before = self.report()

    def show(self, **more):
        weight, fence = self.flying.rollout.weight, self.gateway._least + 1
        weights = {self.candidate: weight, self.stable: 100 - weight}
        until_ns = boottime() + 600 * SECOND
        routes = tuple(Route(each, "m@1.0.0", at.address, weights[each], until_ns) for each, at in self.places.items())
        traffic = Traffic(PROD, routes, self.stable, **{"sticky_by": "x-user", "rollout": fence} | more)
        self.gateway.show([traffic], fence=fence)
        until(lambda: time.time_ns() > self.gateway._users._ledgers[PROD].began_ns)

    def report(self):
        """Let the server hear what is counted by now, and look at it."""
        found = self.flying.host.look()
        self.flying.pass_by(5, NOTHING)
        return found

    def ask(self, requests):
        """Send pairs of headers and path, one after another; give those of whom the candidate answered."""
        line = http.client.HTTPConnection(self.address.host, self.address.port, timeout=PATIENCE)
        found = []
        for headers, path in requests:
            line.request("GET", f"/{PROD}{path}", headers=headers)
            answer = line.getresponse()
            answer.read()
            if answer.getheader(RELEASE_HEADER) == str(self.candidate):
                found.append(headers)
        line.close()
        return found

    def hurry(self, *requests):
        """Send pairs of headers and path over one line, without a look at who answers."""
        self.line = self.line or socket.create_connection((self.address.host, self.address.port))
        for headers, path in requests:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.line.sendall(f"GET /{PROD}{path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode())
            assert self.line.recv(1 << 16).startswith(b"HTTP/1.1")

    def new(self, release, of):
        found, before = (each.get(release, NOTHING) for each in (self.flying.host.look(), self.before))
        if of == "requests":
            return Tally(found.requests - before.requests, found.failed - before.failed)
        now, was = (each.other.get(Name(of), NOBODY) for each in (found, before))
        return Tally(now.total - was.total, now.bad - was.bad)

    def judged(self, users):
        """Wait until so many users are judged; give what came of those of the candidate, and of stable."""
        releases = (self.candidate, self.stable)

        def found():
            both = [self.new(each, round_name(1).text) for each in releases]
            return both if sum(each.total for each in both) >= users else None

        return until(found)


@pytest.fixture(scope="module")
def address():
    return free_address()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, address):
    opened = envoy.open_gateway(tmp_path_factory.mktemp("home"), listen=address, watched=WATCHED, seconds=60)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def upstreams():
    with Upstream("stable") as stable, Upstream("bad") as candidate:
        yield stable, candidate


@pytest.fixture
def judging(world, gateway, address, upstreams):
    found = Judging(world, gateway, address, upstreams)
    yield found
    if found.line:
        found.line.close()


def people(count):
    return [{"x-user": f"user {number}"} for number in range(count)]


def test_a_bad_candidate_is_taken_back_by_its_users(judging, world):
    theirs = judging.ask((user, "/flaky") for user in people(200) for _ in range(2))
    candidate, stable = judging.judged(200)
    assert (candidate.total, stable.total) == (len(theirs) // 2, 200 - len(theirs) // 2)
    assert candidate.bad > candidate.total // 5 and stable.bad == 0

    judging.report()

    facts = [read_fact(entry)[1] for entry in world.memory.entries(0, world.memory.size())]
    (aborted,) = [event for event in facts if isinstance(event, Aborted)]
    (finding,) = plain.decode(Grounds, world.memory.document(aborted.why)).analysis.findings
    assert judging.flying.rollout is None and finding.conclusion is Conclusion.FAILED
    assert (finding.candidate, finding.stable) == (counts(candidate), counts(stable))
    assert "users with a failure in book host-1-1 (of 1)" in finding.says


def counts(tally):
    return Counts(tally.total, tally.bad)


def test_one_user_who_fails_a_thousand_times_is_one_user(judging, world):
    heavy, *others = judging.ask((user, "/x") for user in people(200))
    for place in range(1000):
        judging.hurry((heavy, "/fail"), (others[place % len(others)], "/x"), (others[-1], "/x"))  # a third: it stays
    candidate, stable = judging.judged(200)
    judging.report()

    requests = counts(judging.new(judging.candidate, "requests"))
    (finding,) = grounds_at(world.installation, PROD, world.now).analysis.findings
    assert requests.bad == 1000 and (candidate.bad, stable.bad) == (1, 0)
    assert judging.flying.rollout is not None and finding.conclusion is not Conclusion.FAILED
    by_request = count(ERRORS, nothing_counted(ERRORS), (Table(requests, Counts(2000, 0)),))
    assert conclude(ERRORS, by_request).conclusion is Conclusion.FAILED


def test_who_names_a_release_or_nobody_or_writes_no_text_is_no_user_of_it_and_harms_no_other(judging):
    named = {"x-release": str(judging.candidate)}
    judging.ask([(named, "/x"), ({**named, "x-user": "ann"}, "/fail"), ({}, "/x"), ({"x-user": "x" * 9000}, "/x")])
    judging.ask([({"x-user": b"\xff\xfe"}, "/x"), ({"x-user": "bob"}, "/x")])

    both = judging.judged(2)
    assert (sum(each.total for each in both), sum(each.bad for each in both)) == (2, 0)
    assert judging.new(judging.candidate, "named") == Tally(2, 1)


def test_who_was_watched_when_envoy_died_is_no_success_and_others_are_judged_afterwards(judging, gateway):
    judging.ask((user, "/x") for user in people(20))
    until(lambda: gateway._users._ledgers[PROD].watched)
    os.kill(gateway._envoy.pid(), signal.SIGKILL)
    until(lambda: not gateway._users._ledgers[PROD].watched)
    until(lambda: answers(judging))
    judging.flying.host.look()

    later = [{"x-user": f"later {number}"} for number in range(20)]
    judging.ask((user, "/x") for user in later)
    both = judging.judged(20)
    assert sum(each.total for each in both) == 20


def answers(judging):
    try:
        return judging.ask([({}, "/x")]) is not None
    except (OSError, http.client.HTTPException):
        return False
