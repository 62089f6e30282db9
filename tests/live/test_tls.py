"""Who may speak to whom over TLS? Real handshakes: a few that are good, and everything that is nearly as good."""

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import urllib3

from lockgate.core.intent import sign_intent
from lockgate.errors import UnavailableError
from lockgate.formats.names import Name
from lockgate.loader.connection import Connection
from lockgate.loader.host import open_host
from lockgate.loader.opening import connect, judge_endpoint
from lockgate.loader.tls import Tls, client_context, server_context
from tests.authority import authority
from tests.live.company import Company, serving
from tests.live.tls_files import CLIENT, HERE, SERVER, Files
from tests.world import PROD, World, key


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


@pytest.fixture(scope="module")
def world():
    return World()


def ask(url, tls):
    """Read something as alice."""
    alice = Connection(url, Name("alice"), lambda intent: sign_intent(intent, key("alice")), tls)
    return alice.get("/api/v1/installation")["environment"]


def pinned(files, shown):
    return shown, Tls(authorities=shown.certificate)


def below(files, **spoilt):
    between = authority("between", by=files.company, purposes=(), at=datetime.now(UTC), **spoilt)
    return files.shown(files.server(between), between), files.believing(files.company)


def vouched_for(files):
    shown, pinned_one = files.vouched_for(files.server)
    return shown, files.believing(pinned_one)


def shake(server, client):
    """Let two sides of TLS shake hands; raise what the server finds wrong."""
    ours, theirs = socket.socketpair()

    def knock():
        with suppress(OSError), client_context(client).wrap_socket(theirs, server_hostname="localhost") as wire:
            wire.recv(1)

    thread = threading.Thread(target=knock)
    thread.start()
    with ours:
        try:
            server_context(server).wrap_socket(ours, server_side=True).close()
        finally:
            ours.close()
            thread.join(10)


GOOD_SERVERS = {
    "of the company": lambda f: (f.shown(f.server()), f.believing(f.company)),
    "of one of two authorities": lambda f: (f.shown(f.server()), f.believing(f.other, f.company)),
    "under another authority": below,
    "pinned, by whomever it was issued": lambda f: (f.shown(f.server(f.other)), f.believing(f.server(f.other))),
    "self-signed and pinned": lambda f: pinned(f, f.alone("gate", *HERE)),
    "by address only": lambda f: (f.shown(f.server(hosts=("127.0.0.1",))), f.believing(f.company)),
}

BAD_SERVERS = {
    "another authority": (
        lambda f: (f.shown(f.server(f.other)), f.believing(f.company)),
        "unable to get local issuer|self.signed",
    ),
    "expired": (lambda f: (f.shown(f.server(days=(-9, -1))), f.believing(f.company)), "expired"),
    "not yet valid": (lambda f: (f.shown(f.server(days=(1, 9))), f.believing(f.company)), "not yet valid"),
    "another name": (lambda f: (f.shown(f.server(hosts=("gate.example",))), f.believing(f.company)), "mismatch"),
    "the name of another address": (
        lambda f: (f.shown(f.server(hosts=("127.0.0.2",))), f.believing(f.company)),
        "mismatch",
    ),
    "an address written as a name": (
        lambda f: (f.shown(f.server(name="127.0.0.1", hosts=("localhost",))), f.believing(f.company)),
        "mismatch",
    ),
    "the name in the subject only": (
        lambda f: (f.shown(f.server(name="127.0.0.1", hosts=())), f.believing(f.company)),
        "mismatch|no alternative",
    ),
    "for clients only": (lambda f: (f.shown(f.server(purposes=CLIENT)), f.believing(f.company)), "purpose"),
    "self-signed, not pinned": (lambda f: (f.alone("gate", *HERE), None), "self.signed"),
    "self-signed, another is pinned": (
        lambda f: (f.alone("gate", *HERE), Tls(authorities=f.alone("evil", *HERE).certificate)),
        "self.signed|local issuer",
    ),
    "pinned, expired": (lambda f: pinned(f, f.alone("gate", *HERE, days=-1)), "expired"),
    "pinned, another name": (lambda f: pinned(f, f.alone("gate", "gate.example")), "mismatch"),
    "issued by one that is pinned": (
        vouched_for,
        "invalid CA certificate|local issuer|not trusted|key usage|CA cert",
    ),
    "below an authority that expired": (lambda f: below(f, days=(-9, -1)), "expired"),
    "below an authority that may not sign": (lambda f: below(f, signs=False), "usage|CA cert|issuer"),
    "below an authority that does not say for what it is": (lambda f: below(f, limited=False), "key usage"),
    "the company, nobody told the client": (lambda f: (f.shown(f.server()), None), "local issuer|self.signed"),
}


@pytest.mark.parametrize("made", GOOD_SERVERS.values(), ids=GOOD_SERVERS)
def test_a_client_speaks_to_the_server_that_it_believes(world, files, made):
    server, client = made(files)

    with serving(world, server) as url:
        assert url.startswith("https://")
        assert ask(url, client) == "prod"


@pytest.mark.parametrize(("made", "why"), BAD_SERVERS.values(), ids=BAD_SERVERS)
def test_and_to_no_other(world, files, made, why):
    server, client = made(files)

    with (
        serving(world, server) as url,
        pytest.raises(UnavailableError, match=f"certificate is not believed: .*({why})"),
    ):
        ask(url, client)


def test_a_name_in_the_subject_is_no_name(world, files):
    shown = files.shown(files.server(name="localhost", hosts=()))

    with serving(world, shown) as url, pytest.raises(UnavailableError, match="not believed"):
        ask(url.replace("127.0.0.1", "localhost"), files.believing(files.company))


def mutual(files, *authorities):
    return files.shown(files.server(), authorities=files.write(*(one.pem for one in authorities or (files.company,))))


def holding(files, issued, *chain):
    return files.shown(issued, *chain, authorities=files.believing(files.company).authorities)


GOOD_CLIENTS = {
    "of the company": lambda f: (mutual(f), holding(f, f.client())),
    "pinned": lambda f: (mutual(f, f.client(f.other)), holding(f, f.client(f.other))),
    "self-signed and pinned": lambda f: (
        replace(mutual(f), authorities=f.alone("alice", "alice").certificate),
        f.alone("alice", "alice", authorities=f.believing(f.company).authorities),
    ),
}


def client_vouched_for(files):
    shown, pinned_one = files.vouched_for(files.client)
    return mutual(files, pinned_one), replace(shown, authorities=files.believing(files.company).authorities)


BAD_CLIENTS = {
    "none": (lambda f: (mutual(f), f.believing(f.company)), "did not return a certificate"),
    "another authority": (lambda f: (mutual(f), holding(f, f.client(f.other))), "local issuer"),
    "expired": (lambda f: (mutual(f), holding(f, f.client(days=(-9, -1)))), "expired"),
    "not yet valid": (lambda f: (mutual(f), holding(f, f.client(days=(1, 9)))), "not yet valid"),
    "for servers only": (lambda f: (mutual(f), holding(f, f.client(purposes=SERVER))), "purpose"),
    "self-signed, not pinned": (
        lambda f: (mutual(f), f.alone("alice", "alice", authorities=f.believing(f.company).authorities)),
        "self-signed",
    ),
    "self-signed, another is pinned": (
        lambda f: (
            replace(mutual(f), authorities=f.alone("bob", "bob").certificate),
            f.alone("alice", "alice", authorities=f.believing(f.company).authorities),
        ),
        "self-signed",
    ),
    "issued by one that is pinned": (client_vouched_for, "invalid CA|local issuer"),
    "of the authority that vouches for the server only": (
        lambda f: (mutual(f, f.other), holding(f, f.client())),
        "self-signed certificate in",
    ),
}


@pytest.mark.parametrize("made", GOOD_CLIENTS.values(), ids=GOOD_CLIENTS)
def test_a_server_with_tls_clients_lets_in_who_shows_a_certificate(world, files, made):
    server, client = made(files)

    with serving(world, server) as url:
        assert ask(url, client) == "prod"


@pytest.mark.parametrize(("made", "why"), BAD_CLIENTS.values(), ids=BAD_CLIENTS)
def test_and_nobody_else(world, files, made, why):
    server, client = made(files)

    with pytest.raises(ssl.SSLError, match=why):
        shake(server, client)
    with serving(world, server) as url, pytest.raises(UnavailableError, match=r"TLS failed|closed the connection"):
        ask(url, client)


def test_nothing_older_than_tls_1_3_is_spoken(world, files):
    with serving(world, files.shown(files.server())) as url:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(files.believing(files.company).authorities)
        assert urllib3.PoolManager(retries=False, ssl_context=old).request("GET", f"{url}/healthz").status == 200

        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(urllib3.exceptions.SSLError):
            urllib3.PoolManager(retries=False, ssl_context=old).request("GET", f"{url}/healthz")


def test_no_session_is_resumed_and_http_1_1_is_agreed_on(world, files):
    with serving(world, files.shown(files.server())) as url:
        ours = ssl.create_default_context(cafile=files.believing(files.company).authorities)
        ours.set_alpn_protocols(["h2", "http/1.1"])
        port = int(url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            ours.wrap_socket(plain, server_hostname="127.0.0.1") as wire,
        ):
            wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert wire.recv(100).startswith(b"HTTP/1.1 200")
            assert (wire.version(), wire.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
            assert wire.session is None or not wire.session.has_ticket


def test_plain_http_to_a_tls_port_gets_no_answer(world, files):
    with serving(world, files.shown(files.server())) as url:
        with pytest.raises(UnavailableError, match="no answer"):
            ask(url.replace("https:", "http:"), None)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as wire:
            wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP" not in wire.recv(100)


def test_a_server_that_speaks_no_tls_or_an_old_one_is_not_spoken_to(world, files):
    with serving(world) as url, pytest.raises(UnavailableError, match=r"TLS failed: .*(wrong version|record layer)"):
        ask(url.replace("http:", "https:"), files.believing(files.company))

    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = files.shown(files.server())
    old.load_cert_chain(shown.certificate, shown.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with answering(old) as url, pytest.raises(UnavailableError, match=r"TLS failed: .*protocol version"):
        ask(url, files.believing(files.company))


@contextmanager
def answering(context):
    """Shake one hand."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def greet():
            wire, _ = door.accept()
            with wire, pytest.raises(ssl.SSLError):
                context.wrap_socket(wire, server_side=True)

        thread = threading.Thread(target=greet)
        thread.start()
        yield f"https://127.0.0.1:{door.getsockname()[1]}"
        thread.join(10)


def test_a_host_judges_over_mutual_tls_with_the_files_that_its_settings_name(tmp_path, files):
    company = Company(tmp_path)
    release = company.serve()
    server = replace(mutual(files), authorities=files.alone("host", "host-1").certificate)

    with serving(company.world, server) as url:
        home = company.home(url)
        with pytest.raises(UnavailableError, match="not believed"):
            judge(home)
        shown = files.alone("host", "host-1")
        (home / "tls.key").write_bytes(shown.key.read_bytes())
        (home / "tls.key").chmod(0o600)
        with (home / "host.toml").open("a") as settings:
            settings.write(f'tls_ca = "{files.believing(files.company).authorities}"\n')
        with pytest.raises(UnavailableError, match="asks for certificates"):
            judge(home)
        with (home / "host.toml").open("a") as settings:
            settings.write(f'tls_certificate = "{shown.certificate}"\ntls_key = "tls.key"\n')

        assert judge(home).permit.release.digest == release.digest


def judge(home):
    host = open_host(home, datetime.now(UTC))
    return judge_endpoint(host, PROD, connect(host))
