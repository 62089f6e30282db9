"""What do the doors say while the log in the database is not the one that was signed?"""

from tests.app.test_watch import backup, restore
from tests.server.served import API
from tests.world import PROD

SHUTDOWN = "endpoints/prod/magika/shutdown"


def shut_down(served, who="olivia"):
    return served.post(who, SHUTDOWN, served.world.say(who, "endpoint.suspend", PROD)).json()


def put_back(served):
    """Serve, shut down, and put back the database from before; return the one from after."""
    served.world.serve()
    before = backup(served.world)
    assert shut_down(served)["anchored"] is True
    after = backup(served.world)
    restore(served.world, before)
    return after


def test_readiness_says_why_and_ends_when_it_ends(served):
    after = put_back(served)

    answer = served.client.get("/readyz")

    assert answer.status_code == 503
    assert "the log is frozen: the database has" in answer.json()["detail"]
    assert served.client.get("/healthz").status_code == 200
    restore(served.world, after)
    served.installation.watch.look()
    assert served.client.get("/readyz").status_code == 200


def test_nothing_is_issued_and_a_shutdown_is_heard(served):
    after = put_back(served)

    for path in ("endpoints/prod/magika/passport", "log/proof/0", "installation"):
        answer = served.client.get(f"{API}/{path}", headers=served.bearer("alice"))
        assert (answer.status_code, "frozen" in answer.json()["detail"]) == (503, True)
    assert shut_down(served, "dave")["anchored"] is False
    assert served.world.endpoint().suspended
    restore(served.world, after)


def test_the_gauges_tell(served):
    served.world.serve()
    shut_down(served)
    size = served.world.memory.size()
    told = served.get("ann", "/metrics").text
    assert f"\nlockgate_log_size {size}\n" in told and f"\nlockgate_log_anchored {size}\n" in told
    assert "\nlockgate_log_frozen 0\n" in told

    before = backup(served.world)
    shut_down(served)
    after = backup(served.world)
    restore(served.world, before)
    served.client.get("/readyz")

    assert "\nlockgate_log_frozen 1\n" in served.get("ann", "/metrics").text
    restore(served.world, after)


def test_without_the_signer_a_shutdown_stands_and_says_that_it_is_not_anchored(served):
    served.world.serve()
    served.world.heads.down = True

    assert shut_down(served)["anchored"] is False
    assert served.world.endpoint().suspended
    served.world.heads.down = False
    assert shut_down(served)["anchored"] is True


def test_what_does_not_stop_anything_says_nothing_of_an_anchor(served):
    served.world.serve("1.0.0")
    served.world.serve("1.1.0")
    state = served.world.endpoint()
    said = served.world.say(
        "dave", "endpoint.roll-back", PROD, before=state.slots[-1].release, after=state.slots[-2].release
    )

    assert "anchored" not in served.post("dave", "endpoints/prod/magika/rollback", said).json()
