"""Who holds a binding, what may be granted, and what counts as cut? What has its own name, was agreed, was tried."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.binding import (
    CALL,
    MAX_BINDINGS,
    Bound,
    Call,
    Holder,
    Severed,
    check_bindings,
    check_granted,
    check_severed,
    logins_of,
    open_call,
    sign_call,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.world import NOW, PROD, key

HOLDER = Holder(PROD, Name("host-1"), Digest.of(b"a"))
SEVERED = Severed(Name("memory"), "redis", "cut", NOW, NOW)
OPEN = replace(SEVERED, state="open", why="somebody still gets in")
GRANT = Call("grant", Name("crm"), Name("host-1"), PROD, HOLDER.login, NOW, NOW, "n" * 32)
CUT = replace(GRANT, act="cut", login=None, until=None)

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True).map(Name)
holders = st.builds(Holder, st.builds(Endpoint, names, names), names, st.binary().map(Digest.of))


@pytest.mark.parametrize(
    "other",
    [
        replace(HOLDER, endpoint=Endpoint.parse("prod/other")),
        replace(HOLDER, endpoint=Endpoint.parse("dev/magika")),
        replace(HOLDER, node=Name("host-2")),
        replace(HOLDER, release=Digest.of(b"b")),
    ],
)
def test_who_differs_in_anything_has_another_login(other):
    assert other.login != HOLDER.login
    assert other.login.startswith(logins_of(PROD)) == (other.endpoint == PROD)


@given(holders, holders)
def test_a_login_is_a_name_everywhere_and_nobody_elses(one, other):
    assert len(one.login) <= 63 and one.login.replace("_", "").isalnum() and one.login.islower()
    assert (one.login == other.login) == (one == other)
    assert other.login.startswith(logins_of(one.endpoint)) == (one.endpoint == other.endpoint)


def test_what_the_policy_names_is_granted_and_nothing_else():
    named = {Name("memory"): Bound("redis"), Name("crm"): Bound("webhook")}

    check_granted(Name("memory"), "redis", named)
    for name, kind, bindings in (
        ("memory", "postgres", named),
        ("crm", "redis", named),
        ("memory2", "redis", named),
        ("memory", "redis", {}),
        ("memory", "redis", None),
    ):
        with pytest.raises(DeniedError, match="the policy"):
            check_granted(Name(name), kind, bindings)


@pytest.mark.parametrize(("count", "good"), [(0, False), (1, True), (MAX_BINDINGS, True), (MAX_BINDINGS + 1, False)])
def test_an_endpoint_holds_so_many(count, good):
    bindings = {Name(f"tool-{number}"): Bound("mcp") for number in range(count)}

    if good:
        check_bindings("prod/desk", bindings)
    else:
        with pytest.raises(VerificationError, match="prod/desk: bindings names 1 to 32 of them"):
            check_bindings("prod/desk", bindings)


def test_what_came_of_cutting_is_told():
    check_severed([])
    check_severed([SEVERED, replace(OPEN, name=Name("crm")), replace(OPEN, name=Name("db"), state="unknown")])
    check_severed([replace(OPEN, cut_at=None, probed_at=None)])
    check_severed([replace(OPEN, why="x" * 500)])


@pytest.mark.parametrize(
    "severed",
    [
        [replace(SEVERED, cut_at=None)],
        [replace(SEVERED, probed_at=None)],
        [replace(SEVERED, why="it is cut, more or less")],
        [replace(OPEN, why=None)],
        [replace(OPEN, state="unknown", why=None)],
        [replace(OPEN, why="x" * 501)],
        [SEVERED, SEVERED],
        [replace(SEVERED, name=Name(f"tool-{number}")) for number in range(MAX_BINDINGS + 1)],
    ],
)
def test_a_near_miss_of_it_is_not(severed):
    with pytest.raises(VerificationError):
        check_severed(severed)


def keys(name):
    return (key(str(name)).public,)


@pytest.mark.parametrize("call", [GRANT, CUT, replace(CUT, login=HOLDER.login)])
def test_what_a_node_asks_of_a_webhook_is_read(call):
    assert open_call(sign_call(call, key("host-1")), keys) == call


@pytest.mark.parametrize(
    ("call", "signer"),
    [
        (GRANT, "alice"),
        (replace(GRANT, node=Name("alice")), "host-1"),
        (replace(GRANT, login=None), "host-1"),
        (replace(GRANT, until=None), "host-1"),
        (replace(GRANT, endpoint=Endpoint.parse("prod/other")), "host-1"),
        (replace(CUT, login=replace(HOLDER, endpoint=Endpoint.parse("prod/other")).login), "host-1"),
    ],
)
def test_a_near_miss_of_it_is_refused(call, signer):
    with pytest.raises(VerificationError):
        open_call(sign_call(call, key(signer)), keys)


@pytest.mark.parametrize("document", [b"", b"{}", dsse.sign(plain.encode(GRANT), CALL + "x", [key("host-1")]).encode()])
def test_junk_is_refused(document):
    with pytest.raises(VerificationError):
        open_call(document, keys)
