"""Whose word that something stopped is taken over HTTP, and who learns of it? A node's own, and whoever may read."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.halt import Halt, sign_halt
from lockgate.core.order import Stopped
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.server.served import API
from tests.world import NOW, PROD, key

STOPPED = Stopped(Tag.parse("magika@1.0.0"), Digest.of(b"a"), ended=True, seconds_left=0)
GOOD = Halt(Name("host-1"), PROD, (STOPPED,), "cut", NOW, NOW)


def bring(served, halt=GOOD, who="host-1", signer="host-1"):
    return served.send(who, "POST", f"{API}/halts", sign_halt(halt, key(signer)))


def listed(served):
    served.tokens.pop("bob", None)  # a session does not last for a day
    return served.get("bob", "fleet").json()["halts"]


def test_what_a_node_stopped_is_listed_for_a_day(served):
    assert bring(served).status_code == 204
    (found,) = listed(served)
    assert found["halt"]["node"] == "host-1" and found["halt"]["gateway"] == "cut"
    assert found["heard_at"] == served.get("bob", "fleet").json()["now"]

    served.world.now += timedelta(days=1)
    assert listed(served) == []


def test_the_newest_word_of_a_node_about_an_endpoint_counts(served):
    for gateway, cut_at in (("unconfirmed", None), ("cut", NOW)):
        bring(served, replace(GOOD, gateway=gateway, cut_at=cut_at))
    assert [found["halt"]["gateway"] for found in listed(served)] == ["cut"]


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({"signer": "mallory"}, 422),
        ({"who": "olivia"}, 403),
        ({"halt": replace(GOOD, node=Name("olivia")), "signer": "olivia"}, 409),
        ({"halt": replace(GOOD, endpoint=Endpoint.parse("dev/magika"))}, 409),
        ({"halt": replace(GOOD, cut_at=None)}, 422),
    ],
)
def test_a_word_of_somebody_else_is_not_taken(served, spoil, status):
    assert bring(served, **spoil).status_code == status
    assert listed(served) == []
