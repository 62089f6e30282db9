"""Whose word that something is held is one? That of the node that it is of."""

from dataclasses import replace

import pytest

from lockgate.core.tie import MAX_TIES, TIES, Tie, Ties, open_ties, sign_ties
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import NOW, PROD, key, trust

TIE = Tie(PROD, Name("memory"), "redis", "granted", Digest.of(b"a"), NOW, 3)
GOOD = Ties(Name("host-1"), NOW, (TIE,))


def found(name):
    return trust().actor(name, NOW)


@pytest.mark.parametrize("ties", [(), (TIE,), (Tie(PROD, Name("memory"), "redis", "open"),), (TIE,) * MAX_TIES])
def test_what_a_node_says_of_itself_is_taken(ties):
    opened, node = open_ties(sign_ties(replace(GOOD, ties=ties), key("host-1")), found)

    assert opened.ties == ties and node.name == Name("host-1")


@pytest.mark.parametrize(
    ("ties", "signer"),
    [
        (GOOD, "alice"),
        (replace(GOOD, node=Name("alice")), "host-1"),
        (replace(GOOD, ties=(TIE,) * (MAX_TIES + 1)), "host-1"),
    ],
)
def test_a_near_miss_is_not(ties, signer):
    with pytest.raises(VerificationError):
        open_ties(sign_ties(ties, key(signer)), found)


@pytest.mark.parametrize("document", [b"", b"{}", dsse.sign(plain.encode(GOOD), TIES + "x", [key("host-1")]).encode()])
def test_junk_is_not(document):
    with pytest.raises(VerificationError):
        open_ties(document, found)
