"""Does every channel say whether a message was taken, and send it as it is?"""

import socket

import pytest

from lockgate.core.notice import Notice
from lockgate.errors import UnavailableError, VerificationError
from tests.receivers import Heard, Receiver

pytestmark = pytest.mark.live  # a socket of this machine

ALERT = Notice("Lockgate prod: shutdown", "olivia shut prod/magika down (entry 12).", 12)
SECRET = b"s" * 32


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def channel(url, number=1):
    apprise = pytest.importorskip("lockgate.drivers.apprise")
    return apprise.AppriseChannel(url, number, SECRET)


class Memory:
    """The channel in memory, as tests of this contract see it."""

    def __init__(self):
        self.channel = Heard()

    def refuse(self):
        self.channel.refuses = True

    @property
    def texts(self):
        return [notice.text for notice in self.channel.notices]


class Http:
    """The channel that speaks to a real receiver."""

    def __init__(self, receiver):
        self.receiver, self.channel = receiver, channel(f"json://127.0.0.1:{receiver.port}")

    def refuse(self):
        self.receiver.answer = 503

    @property
    def texts(self):
        return self.receiver.texts


@pytest.fixture(params=["memory", "apprise"])
def heard(request, port):
    if request.param == "memory":
        yield Memory()
        return
    with Receiver(port) as receiver:
        yield Http(receiver)


def test_a_message_that_is_taken_was_sent(heard):
    heard.channel.tell(ALERT)

    assert heard.texts == [ALERT.text]


def test_one_that_is_not_taken_is_said_so(heard):
    heard.refuse()

    with pytest.raises(UnavailableError):
        heard.channel.tell(ALERT)
    assert heard.texts == []


def test_the_title_and_the_text_travel_as_they_are(port):
    odd = Notice("T ${HOME} :smile:", "a\\nb <b>&amp;</b> *x* ${HOME} {{y}} :smile: file:///etc/passwd", 1)

    with Receiver(port) as receiver:
        channel(f"json://127.0.0.1:{port}").tell(odd)

    (body,) = receiver.bodies
    assert (body["title"], body["message"], body["attachments"]) == (odd.title, odd.text, [])


def test_where_html_is_wanted_text_stays_text(port):
    with Receiver(port) as receiver:
        channel(f"json://127.0.0.1:{port}?format=html").tell(Notice("t", "<b>bold</b>", 1))

    assert "&lt;b&gt;bold&lt;/b&gt;" in receiver.texts[0]


@pytest.mark.parametrize("answer", [302, 307, 400, 500, 204 + 200])
def test_only_a_yes_is_a_yes_and_no_answer_sends_us_elsewhere(port, answer):
    with Receiver(port) as receiver:
        receiver.answer = answer
        with pytest.raises(UnavailableError, match="did not take"):
            channel(f"json://127.0.0.1:{port}").tell(ALERT)
    assert receiver.bodies == []


def test_nobody_there_is_said_without_the_url(port):
    with pytest.raises(UnavailableError) as failed:
        channel(f"json://alice:hunter2@127.0.0.1:{port}/token").tell(ALERT)

    assert not [word for word in ("hunter2", "alice", "token", str(port)) if word in str(failed.value)]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "none that apprise knows"),
        ("nosuch://127.0.0.1", "none that apprise knows"),
        ("json://", "none that apprise knows"),
        ("/etc/apprise.yml", "none that apprise knows"),
        ("json://127.0.0.1?verify=no", "check of certificates out"),
        ("json://127.0.0.1?redirect=yes", "follows redirects"),
        ("json://127.0.0.1?optional=yes", "nobody would notice"),
    ],
)
def test_a_url_that_makes_no_sense_or_hides_a_failure_is_refused_without_being_shown(url, why):
    with pytest.raises(VerificationError, match=why) as refused:
        channel(url, 3)

    assert "number 3" in str(refused.value)
    assert not url or url not in str(refused.value)


def test_a_name_says_the_kind_and_nothing_else():
    one, again, other = (channel(f"jsons://u:{secret}@example.com") for secret in ("a", "a", "b"))

    assert one.name == again.name != other.name
    assert one.name.startswith("jsons-") and len(one.name) == len("jsons-") + 8
    assert "example" not in one.name
