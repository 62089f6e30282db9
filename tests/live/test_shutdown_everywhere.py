"""Does one command stop an endpoint, a release everywhere, or everything, and say who has not answered?"""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lockgate.app.decide_change import open_change
from lockgate.cli import awaiting
from lockgate.core.endpoint import State
from lockgate.core.fleet import Fleet, Member
from lockgate.core.journal import endpoint_subject
from lockgate.core.lease import Request, Want, sign_request
from lockgate.core.trust import TRUST
from lockgate.formats import plain
from lockgate.formats.names import Endpoint, Name
from tests.live.spoken import Spoken
from tests.rolling import begin, content, order
from tests.world import PROD, agreed, key, rules

pytestmark = pytest.mark.live
OTHER = Endpoint.parse("prod/other")
JSON = {"content-type": "application/json"}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def spoken(tmp_path):
    """Release 1.0.0 serves at two endpoints, and 1.1.0 is a candidate at one of them."""
    with Spoken(tmp_path) as found:
        world = found.world
        policy = replace(world.policy, version=2, endpoints={**world.policy.endpoints, str(OTHER): rules()})
        world.adopt(world.trust, policy)
        world.policy = policy
        release = world.serve("1.0.0")
        asked = content(world, release, None, endpoint=OTHER, before=None, epoch=-1)
        said = world.say("alice", "change.open", OTHER, after=asked.digest)
        number = open_change(world.installation, asked, said, world.now).first
        world.approve(number)
        world.activate(number)
        begin(world)
        yield found
    world.check()


def shut(spoken):
    states = [spoken.world.memory.find(endpoint_subject(each)) for each in (PROD, OTHER)]
    return [str(one.endpoint) for one in states if isinstance(one, State) and one.suspended]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((OTHER,), ["prod/other"]),
        ((PROD, OTHER), ["prod/magika", "prod/other"]),
        (("--release", "magika@1.0.0"), ["prod/magika", "prod/other"]),
        (("--release", "magika@1.1.0"), ["prod/magika"]),
        (("--all",), ["prod/magika", "prod/other"]),
    ],
)
def test_what_is_meant_is_shut_and_nothing_else(spoken, words, found):
    code, told = spoken.type("olivia", "shutdown", *words)

    assert (code, shut(spoken)) == (0, found), told
    assert [line.split(" is suspended (entry ")[0] for line in told.splitlines() if "suspended" in line] == found


def test_what_is_shut_already_or_serves_nowhere_is_said(spoken):
    assert spoken.type("olivia", "shutdown", "--release", "magika@9.0.0")[0] == 3
    orders = spoken.answer("olivia", "shutdown", "--all")["orders"]
    assert [(one["endpoint"], one["anchored"]) for one in orders] == [("prod/magika", True), ("prod/other", True)]

    code, told = spoken.type("olivia", "shutdown", "--all")
    assert code == 3 and "nothing serves anywhere" in told


@pytest.mark.parametrize("words", [(), (PROD, "--all"), ("--release", "magika@1.0.0", "--all"), ("prod",)])
def test_who_does_not_say_what_is_meant_stops_nothing(spoken, words):
    assert spoken.type("olivia", "shutdown", *words)[0] == 2
    assert shut(spoken) == []


@pytest.mark.parametrize("words", [("elsewhere/desk", PROD, OTHER), (PROD, "elsewhere/desk", OTHER)])
def test_an_endpoint_that_cannot_be_shut_holds_up_no_other_and_is_named(spoken, words):
    code, told = spoken.type("olivia", "shutdown", *words)

    assert (code, shut(spoken)) == (6, ["prod/magika", "prod/other"]), told
    assert "elsewhere/desk is NOT suspended: " in told


def test_where_a_release_is_finishing_is_named_and_how_that_ends(spoken):
    order(spoken.world, "promote")

    code, told = spoken.type("olivia", "shutdown", "--release", "magika@1.0.0")
    assert (code, shut(spoken)) == (0, ["prod/other"]), told
    assert "prod/magika: magika@1.0.0 was replaced there and may still be finishing" in told
    assert "`lockgate revoke magika@1.0.0` ends it" in told

    code, told = spoken.type("olivia", "shutdown", "--release", "magika@1.0.0")
    assert code == 3 and "serves nowhere" in told and "prod/magika: magika@1.0.0 was replaced there" in told


def ask_for_a_lease(spoken, control):
    request = Request(
        Name("host-1"), "0123456789abcdef", (Want(PROD, spoken.world.endpoint().stable.release),), "sealed"
    )
    document = sign_request(replace(request, control=control), key("host-1"))
    assert spoken.client.post("/api/v1/leases", content=document, headers=JSON).status_code == 200


@pytest.mark.parametrize(("control", "ends"), [(NOBODY, 6), (None, 0)])
def test_an_agent_that_says_nothing_is_named_and_the_way_straight_to_it(spoken, monkeypatch, control, ends):
    monkeypatch.setattr(awaiting, "PATIENCE_SECONDS", 0.5)
    ask_for_a_lease(spoken, control)

    code, told = spoken.type("olivia", "shutdown", PROD)
    assert code == ends and "prod/magika: NO WORD from host-1" in told
    assert ("the agent of host-1 has not answered: go straight to it: lockgate shutdown … --direct" in told) == (
        ends == 6
    )


def test_without_the_database_or_the_server_the_way_straight_to_the_hosts_is_said(spoken):
    straight = "go straight to the hosts: lockgate shutdown … --direct"
    spoken.database.down = True
    for words in ((PROD,), ("--all",)):
        code, told = spoken.type("olivia", "shutdown", *words)
        assert code == 6 and "the database does not answer" in told and straight in told

    spoken.database.down = False
    spoken.__exit__()
    code, told = spoken.type("olivia", "shutdown", PROD)
    assert code == 6 and "no answer from" in told and straight in told and shut(spoken) == []


@pytest.fixture
def files(spoken, tmp_path):
    """Write what somebody keeps at hand for that day."""
    members = (Member(Name("host-1"), NOBODY, (PROD, OTHER), datetime.now(UTC)),)
    contents = {
        "root": plain.encode(spoken.world.trust.root),
        "trust": agreed(spoken.world.trust, TRUST),
        "fleet": plain.encode(Fleet(Name("prod"), members, datetime.now(UTC))),
    }
    for name, written in contents.items():
        (tmp_path / f"{name}.json").write_bytes(written)
    return ["--direct", *(word for name in contents for word in (f"--{name}", tmp_path / f"{name}.json"))]


def test_everything_is_ordered_straight_from_the_hosts_and_who_gives_no_receipt_is_named(spoken, files):
    code, told = spoken.type("olivia", "shutdown", "--all", *files, "--json")

    orders = json.loads(told)["orders"]
    assert code == 6 and [one["silent"] for one in orders] == [["host-1"], ["host-1"]]
    assert [one["outcome"]["endpoint"] for one in orders] == shut(spoken) == ["prod/magika", "prod/other"]


def test_where_a_release_serves_no_file_knows(spoken, files):
    code, _ = spoken.type("olivia", "shutdown", "--release", "magika@1.0.0", *files)
    assert code == 2 and shut(spoken) == []
