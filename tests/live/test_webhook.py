"""What may somebody do who is asked by webhook? Say yes or no: in time, in few bytes, at an address that may be."""

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lockgate.core.binding import Holder
from lockgate.drivers.webhook import Webhook
from lockgate.drivers.webhook.bounded_request import Target
from lockgate.drivers.webhook.vetted_address import resolve
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.formats.public_address import check_address
from lockgate.loader.tls import server_context
from tests.bound import Desk, in_trouble
from tests.live.tls_files import Files
from tests.world import key

pytestmark = pytest.mark.live

DESK = Endpoint.parse("prod/desk")
HOLDER = Holder(DESK, Name("host-1"), Digest.of(b"a"))
PATIENCE = 10.0  # seconds: the driver gives up after two, this machine may be busy


@pytest.fixture
def desk():
    with Desk() as desk:
        yield desk


@pytest.fixture
def webhook(desk, tmp_path):
    return bound(desk.url, tmp_path, private=True)


def bound(url, folder, **how):
    target = Target(url, **how)
    return Webhook(Name("crm"), (Name("host-1"), key("host-1")), target, target, folder / "kept")


def grant(webhook, holder=HOLDER):
    return webhook.grant(holder, datetime.now(UTC) + timedelta(minutes=5))


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("hangs", "no whole answer in time"),
        ("drips", "no whole answer in time"),
        ("endless", "the answer has more than 65536 bytes"),
        ("redirects", "answered 307"),
        ("down", "answered 503"),
    ],
)
def test_who_does_not_answer_as_he_should_is_unavailable_within_seconds(desk, webhook, trouble, why):
    token = grant(webhook)["token"]
    for act in (lambda: grant(webhook), lambda: webhook.cut(DESK), lambda: webhook.probe(DESK)):
        if trouble in ("endless", "drips") and act is not None:
            desk.tokens = {}
        with in_trouble(desk, trouble):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match=why) as told:
                act()

        assert time.monotonic() - began < PATIENCE
        assert str(told.value).startswith("crm: ")
        assert token not in str(told.value) and desk.url not in str(told.value)
    assert not desk.elsewhere


def test_what_is_no_grant_is_none(desk, webhook):
    with in_trouble(desk, "junk"), pytest.raises(UnavailableError, match="no JSON object"):
        grant(webhook)
    for token in (
        None,
        5,
        "",
        "short",
        "x" * 15,
        "x" * 4097,
        "with a space in the middle",
        "zwölf Bösewichte ü",
        "line\nline\nline\nline",
    ):
        desk.tokens[HOLDER.login] = token
        with pytest.raises(UnavailableError, match=r"holds (no|a) token"):
            grant(webhook)


def test_who_says_that_it_is_cut_and_lets_in_all_the_same_is_found_out(desk, webhook):
    grant(webhook)

    with in_trouble(desk, "lies"):
        webhook.cut(DESK)
        assert webhook.probe(DESK) == webhook.probe(DESK, HOLDER) == "open"
    webhook.cut(DESK)
    assert webhook.probe(DESK) == "shut"


@pytest.mark.parametrize("holder", [HOLDER, None])
def test_who_gave_nothing_is_tried_all_the_same(desk, webhook, holder):
    assert webhook.probe(DESK, holder) == "shut"
    for trouble in ("redirects", "down"):
        with in_trouble(desk, trouble), pytest.raises(UnavailableError):
            webhook.probe(DESK, holder)
    with in_trouble(desk, "junk"):  # 200, whoever comes
        assert webhook.probe(DESK, holder) == "open"


def test_an_agent_that_was_started_again_tries_what_was_given_to_the_one_before(desk, webhook, tmp_path):
    grant(webhook)

    again = bound(desk.url, tmp_path, private=True)

    assert again.probe(DESK) == "open"
    assert [oct(path.stat().st_mode)[-3:] for path in (tmp_path / "kept").iterdir()] == ["600"]


def test_who_gives_another_token_each_time_is_refused_after_a_few(desk, webhook):
    with pytest.raises(UnavailableError, match="another token each time"):
        for _ in range(9):
            desk.tokens.clear()
            grant(webhook)


def test_who_is_shut_and_let_in_again_and_again_is_not_refused(desk, webhook):
    for _ in range(12):
        given = grant(webhook)["token"]
        webhook.cut(DESK)
        assert webhook.probe(DESK) == "shut"

    desk.tokens = {HOLDER.login: given}  # it said that this one was cut
    assert webhook.probe(DESK) == "open"


def test_calls_are_signed_and_no_two_are_the_same(desk, webhook):
    grant(webhook)
    grant(webhook)
    webhook.cut(DESK, HOLDER)
    webhook.cut(DESK)

    assert [(call.act, call.login) for call in desk.calls] == [
        ("grant", HOLDER.login),
        ("grant", HOLDER.login),
        ("cut", HOLDER.login),
        ("cut", None),
    ]
    assert len({call.nonce for call in desk.calls}) == 4


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
def test_what_leads_to_this_machine_is_not_asked_unless_that_is_allowed(desk, tmp_path, host):
    port = desk.server.server_address[1]
    webhook = bound(f"https://{host}:{port}/", tmp_path)

    with pytest.raises(UnavailableError, match=r"crm: it leads to .* not public"):
        grant(webhook)
    assert not desk.calls


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        *(
            (address, True, True)
            for address in ("1.1.1.1", "93.184.216.34", "2606:4700::1111", "192.0.3.1", "172.32.0.1")
        ),
        *(
            (address, False, True)
            for address in ("127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "172.31.255.255")
        ),
        *((address, False, True) for address in ("192.168.1.1", "100.64.0.1", "::1", "fc00::1", "fd12:3456::1")),
        *((address, False, False) for address in ("0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255")),
        *((address, False, False) for address in ("198.18.0.1", "192.0.2.1", "::", "fe80::1", "fe80::1%lo", "fec0::1")),
        *((address, False, False) for address in ("64:ff9b::a9fe:a9fe", "::127.0.0.1", "::ffff:127.0.0.1", "ff02::1")),
        *((address, False, False) for address in ("2002:7f00:1::", "2001::1", "2001:db8::1", "3fff::1", "100::1")),
        *((address, False, False) for address in ("①②⑦.0.0.1", "127.1", "", "gate.example", "127.0.0.1.")),
    ],
)
def test_only_public_addresses_are_asked_and_private_ones_if_they_are_allowed(address, public, private):
    for allowed, wanted in ((False, public), (True, private)):
        if wanted:
            assert str(check_address(address, private=allowed)) == address
        else:
            with pytest.raises(VerificationError, match="it leads to"):
                check_address(address, private=allowed)


def test_a_name_with_one_bad_address_is_not_asked():
    with pytest.raises(VerificationError, match="not public"):
        resolve("localhost", 80, private=False, seconds=PATIENCE)
    with pytest.raises(UnavailableError, match="not resolved"):
        resolve("nowhere.invalid", 80, private=True, seconds=PATIENCE)


@pytest.mark.parametrize(
    "url",
    [
        *("http://gate.example/", "ftp://gate.example/", "file:///etc/passwd", "gate.example", "", "https:///hook"),
        *("https://user:secret@gate.example/", "https://gate.example/#x", "https://gate.example/\r\nx", "https://[::1"),
        "https://gate.example:99999/",
    ],
)
def test_an_address_is_written_in_one_way(url):
    with pytest.raises(VerificationError) as told:
        Target(url)
    assert "secret" not in str(told.value)


class Silent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def over_tls(files, issued):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.handle_error = lambda *_: None
    server.socket = server_context(files.shown(issued)).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def test_over_tls_only_the_right_certificate_counts(files):
    for issued, good in (
        (files.server(), True),
        (files.server(hosts=("elsewhere",)), False),
        (files.server(by=files.other), False),
    ):
        server = over_tls(files, issued)
        url = f"https://localhost:{server.server_address[1]}/"
        target = Target(url, private=True, tls=files.believing(files.company))
        if good:
            assert target.ask("GET", None, {}, PATIENCE).status == 401
        else:
            with pytest.raises(UnavailableError, match="its certificate is not believed"):
                target.ask("GET", None, {}, PATIENCE)
        server.shutdown()
        server.server_close()


def test_who_never_shakes_hands_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        target = Target(f"https://127.0.0.1:{mute.getsockname()[1]}/", private=True)

        with pytest.raises(UnavailableError, match="no whole answer in time"):
            target.ask("GET", None, {}, 0.5)
