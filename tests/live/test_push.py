"""Does a host hear at once what is done at the server, long before its lease would tell it?"""

import asyncio
import re
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

import tests.world
from lockgate.agent import attending, renewing
from lockgate.agent.attending import heed, learn_until_the_end, listen_until_the_end
from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node
from lockgate.agent.renewing import renew_until_the_end
from lockgate.app.issue_passport import passport_for
from lockgate.core.news import News
from lockgate.core.policy import Lease
from lockgate.loader.control import Leased, Stop
from lockgate.loader.hearing import hear
from lockgate.loader.leasing import Claim
from tests.live import drill, serving
from tests.live.company import Company
from tests.live.company import serving as served
from tests.live.drill import Stage, wait_until
from tests.live.test_agent_learns import Told
from tests.live.test_server import found_installation, running, speak
from tests.world import PROD

SECONDS = 300  # of a lease, which is renewed at a third of it
SOON = 60  # far less, and far more than a busy machine takes

cluster = drill.cluster


@pytest.fixture(scope="module")
def of_today():
    """Leases of five minutes, in a world of today; an agent that looks at nothing by itself within an hour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        rules = replace(tests.world.rules(), lease=Lease(SECONDS, "stop"))
        patch.setattr(tests.world, "rules", lambda: rules)
        patch.setattr(attending, "LOOK_SECONDS", 3600.0)
        yield


@pytest.fixture
def company(of_today, tmp_path):
    company = Company(tmp_path)
    company.release = company.serve()
    return company


@pytest.fixture
def node(company):
    with served(company.world) as url:
        node = Node(company.home(url), print)
        yield node
        node.ending.set()


@pytest.fixture
def attended(company, node, monkeypatch):
    """An agent that holds the lease of one run, and listens; it has done what it does when the line comes up."""
    heard = []
    monkeypatch.setattr(attending, "heed", lambda node, news: heard.append(news) or heed(node, news))
    told = held(company, node)
    attend(node, renew_until_the_end, learn_until_the_end, listen_until_the_end)
    wait_until(lambda: told.words and heard and not node.wake.is_set() and not node.hint.is_set(), SOON)
    assert [type(word) for word in told.words if not isinstance(word, Leased)] == []
    return node, told


def held(company, node):
    """Let the agent hold a run; give what the run is told."""
    claim = Claim(PROD, company.release.digest, company.world.endpoint().epoch, SECONDS)
    told, now, passport = Told(), datetime.now(UTC), passport_for(company.world.installation, PROD)
    tag = company.release.manifest.tag
    node.holdings.add(Holding(claim, tag, 0, told, now, passport, now, node.edition, serving=True))
    return told


def attend(node, *duties):
    for duty in duties:
        threading.Thread(target=partial(duty, node), daemon=True).start()


def stopped(told):
    wait_until(lambda: isinstance(told.words[-1], Stop), SOON)
    return told.words[-1]


def test_a_shutdown_by_way_of_the_server_stops_what_runs(company, attended):
    company.world.shut_down()

    assert "shut down" in str(stopped(attended[1]).reasons) or "suspended" in str(stopped(attended[1]).reasons)


def test_a_release_that_was_replaced_is_asked_for_and_stops(company, attended):
    company.world.serve("1.1.0")

    assert stopped(attended[1]).reasons


def test_a_revocation_stops_what_runs_and_the_deny_list_is_learnt_at_once(company, attended):
    node, told = attended
    company.world.revoke(str(company.release.manifest.tag))

    assert stopped(told).reasons
    wait_until(lambda: node.host.revoked.release(company.release.digest) is not None, SOON)


def test_new_rules_are_learnt_at_once_and_what_runs_runs_on(company, attended):
    node, told = attended
    company.world.offboard("bob")

    wait_until(lambda: "bob" in map(str, node.host.revoked.left), SOON)
    assert {type(word) for word in told.words} == {Leased}


@pytest.mark.parametrize("word", ["suspended", "replaced", "revoked", "rules", "look"])
def test_a_word_that_lies_makes_an_agent_ask_and_changes_nothing(attended, word):
    node, told = attended
    before, heard_at = len(told.words), node.heard_at

    for _ in range(5):
        heed(node, News(word, str(PROD), 10**9))

    if word != "rules":
        wait_until(lambda: len(told.words) > before and node.heard_at != heard_at, SOON)
    assert {type(word) for word in told.words} == {Leased}
    assert len(node.holdings.all()) == 1


@pytest.mark.parametrize(
    ("news", "asks", "learns"),
    [
        (None, True, True),
        (News("look", "prod", 1), True, True),
        (News("suspended", str(PROD), 1), True, False),
        (News("replaced", str(PROD), 1), True, False),
        (News("suspended", "prod/other", 1), False, False),
        (News("replaced", "prod/magik", 1), False, False),
        (News("revoked", "sha256:" + "0" * 64, 1), True, False),
        (News("rules", "prod", 1), False, True),
    ],
)
def test_a_word_makes_an_agent_ask_for_what_it_is_about(company, node, news, asks, learns):
    held(company, node)

    heed(node, news)

    assert (node.wake.is_set(), node.hint.is_set()) == (asks, learns)


def test_what_was_heard_while_nobody_could_be_asked_is_asked_later(company, node):
    told = held(company, node)
    attend(node, renew_until_the_end)
    wait_until(lambda: told.words, SOON)
    node.worry("log", "the server shows another log")
    node.wake.set()
    wait_until(lambda: "server" in node.trouble, SOON)
    company.world.shut_down()

    node.fine("log")

    assert stopped(told).reasons


def test_however_many_words_come_an_agent_asks_at_its_own_pace(attended):
    node, told = attended
    learnt, before = [], len(told.words)
    node.learn = lambda: learnt.append(1) is None
    began = time.monotonic()

    while time.monotonic() < began + 2:
        heed(node, None)

    lasted = time.monotonic() - began
    assert len(told.words) - before <= lasted / renewing.BREATH_SECONDS + 2
    assert len(learnt) <= lasted / attending.BREATH_SECONDS + 2


@pytest.mark.slow
def test_a_run_hears_of_a_shutdown_also_after_the_server_was_started_again(of_today, cluster, tmp_path):
    stage = Stage(tmp_path, cluster.database()[1])
    try:
        stage.serve()
        with stage.cast():
            wait_until(lambda: listeners(stage) == 1, SOON)
            stage.kill_server()
            stage.serve()
            wait_until(lambda: listeners(stage) == 1, SOON)
            assert stage.is_serving()

            olivia = serving.speak(stage.port, "olivia")
            olivia.act(f"/api/v1/endpoints/{PROD}/shutdown", olivia.intend("endpoint.suspend", PROD))

            stage.silence(SOON)
    finally:
        stage.end()


def listeners(stage):
    metrics = serving.speak(stage.port, "ann").fetch("/metrics").decode()
    return int(re.search(r"^lockgate_listeners (\d+)$", metrics, re.MULTILINE)[1])


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    home = tmp_path_factory.mktemp("push") / "home"
    found_installation(home)
    with running(home) as (url, process):
        yield url, process


def shut_down(url):
    dave = speak(url, "dave")
    dave.act(f"/api/v1/endpoints/{PROD}/shutdown", dave.intend("endpoint.suspend", PROD))


def test_listeners_hold_no_threads_and_all_hear(up):
    url, process = up
    connection = speak(url, "host-1")
    connection.get("/api/v1/installation")
    before = _threads(process.pid)

    heard, most = asyncio.run(_listen(url, connection.token, process.pid))

    assert most - before <= 8, "listeners hold threads"
    assert heard == 16, "as many as one node may have"


async def _listen(url, token, pid):
    host, port = re.fullmatch(r"http://(.*):(\d+)", url).groups()
    head = f"GET /api/v1/news HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    lines = [await asyncio.open_connection(host, int(port)) for _ in range(40)]
    answers = []
    for reader, writer in lines:  # one after the other: to look at a session takes a thread for a moment
        writer.write(head)
        answers.append(await reader.readuntil(b"\r\n\r\n"))
    taken = [reader for (reader, _), answer in zip(lines, answers, strict=True) if b" 200 " in answer]
    assert all(b" 503 " in answer for answer in answers if b" 200 " not in answer)
    most = _threads(pid)
    await asyncio.to_thread(shut_down, url)
    await asyncio.gather(*(asyncio.wait_for(reader.readuntil(b"event: suspended"), SOON) for reader in taken))
    for _, writer in lines:
        writer.close()
    return len(taken), most


def _threads(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_a_server_that_ends_lets_its_listeners_go_and_is_gone(tmp_path):
    home = tmp_path / "home"
    found_installation(home)
    with running(home) as (url, process):
        lines: list[object] = []
        ended = threading.Event()

        def listen():
            line = hear(speak(url, "host-1"), ended=ended.is_set, pause=lambda _: ended.set(), tell=lines.append)
            lines.extend(line)

        def is_up():
            return re.search(r"^lockgate_listeners 1$", speak(url, "ann").fetch("/metrics").decode(), re.MULTILINE)

        thread = threading.Thread(target=listen)
        thread.start()
        wait_until(is_up, SOON)
        process.terminate()
        thread.join(SOON)
        process.wait(SOON)

    assert lines[-1] == "the line to the server is down: the server has ended it"
