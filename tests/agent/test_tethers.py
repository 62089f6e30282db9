"""Does an agent let go of everything at once, whatever one of the other systems does, and of nothing that is held?"""

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.agent.grant_book import GrantBook
from lockgate.agent.holdings import Holdings
from lockgate.agent.tethering import COME_BACK_SECONDS, Tending
from lockgate.agent.tethers import Leave, Scope, Tethers
from lockgate.core.binding import Bound, Holder
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.host_wiring import Wired
from lockgate.loader.lease_clock import NANOSECONDS, Held
from tests.agent.runs import CANDIDATE, STABLE, run
from tests.bound import InMemory
from tests.world import PROD

HOST = Name("host-1")
OTHER = Endpoint.parse("prod/other")
HOLDER = Holder(PROD, HOST, STABLE.release)
LATER = datetime.now(UTC) + timedelta(hours=1)
PATIENCE = 20.0


def tethers_of(folder, **systems):
    wired = {Name(name): Wired("webhook", system) for name, system in systems.items()}
    return Tethers(wired, GrantBook(folder))


def granted(tethers, holder=HOLDER):
    return {
        str(name): tethers.grant(tether, Leave(holder, LATER), tethers.fence(holder.endpoint)).means
        for name, tether in tethers.all.items()
    }


def gets_in(system, means):
    try:
        system.enter(means)
    except PermissionError:
        return False
    return True


def until(is_so):
    ends = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends, "it never became so"
        time.sleep(0.01)


def test_one_that_hangs_one_that_lies_and_one_that_is_down_hold_up_no_other(tmp_path):
    systems = {name: InMemory() for name in ("memory", "database", "hung", "liar", "gone")}
    tethers = tethers_of(tmp_path, **systems)
    means = granted(tethers)
    systems["hung"].trouble, systems["liar"].trouble, systems["gone"].trouble = "hangs", "lies", "down"
    began = datetime.now(UTC)

    severed = {str(one.name): one for one in tethers.sever(Scope(PROD)).result(tethers, 3.0)}

    assert {name: one.state for name, one in severed.items()} == {
        "memory": "cut", "database": "cut", "hung": "unknown", "liar": "open", "gone": "unknown",
    }  # fmt: skip
    assert severed["hung"].why == "no answer in time" and severed["gone"].why == "it is down"
    for name in ("memory", "database"):
        assert not gets_in(systems[name], means[name])
        assert began <= severed[name].cut_at <= severed[name].probed_at < began + timedelta(seconds=3)
    assert {str(alarm.severed.name) for _, alarm in tethers.alarms()} == {"hung", "liar", "gone"}
    systems["hung"].answers.set()


def test_what_was_said_to_be_unknown_is_no_alarm_any_more_when_it_is_cut_after_all(tmp_path):
    slow = InMemory()
    tethers = tethers_of(tmp_path, slow=slow)
    granted(tethers)
    slow.trouble = "hangs"

    (severed,) = tethers.sever(Scope(PROD)).result(tethers, 0.1)
    slow.answers.set()

    assert severed.state == "unknown"
    until(lambda: not tethers.alarms())
    assert tethers.book.holders(Name("slow")) == []


def test_nothing_is_granted_behind_a_cut(tmp_path):
    system = InMemory()
    tethers = tethers_of(tmp_path, memory=system)
    (tether,) = tethers.all.values()
    fence = tethers.fence(PROD)

    tethers.sever(Scope(PROD)).result(tethers)

    with pytest.raises(DeniedError, match="was cut meanwhile"):
        tethers.grant(tether, Leave(HOLDER, LATER), fence)
    tethers.grant(tether, Leave(replace(HOLDER, endpoint=OTHER), LATER), tethers.fence(OTHER))
    assert list(system.secrets) == [replace(HOLDER, endpoint=OTHER).login]


def test_what_hangs_while_it_is_granted_is_cut_when_it_comes_back(tmp_path):
    system, refused = InMemory(), []
    tethers = tethers_of(tmp_path, memory=system)
    (tether,) = tethers.all.values()
    fence, system.trouble = tethers.fence(PROD), "hangs"

    def grant():
        try:
            tethers.grant(tether, Leave(HOLDER, LATER), fence)
        except DeniedError as e:
            refused.append(e)

    granting = threading.Thread(target=grant)
    granting.start()
    until(lambda: system.asked)
    severing = tethers.sever(Scope(PROD))
    until(lambda: len(system.asked) > 1)  # the cut waits no longer for its turn
    system.answers.set()
    granting.join(PATIENCE)
    severing.result(tethers)

    assert refused and not system.secrets


def test_what_was_granted_behind_a_cut_and_does_not_let_go_is_an_alarm_until_it_is_cut(tmp_path):
    class Slow(InMemory):
        def grant(self, holder, until, tools=()):
            means = super().grant(holder, until, tools)
            tethers.sever(Scope(PROD, (candidate,))).result(tethers, 0.0)
            self.trouble = "down"
            return means

    candidate, system = replace(HOLDER, release=CANDIDATE.release), Slow()
    tethers, scope = tethers_of(tmp_path, memory=system), Scope(PROD, (HOLDER,))
    (tether,) = tethers.all.values()

    with pytest.raises(DeniedError, match="was cut meanwhile"):
        tethers.grant(tether, Leave(HOLDER, LATER), tethers.fence(PROD))

    assert system.secrets and tether.alarms[scope].severed.state == "unknown"
    assert not tethers.access and HOLDER in tethers.book.holders(Name("memory"))
    system.trouble = ""
    assert tethers.cut(tether, scope).state == "cut"
    assert not system.secrets and scope not in tether.alarms


def test_a_cut_of_what_a_run_held_leaves_others_in(tmp_path):
    system = InMemory()
    tethers = tethers_of(tmp_path, memory=system)
    candidate, elsewhere = replace(HOLDER, release=CANDIDATE.release), replace(HOLDER, endpoint=OTHER)
    means = {holder: granted(tethers, holder)["memory"] for holder in (HOLDER, candidate, elsewhere)}

    tethers.sever(Scope(PROD, (HOLDER,))).result(tethers)

    assert [holder for holder in means if gets_in(system, means[holder])] == [candidate, elsewhere]
    assert set(tethers.book.holders(Name("memory"))) == {candidate, elsewhere}


def test_a_host_knows_all_that_the_policy_names_in_the_kind_that_it_names(tmp_path):
    tethers = tethers_of(tmp_path, crm=InMemory())

    tethers.check(None)
    tethers.check({Name("crm"): Bound("webhook")})
    for bindings in ({Name("crm"): Bound("redis")}, {Name("crm"): Bound("webhook"), Name("memory"): Bound("redis")}):
        with pytest.raises(DeniedError):
            tethers.check(bindings)


def test_what_was_granted_is_kept_on_the_disk_until_it_is_proven_to_be_cut(tmp_path):
    system = InMemory()
    first = tethers_of(tmp_path, memory=system)
    granted(first)
    assert list(GrantBook(tmp_path).holders(Name("memory"))) == [HOLDER]

    system.trouble = "lies"
    first.sever(Scope(PROD)).result(first)
    assert list(GrantBook(tmp_path).holders(Name("memory"))) == [HOLDER]

    system.trouble = ""
    first.sever(Scope(PROD)).result(first)
    assert not GrantBook(tmp_path).holders(Name("memory"))


def test_on_a_disk_that_takes_no_more_nothing_is_granted_and_what_was_is_cut(tmp_path):
    system, folder = InMemory(), tmp_path / "bindings"
    first = tethers_of(folder, memory=system)
    granted(first)
    folder.rename(tmp_path / "aside")
    folder.write_text("no folder")

    assert first.sever(Scope(PROD)).result(first)[0].state == "cut"
    assert not first.book.holders(Name("memory"))
    with pytest.raises(UnavailableError):
        granted(first)

    folder.unlink()
    (tmp_path / "aside").rename(folder)
    assert list(GrantBook(folder).holders(Name("memory"))) == [HOLDER], "the next agent cuts it once more"


@pytest.mark.parametrize("text", ["", "{}", '{"type":"granted-book/v2","entries":[]}'])
def test_a_book_that_says_nothing_is_no_empty_book(tmp_path, text):
    (tmp_path / "granted.json").write_text(text)

    with pytest.raises(VerificationError):
        GrantBook(tmp_path)


@dataclass
class Agent:
    """An agent as far as its bindings need it."""

    tethers: Tethers
    holdings: Holdings = field(default_factory=Holdings)
    worries: dict = field(default_factory=dict)
    host: object = field(default_factory=type("Host", (), {"node": HOST}))

    def worry(self, about, what):
        self.worries[about] = what

    def fine(self, about):
        self.worries.pop(about, None)

    def begin(self, kind, *, bindings=("memory",)):
        holding = run(kind)
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        holding.held = Held(now, now + 10 * NANOSECONDS, now + 30 * NANOSECONDS)
        holding.bindings = None if bindings is None else {Name(name): Bound("webhook") for name in bindings}
        self.holdings.add(holding)
        return holding


@pytest.fixture
def system():
    return InMemory()


@pytest.fixture
def agent(system, tmp_path):
    return Agent(tethers_of(tmp_path, memory=system))


@pytest.fixture
def tending(agent):
    (tether,) = agent.tethers.all.values()
    return Tending(agent, tether)


def test_a_run_is_told_what_it_may_hold_and_again_with_each_lease(agent, tending, system):
    holding = agent.begin(STABLE)
    tending.look(0)
    tending.look(1)
    (first,) = holding.channel.words
    assert gets_in(system, first.means) and (first.name, first.login) == (Name("memory"), HOLDER.login)

    later = Held(
        *(at + 10 * NANOSECONDS for at in (holding.held.sent_at_ns, holding.held.renew_at_ns, holding.held.deadline_ns))
    )
    holding.held = later
    tending.look(2)

    second = holding.channel.words[1]
    assert second.means == first.means
    assert timedelta(seconds=9) < second.until - first.until < timedelta(seconds=11)
    assert abs(system.until[HOLDER.login] - second.until) < timedelta(seconds=1)


def test_what_the_policy_does_not_name_is_not_granted(agent, tending, system):
    agent.begin(STABLE, bindings=("database",))
    agent.begin(CANDIDATE, bindings=())
    holding = agent.begin(replace(STABLE, endpoint=OTHER))
    holding.held = None

    tending.look(0)

    assert not system.asked


def test_what_no_run_holds_is_cut_after_it_had_the_time_to_come_back(agent, tending, system):
    holding = agent.begin(STABLE)
    tending.look(0)
    agent.holdings.remove(holding)
    tending.look(1)
    assert system.secrets

    agent.holdings.add(holding)
    tending.look(2)
    agent.holdings.remove(holding)
    tending.look(1 + COME_BACK_SECONDS)
    assert system.secrets
    tending.look(1 + 2 * COME_BACK_SECONDS)

    assert not system.secrets and not agent.worries


def test_what_a_run_that_ended_held_is_cut_at_once_unless_another_run_holds_it(agent, tending, system):
    first, second = agent.begin(STABLE), agent.begin(STABLE)
    tending.look(0)
    for holding, left in ((first, True), (second, False)):
        holding.ended.set()
        agent.tethers.leave(HOLDER)
        agent.holdings.remove(holding)
        tending.look(0.1)
        assert bool(system.secrets) is left


def test_after_a_start_what_a_run_holds_that_is_not_judged_yet_is_left_to_it(agent, tending, system):
    agent.tethers.book.note(Name("memory"), HOLDER)
    system.secrets[HOLDER.login] = "former"
    agent.begin(STABLE, bindings=None)

    tending.look(0)
    tending.look(2 * COME_BACK_SECONDS)

    assert not system.asked


@pytest.mark.parametrize("first", ["judged", "claimed"])
def test_a_run_that_was_not_judged_is_told_nothing_although_another_holds_the_same(agent, tending, system, first):
    kinds = {"judged": ("memory",), "claimed": None}
    runs = {kind: agent.begin(STABLE, bindings=kinds[kind]) for kind in (first, *(kinds.keys() - {first}))}
    runs["judged"].tools = ("look-up",)

    tending.look(0)
    tending.look(1)

    assert len(runs["judged"].channel.words) == 1 and not runs["claimed"].channel.words
    assert system.tools == {HOLDER.login: ("look-up",)}


def test_what_a_run_claims_that_neither_serves_nor_was_judged_is_cut(agent, tending, system):
    agent.tethers.book.note(Name("memory"), HOLDER)
    system.secrets[HOLDER.login] = "former"
    agent.begin(STABLE, bindings=None).serving = False

    tending.look(0)
    tending.look(COME_BACK_SECONDS)

    assert not system.secrets


def test_what_the_policy_names_no_more_is_cut(agent, tending, system):
    holding = agent.begin(STABLE)
    tending.look(0)
    holding.bindings = {}

    tending.look(1)
    tending.look(1 + COME_BACK_SECONDS)

    assert not system.secrets


def test_an_alarm_is_said_and_tried_again_until_it_is_none_and_nothing_is_granted_meanwhile(agent, tending, system):
    holding = agent.begin(STABLE)
    tending.look(0)
    system.trouble = "lies"
    agent.holdings.remove(holding)
    agent.tethers.sever(Scope(PROD)).result(agent.tethers)
    again = agent.begin(STABLE)

    tending.look(10)
    assert "ALARM: memory is open" in agent.worries[f"memory at {PROD}"]
    assert not again.channel.words
    tending.look(10.1)
    system.trouble = ""
    tending.look(20)
    tending.look(30)

    assert not agent.worries
    assert (
        gets_in(system, again.channel.words[0].means) and again.channel.words[0].means != holding.channel.words[0].means
    )


@pytest.mark.parametrize("trouble", ["down"])
def test_what_is_not_granted_is_said_and_asked_for_again(agent, tending, system, trouble):
    system.trouble = trouble
    holding = agent.begin(STABLE)
    tending.look(0)
    assert "it is down" in next(iter(agent.worries.values())) and not holding.channel.words

    system.trouble = ""
    tending.look(1)

    assert len(holding.channel.words) == 1 and not agent.worries


def test_a_release_that_was_stopped_is_granted_nothing(agent, tending, system):
    holding = agent.begin(STABLE)
    agent.holdings.stop(PROD, "stop")
    tending.look(0)

    assert not system.asked and holding.channel.words == ["stop"]
    assert Digest.of(b"stable") == STABLE.release
