"""Whose word that something was stopped is one? That of the node that it is of, and it says what it means."""

from dataclasses import replace

import pytest

from lockgate.core.halt import HALT, MAX_STOPPED, Halt, open_halt, sign_halt
from lockgate.core.order import Stopped
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.core.test_binding import SEVERED
from tests.world import NOW, PROD, key, trust

STOPPED = Stopped(Tag.parse("magika@1.0.0"), Digest.of(b"a"), ended=True, seconds_left=0)
GOOD = Halt(Name("host-1"), PROD, (STOPPED,), "cut", NOW, NOW)


def found(name):
    return trust().actor(name, NOW)


def test_what_a_node_says_of_itself_is_taken():
    for halt in (
        GOOD,
        replace(GOOD, gateway="none", cut_at=None),
        replace(GOOD, stopped=()),
        replace(GOOD, bindings=(SEVERED,)),
    ):
        opened, node = open_halt(sign_halt(halt, key("host-1")), found)
        assert opened == halt and node.name == Name("host-1")


@pytest.mark.parametrize(
    ("halt", "signer"),
    [
        (GOOD, "mallory"),
        (GOOD, "alice"),
        (replace(GOOD, node=Name("alice")), "host-1"),
        (replace(GOOD, gateway="none"), "host-1"),
        (replace(GOOD, gateway="unconfirmed"), "host-1"),
        (replace(GOOD, cut_at=None), "host-1"),
        (replace(GOOD, stopped=(STOPPED,) * (MAX_STOPPED + 1)), "host-1"),
        (replace(GOOD, bindings=(replace(SEVERED, probed_at=None),)), "host-1"),
    ],
)
def test_a_near_miss_is_not(halt, signer):
    with pytest.raises(VerificationError):
        open_halt(sign_halt(halt, key(signer)), found)


@pytest.mark.parametrize("kind", ["application/vnd.lockgate.receipt+json", HALT + "x"])
def test_what_was_signed_as_something_else_is_not(kind):
    with pytest.raises(VerificationError, match="DSSE payload"):
        open_halt(dsse.sign(plain.encode(GOOD), kind, [key("host-1")]).encode(), found)


@pytest.mark.parametrize("junk", [b"", b"{}", b"[", b"\xff"])
def test_junk_is_not(junk):
    with pytest.raises(VerificationError):
        open_halt(junk, found)
