"""Whose word of what is held is taken over HTTP, and who is told when something is not cut?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.binding import Severed
from lockgate.core.halt import sign_halt
from lockgate.core.tie import Ties, sign_ties
from lockgate.formats.names import Endpoint, Name
from lockgate.server.sightings import LATELY, Sightings
from tests.core.test_halt import GOOD as HALT
from tests.core.test_tie import GOOD, TIE
from tests.server.served import API
from tests.world import NOW, PROD, key

OPEN = Severed(Name("memory"), "redis", "open", NOW, NOW, "somebody still gets in")


def bring(served, ties=GOOD, who="host-1", signer="host-1"):
    return served.send(who, "POST", f"{API}/ties", sign_ties(ties, key(signer)))


def shown(served):
    return served.get("bob", f"endpoints/{PROD}/bindings").json()


def test_what_is_held_is_shown_for_half_a_minute_beside_what_may_be(served):
    other = replace(TIE, endpoint=Endpoint.parse("prod/other"))
    assert bring(served, replace(GOOD, ties=(TIE, other))).status_code == 204

    found = shown(served)
    assert found["bindings"] == {} and [len(node["ties"]) for node in found["nodes"]] == [1]
    served.world.now += LATELY
    assert shown(served)["nodes"] == []


def test_the_newest_word_of_a_node_counts(served):
    bring(served)
    bring(served, replace(GOOD, ties=()))

    assert shown(served)["nodes"] == []


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        ({"signer": "mallory"}, 422),
        ({"who": "olivia"}, 403),
        ({"ties": replace(GOOD, node=Name("olivia")), "signer": "olivia"}, 409),
        ({"ties": replace(GOOD, ties=(replace(TIE, endpoint=Endpoint.parse("dev/magika")),))}, 409),
    ],
)
def test_a_word_of_somebody_else_is_not_taken(served, spoil, status):
    assert bring(served, **spoil).status_code == status
    assert shown(served)["nodes"] == []


def test_what_is_not_cut_is_news_once_and_again_when_it_is_another_thing():
    sightings = Sightings()
    another = replace(OPEN, name=Name("crm"))
    said = [None, (OPEN,), (OPEN,), (replace(OPEN, state="unknown"),), (OPEN, another), ()]
    told = [
        sightings.hear(replace(HALT, bindings=bindings), NOW + timedelta(seconds=number))
        for number, bindings in enumerate(said)
    ]

    assert told == [False, True, False, False, True, False]


def test_a_halt_that_tells_of_an_open_binding_is_taken(served):
    halt = replace(HALT, bindings=(OPEN,))

    assert served.send("host-1", "POST", f"{API}/halts", sign_halt(halt, key("host-1"))).status_code == 204
    assert isinstance(GOOD, Ties)
