"""What does an agent say of a token that it gave out? That it counts, until the lease is over or somebody cuts it."""

import socket
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.binding import Holder
from lockgate.drivers.introspection import MAX_CALLERS, Introspection
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.bound import introspect
from tests.world import PROD

pytestmark = pytest.mark.live

SECRET = "the secret of the services"
HOLDER = Holder(PROD, Name("host-1"), Digest.of(b"a"))


@pytest.fixture
def tokens():
    tokens = Introspection(Name("pass"), ("127.0.0.1", 0), SECRET)
    yield tokens
    tokens.close()


def grant(tokens, seconds=300):
    return tokens.grant(HOLDER, datetime.now(UTC) + timedelta(seconds=seconds))["token"]


def test_a_token_counts_for_its_holder_until_its_lease_is_over_and_nobody_but_the_agent_renews_it(tokens):
    token = grant(tokens, 1.5)
    found = introspect(tokens.url, token)
    assert (found["active"], found["sub"]) == (True, HOLDER.login)

    ends = time.monotonic() + 30
    while introspect(tokens.url, token)["active"]:  # asking does not make it last
        assert time.monotonic() < ends
        time.sleep(0.05)

    assert tokens.probe(PROD) == "shut" and grant(tokens) != token
    assert not introspect(tokens.url, token)["active"]


def test_a_renewed_lease_lets_the_same_token_count_for_longer(tokens):
    token = grant(tokens, 60)
    first = introspect(tokens.url, token)["exp"]

    assert grant(tokens, 120) == token
    assert introspect(tokens.url, token)["exp"] > first


@pytest.mark.parametrize("token", ["lgc_", "x" * 4000, "ü", "lgc_x&token=y"])
def test_what_was_never_given_out_does_not_count(tokens, token):
    grant(tokens)

    assert introspect(tokens.url, token) == {"active": False}


@pytest.mark.parametrize("secret", ["", "the secret of the service", SECRET + "s", SECRET.upper()])
def test_nobody_asks_without_the_secret(tokens, secret):
    token = grant(tokens)

    with pytest.raises(urllib.error.HTTPError) as refused:
        introspect(tokens.url, token, secret)
    with refused.value as answer:
        assert answer.code == 401 and token not in answer.read().decode()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/", b"token=x", 404),
        ("/introspect?x", b"token=x", 404),
        ("/introspect", b"x" * 9000, 400),
        ("/introspect", b"\xff", 400),
        ("/introspect", b"token=", 400),
        ("/introspect", b"token=x&token=y", 400),
    ],
)
def test_nothing_else_is_answered(tokens, path, body, status):
    url, known = tokens.url.removesuffix("/introspect") + path, {"Authorization": f"Bearer {SECRET}"}
    asked = urllib.request.Request(url, body, known)

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=10)
    with refused.value as answer:
        assert answer.code == status


def test_who_cannot_ask_its_own_door_does_not_know(tokens):
    grant(tokens)
    tokens.close()

    with pytest.raises(UnavailableError, match="its own door does not answer"):
        tokens.probe(PROD)


def test_who_says_nothing_keeps_nobody_out(tokens):
    grant(tokens)
    at = ("127.0.0.1", int(tokens.url.split(":")[2].split("/")[0]))
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(at, 20)) for _ in range(3 * MAX_CALLERS)]
        assert tokens.probe(PROD) == "open"
        assert all(each.recv(1) == b"" for each in silent[:MAX_CALLERS])


def test_an_address_that_is_taken_is_said(tokens):
    port = int(tokens.url.split(":")[2].split("/")[0])

    with pytest.raises(UnavailableError, match="cannot listen"):
        Introspection(Name("pass"), ("127.0.0.1", port), SECRET)
