"""What may be asked about a rollout over HTTP, and what is answered?"""

import pytest

from lockgate.core.passport import parse_passport
from lockgate.formats import plain
from tests.core.strategies import CANARY
from tests.rolling import FAILED, begin, content, go_on, rollout, said
from tests.world import PROD

WHERE = f"endpoints/{PROD}/rollout"


@pytest.fixture
def rolling(served):
    begin(served.world)
    return served


def act(served, path, act_, who="dave", **body):
    return served.post(who, f"{WHERE}/{path}", said(served.world, f"rollout.{act_}", who), **body)


def test_a_change_brings_its_strategy_along(served):
    served.world.serve("1.0.0")
    asked = content(served.world, served.world.register("1.1.0"))
    intent = served.world.say("alice", "change.open", PROD, before=asked.before, after=asked.digest)

    without = served.post("alice", "changes", intent, content=asked)
    assert without.status_code == 409 and "the strategy and the digest of it go together" in without.text
    answer = served.post("alice", "changes", intent, content=asked, strategy=plain.encode(CANARY).decode())
    assert answer.status_code == 200
    shown = served.get("bob", f"changes/{answer.json()['first']}").json()
    assert shown["content"]["strategy"] == str(CANARY.digest)
    assert served.get("bob", f"documents/{CANARY.digest}").content == plain.encode(CANARY)


def test_anybody_who_reads_sees_how_far_it_is(rolling):
    go_on(rolling.world)

    found = rolling.get("bob", WHERE).json()
    assert (found["stable"]["tag"], found["rollout"]["candidate"]["tag"]) == ("magika@1.0.0", "magika@1.1.0")
    assert (found["rollout"]["step"], found["rollout"]["weight"], found["ended"]) == (0, 5, None)
    assert found["strategy"] == plain.to_plain(CANARY)


def test_where_nothing_was_ever_activated_there_is_nothing_to_see(served):
    assert served.get("bob", WHERE).status_code == 404


def test_how_it_ended_is_seen_afterwards(rolling):
    go_on(rolling.world, FAILED)

    found = rolling.get("bob", WHERE).json()
    assert found["rollout"] is found["strategy"] is None
    assert (found["ended"]["outcome"], found["ended"]["trigger"]) == ("aborted", "metric:errors")


def test_a_person_pauses_resumes_and_goes_on_step_by_step(rolling):
    assert act(rolling, "pause", "pause").json()["object"]["rollout"]["paused"] == "person"
    assert act(rolling, "resume", "resume").json()["object"]["rollout"]["paused"] is None
    assert act(rolling, "step", "step", step=-1).json()["object"]["rollout"]["weight"] == 5
    assert act(rolling, "step", "step", step=-1).status_code == 412
    assert rollout(rolling.world).step == 0


@pytest.mark.parametrize(("path", "act_", "tag"), [("promotion", "promote", "1.1.0"), ("abort", "abort", "1.0.0")])
def test_a_person_ends_it(rolling, path, act_, tag):
    answer = act(rolling, path, act_)

    assert answer.status_code == 200 and answer.json()["object"]["rollout"] is None
    assert answer.json()["object"]["slots"][-1]["tag"] == f"magika@{tag}"


@pytest.mark.parametrize("path", ["pause", "resume", "promotion", "abort"])
@pytest.mark.parametrize("who", ["alice", "bob", "host-1"])
def test_nobody_else_does(rolling, path, who):
    verb = path.replace("promotion", "promote")

    assert act(rolling, path, verb, who).status_code == 403
    assert rollout(rolling.world).paused is None


def test_an_order_for_one_door_opens_no_other(rolling):
    answer = rolling.post("dave", f"{WHERE}/promotion", said(rolling.world, "rollout.pause"))

    assert answer.status_code == 422 and rollout(rolling.world).paused is None


def test_a_host_gets_the_passport_that_it_asks_for(rolling):
    path = f"endpoints/{PROD}/passport"
    stable, same = rolling.get("host-1", path), rolling.get("host-1", path, params={"as": "stable"})
    candidate = rolling.get("host-1", path, params={"as": "candidate"})

    assert parse_passport(stable.content).case.strategy is None and stable.content == same.content
    assert parse_passport(candidate.content).case.strategy == plain.encode(CANARY).decode()
    assert rolling.get("host-1", path, params={"as": "both"}).status_code in (400, 422)
