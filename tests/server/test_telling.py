"""Is every channel followed by itself, and is it shown when one does not answer?"""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lockgate.core.notice import Notice
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name
from lockgate.server import telling
from lockgate.server.asgi import build
from lockgate.server.telling import FILE, Places, Teller, readiness, samples, tellers_of
from lockgate.settings import Settings
from tests.receivers import Heard


class Once:
    """An `ended` that lets the loop go round `times`, and remembers how long it was asked to wait."""

    def __init__(self, times):
        self.times, self.waits = times, []

    def is_set(self):
        return len(self.waits) > self.times

    def wait(self, seconds):
        self.waits.append(seconds)
        return self.is_set()


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def teller(world, heard, tmp_path):
    (found,) = tellers_of(world.installation, [heard], tmp_path)
    return found


def test_the_first_channels_begin_at_the_end_and_later_ones_where_those_stand(tmp_path):
    path = tmp_path / FILE
    first = Places(path, ["a", "b"], 7)
    assert (first.of("a"), first.of("b")) == (7, 7)
    first.remember("a", 12)

    again = Places(path, ["a", "c"], 99)
    assert (again.of("a"), again.of("c")) == (12, 7)
    again.remember("c", 20)
    assert Places(path, ["d"], 99).of("d") == 12
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_two_servers_of_a_home_one_tells_and_the_other_goes_on_where_it_ended(world, tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    ((first, heard), (second, also)) = (
        (tellers_of(world.installation, [each], folder)[0], each) for each in (Heard(), Heard())
    )
    world.serve()
    first.follow(Once(1))
    second.follow(Once(1))
    told = len(heard.notices)
    assert told and also.notices == [] and second.place == first.place, "it tells, or knows not how far that one is"

    first.end()
    world.serve("1.1.0")
    second.follow(Once(1))
    assert also.notices and len(heard.notices) == told and second.place > first.place


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"x", b'{"places":{"a":"7"}}', b'{"places":{"a":-1}}'])
def test_a_file_that_says_nothing_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)

    with pytest.raises(VerificationError, match="does not say who was told what"):
        Places(tmp_path / FILE, ["a"], 7)


def test_a_place_that_cannot_be_remembered_is_said(tmp_path):
    with pytest.raises(UnavailableError, match="cannot write"):
        Places(tmp_path / "nowhere" / FILE, ["a"], 7)
    (tmp_path / FILE).mkdir()
    with pytest.raises(UnavailableError, match="cannot read"):
        Places(tmp_path / FILE, ["a"], 7)


def test_only_news_are_told_and_each_once(world, heard, teller, tmp_path):
    teller.follow(Once(1))
    assert heard.notices == []

    world.serve()
    world.shut_down()
    teller.follow(Once(3))

    assert [notice.title for notice in heard.notices] == ["Lockgate prod: approval needed", "Lockgate prod: shutdown"]
    assert teller.place == world.memory.size() == Places(tmp_path / FILE, ["memory"], 0).of("memory")
    assert (teller.told, teller.failed, teller.failing) == (2, 0, False)


def test_a_channel_that_does_not_answer_is_asked_less_and_less_often(world, heard, teller):
    world.serve()
    world.shut_down()
    heard.refuses = True
    waits = Once(12)

    teller.follow(waits)

    assert waits.waits == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert (teller.told, teller.failed, teller.failing) == (0, 12, True)

    heard.refuses = False
    teller.follow(Once(1))
    assert len(heard.notices) == 2
    assert not teller.failing


def test_a_channel_that_breaks_in_its_own_way_is_no_end_of_telling(world, heard, teller, monkeypatch):
    world.serve()
    world.shut_down()
    with monkeypatch.context() as broken:
        broken.setattr(heard, "tell", lambda _: 1 / 0)
        teller.follow(Once(2))
    assert teller.failing

    teller.follow(Once(1))

    assert len(heard.notices) == 2


def test_the_others_do_not_wait_for_it(world, tmp_path):
    deaf, heard = Heard("deaf"), Heard("heard")
    deaf.refuses = True
    tellers = tellers_of(world.installation, [deaf, heard], tmp_path)
    world.serve()
    world.shut_down()

    for teller in tellers:
        teller.follow(Once(2))

    assert (len(deaf.notices), len(heard.notices)) == (0, 2)
    assert readiness(tellers) == {"notifications": "1 of 2 channels do not answer"}
    assert readiness(tellers[1:]) == {"notifications": "told"}
    assert readiness(()) == {}
    lines = list(samples(tellers))
    assert 'lockgate_notification_messages_total{channel="deaf",answer="failed"} 2' in lines
    assert 'lockgate_notification_messages_total{channel="heard",answer="told"} 2' in lines
    assert 'lockgate_notification_failing{channel="deaf"} 1' in lines
    assert f'lockgate_notification_place{{channel="heard"}} {world.memory.size()}' in lines
    assert len([line for line in lines if line.startswith("# TYPE")]) == 3
    assert list(samples(())) == []


def test_a_frozen_log_is_told_at_once_and_when_it_is_over(world, heard, teller):
    for hook in world.installation.watch.hooks:
        hook("the database has 3 entries, but 5 were signed")
        hook(None)

    teller.follow(Once(1))

    assert [notice.title for notice in heard.notices] == [
        "Lockgate prod: log frozen",
        "Lockgate prod: log no longer frozen",
    ]


def test_one_that_was_frozen_before_anybody_could_be_told_is_told_too(world, heard, tmp_path):
    world.installation.watch.frozen = "it was put back"
    (teller,) = tellers_of(world.installation, [heard], tmp_path)

    teller.follow(Once(1))

    world.installation.watch.frozen = None
    assert [notice.title for notice in heard.notices] == ["Lockgate prod: log frozen"]


def test_what_waits_is_told_again_when_it_failed(world, heard, teller):
    heard.refuses = True
    teller.urge(Notice("t", "frozen"))
    teller.follow(Once(2))
    heard.refuses = False

    teller.follow(Once(1))

    assert [notice.text for notice in heard.notices] == ["frozen"]


def test_the_server_tells_beside_its_requests_and_shows_it(world, heard, tmp_path, monkeypatch):
    monkeypatch.setattr(telling, "_PULSE", 0.001)
    told = threading.Event()
    monkeypatch.setattr(
        heard, "tell", lambda notice: (heard.notices.append(notice), "shutdown" in notice.title and told.set())
    )
    settings = Settings(tmp_path, Name("prod"), "prod.example", session_key=bytes(32))
    app = build(world.installation, settings, clock=lambda: world.now + timedelta(0), channels=[heard])

    with TestClient(app, base_url="http://localhost") as client:
        world.serve()
        world.shut_down()
        assert told.wait(10)
        assert client.get("/readyz").json() == {"status": "ready", "notifications": "told"}
    assert [notice.title for notice in heard.notices] == ["Lockgate prod: approval needed", "Lockgate prod: shutdown"]
    assert Path(tmp_path / FILE).exists()


def test_without_channels_nothing_is_remembered(world, tmp_path):
    assert tellers_of(world.installation, [], tmp_path) == ()
    assert list(tmp_path.iterdir()) == []
    assert world.installation.watch.hooks == []


def test_a_teller_is_named_as_its_channel(world, heard, tmp_path):
    assert Teller(world.installation, heard, Places(tmp_path / FILE, ["memory"], 0)).name == "memory"
