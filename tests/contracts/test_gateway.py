"""Does every gateway obey what it is shown, in order, and end what it is told to end?

A driver joins by a `Gated`: the gateway, and where callers find it. What a cluster cannot promise (to cut streams, to
count, to end by itself) only Envoy is asked for: `PROMISED` is what everybody is.
"""

from collections import Counter
from dataclasses import dataclass, replace

import pytest

from lockgate.app.ports import Gateway
from lockgate.core.report import BOUNDS, NAMED, NOTHING, Tally, difference
from lockgate.core.traffic import Address, Traffic
from lockgate.drivers import kserve
from lockgate.errors import ConflictError, VerificationError
from lockgate.formats.names import Endpoint
from tests.calling import CANDIDATE, ENDPOINT, STABLE, Stream, call, free_address, route, split, until
from tests.kube import ApiServer, Reconciler, needs_api_server
from tests.upstream import Upstream

pytestmark = pytest.mark.live

OTHER = Endpoint.parse("prod/other")
PROMISED = {
    "test_what_is_shown_is_so_when_show_returns",
    "test_each_release_gets_its_share",
    "test_what_the_weights_leave_over_is_answered_by_nobody",
    "test_whoever_names_a_release_gets_that_one_or_none",
    "test_the_path_of_the_endpoint_is_taken_off",
    "test_a_smaller_fence_is_refused_and_changes_nothing",
    "test_after_a_cut_only_what_was_decided_later_counts",
    "test_a_cut_of_what_nobody_knows_is_one_all_the_same",
    "test_a_route_without_a_lease_leads_nowhere",
}


def pytest_generate_tests(metafunc):
    if "gated" in metafunc.fixturenames:
        kinds = ["envoy", "kserve"] if metafunc.function.__name__ in PROMISED else ["envoy"]
        metafunc.parametrize("gated", kinds, indirect=True, scope="module")


@dataclass
class Gated:
    gateway: Gateway
    address: Address
    nobody: int = 503  # the status where nobody answers
    unknown: int = 404  # and for a release that is not there
    fence: int = 0

    def show(self, *traffic):
        self.fence += 1
        self.gateway.show(traffic, fence=self.fence)

    def cut(self, endpoint):
        self.fence += 1
        return self.gateway.cut(endpoint, fence=self.fence)

    def answers(self, count, path="/prod/magika/x", **headers):
        return Counter(call(self.address, path, **headers)[:2] for _ in range(count))

    def status(self, path="/prod/magika/x", **headers):
        return call(self.address, path, **headers)[0]


class InCluster(Gated):
    """A cluster: its services lead to where the routes say that model servers are."""

    def show(self, *traffic):
        place, services = self.gateway.place, self.reconciler.services
        services.update(
            {place.service(one.endpoint, each.release): each.address for one in traffic for each in one.routes}
        )
        super().show(*traffic)


@pytest.fixture(scope="module")
def gated(request, tmp_path_factory):
    if request.param == "kserve":
        yield from in_cluster(tmp_path_factory.mktemp("cluster"))
        return
    envoy = pytest.importorskip("lockgate.drivers.envoy")
    address = free_address()
    gateway = envoy.open_gateway(tmp_path_factory.mktemp("home"), listen=address)
    yield Gated(gateway, address)
    gateway.close()
    gateway.close()


def in_cluster(folder):
    if needs_api_server.args[0]:
        pytest.skip(needs_api_server.kwargs["reason"])
    with ApiServer(folder) as server:
        server.install("models")
        place = kserve.Place("models", "gate", "ingress")
        reconciler = Reconciler(server.ours, place.routes, {})
        gateway = kserve.open_gateway(server.ours, place)
        found = InCluster(gateway, Address("127.0.0.1", reconciler.server_port), nobody=500, unknown=500)
        found.reconciler = reconciler
        yield found
        gateway.close()
        reconciler.close()


@pytest.fixture(scope="module")
def stable():
    with Upstream("stable") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def candidate():
    with Upstream("candidate") as upstream:
        yield upstream


def test_what_is_shown_is_so_when_show_returns(gated, stable, candidate):
    for weight, release in ((0, STABLE), (100, CANDIDATE), (0, STABLE)):
        gated.show(split(stable, candidate, weight))

        assert gated.answers(20) == {(200, str(release)): 20}


def test_each_release_gets_its_share(gated, stable, candidate):
    gated.show(split(stable, candidate, 30))

    answers = gated.answers(400)

    assert answers.keys() == {(200, str(STABLE)), (200, str(CANDIDATE))}
    assert 70 < answers[200, str(CANDIDATE)] < 170  # 120 expected; five standard deviations


def test_what_the_weights_leave_over_is_answered_by_nobody(gated, candidate):
    gated.show(Traffic(ENDPOINT, (route(CANDIDATE, candidate, 30),)))

    answers = gated.answers(400)

    assert answers.keys() == {(200, str(CANDIDATE)), (gated.nobody, None)}
    assert 70 < answers[200, str(CANDIDATE)] < 170


def test_whoever_names_a_release_gets_that_one_or_none(gated, stable, candidate):
    gated.show(split(stable, candidate, 0))

    assert gated.answers(20, x_release=str(CANDIDATE)) == {(200, str(CANDIDATE)): 20}
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    for name in (str(CANDIDATE), CANDIDATE.hex, str(STABLE).upper(), f"{STABLE}, {STABLE}", "", "stable"):
        assert gated.status(x_release=name) == gated.unknown
    assert gated.status(x_release=str(STABLE)) == 200


def test_the_path_of_the_endpoint_is_taken_off(gated, stable):
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))

    bodies = {
        path: call(gated.address, f"/prod/magika{path}")[2] for path in ("", "/", "/v1/x?a=b", "?a", "/prod/magika")
    }

    assert bodies == {
        "": "stable /",
        "/": "stable /",
        "/v1/x?a=b": "stable /v1/x?a=b",
        "?a": "stable /?a",
        "/prod/magika": "stable /prod/magika",
    }


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/prod", "/prod/", "/prod/magik", "/prod/magika2/x", "/PROD/magika", "//prod/magika/x", "/dev/magika/x"),
        *("/prod/magika/../other/x", "/prod/./other", "/stats", "/quitquitquit", "/prod/other/x"),
    ],
)
def test_nothing_else_leads_anywhere(gated, stable, path):
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))

    assert gated.status(path) == 404


def test_an_endpoint_without_a_release_is_unavailable(gated, candidate):
    gated.show(Traffic(ENDPOINT, ()))

    status, release, body = call(gated.address, "/prod/magika/x")

    assert (status, release) == (503, None)
    assert '"type":"urn:lockgate:problem:unavailable"' in body and "nothing serves at prod/magika" in body
    gated.show(Traffic(ENDPOINT, (route(CANDIDATE, candidate, 0),)))
    assert (gated.status(), gated.status(x_release=str(CANDIDATE))) == (503, 200)


def test_callers_who_are_told_apart_stay_while_the_weight_grows(gated, stable, candidate):
    chosen = []
    for weight in (20, 50, 80):
        shown = split(stable, candidate, weight, stable=STABLE, sticky_by="x-user")
        gated.show(replace(shown, routes=shown.routes[:: -1 if weight == 50 else 1]))
        answers = [{call(gated.address, "/prod/magika/x", x_user=f"user {n}")[1] for _ in range(3)} for n in range(60)]
        assert all(len(each) == 1 for each in answers)
        chosen.append({n for n, each in enumerate(answers) if each == {str(CANDIDATE)}})

    assert set() < chosen[0] < chosen[1] < chosen[2]


def test_a_smaller_fence_is_refused_and_changes_nothing(gated, stable, candidate):
    gated.show(split(stable, candidate, 100))

    with pytest.raises(ConflictError, match="decided before"):
        gated.gateway.show([split(stable, candidate, 0)], fence=gated.fence - 1)

    assert gated.answers(10) == {(200, str(CANDIDATE)): 10}
    gated.gateway.show([split(stable, candidate, 0)], fence=gated.fence)
    assert gated.answers(10) == {(200, str(STABLE)): 10}


def test_a_cut_ends_what_runs_there_and_only_there(gated, stable, candidate):
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)), Traffic(OTHER, (route(CANDIDATE, candidate, 100),)))
    ours, theirs = Stream(gated.address), Stream(gated.address, "/prod/other/tokens")

    receipt = gated.cut(ENDPOINT)

    assert receipt.endpoint == ENDPOINT
    until(lambda: ours.ended_at)
    assert gated.status() == 503
    seen = theirs.newest
    until(lambda: theirs.newest > seen)
    assert theirs.ended_at is None


def test_after_a_cut_only_what_was_decided_later_counts(gated, stable):
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    gated.cut(ENDPOINT)

    with pytest.raises(ConflictError):
        gated.gateway.show([Traffic(ENDPOINT, (route(STABLE, stable, 100),))], fence=gated.fence)

    assert gated.status() == gated.nobody
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    assert gated.status() == 200


def test_a_cut_of_what_nobody_knows_is_one_all_the_same(gated):
    assert gated.cut(Endpoint.parse("prod/unheard-of")).endpoint.name.text == "unheard-of"
    assert gated.status("/prod/unheard-of/x") == gated.nobody


def test_a_change_of_weights_disturbs_no_stream(gated, stable, candidate):
    gated.show(split(stable, candidate, 0))
    stream = Stream(gated.address)

    for weight in (10, 50, 100):
        gated.show(split(stable, candidate, weight))

    seen = stream.newest
    until(lambda: stream.newest > seen)
    assert stream.ended_at is None
    gated.show(Traffic(ENDPOINT, (route(CANDIDATE, candidate, 100),)))
    until(lambda: stream.ended_at)


def test_what_rests_on_a_lease_ends_with_it(gated, stable, candidate):
    ending = Traffic(ENDPOINT, (route(STABLE, stable, 100, seconds=1.5),))
    gated.show(ending, Traffic(OTHER, (route(CANDIDATE, candidate, 100),)))
    stream = Stream(gated.address)

    until(lambda: stream.ended_at)

    assert (gated.status(), gated.status("/prod/other/x")) == (503, 200)
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    assert gated.status() == 200


def test_a_route_without_a_lease_leads_nowhere(gated, stable, candidate):
    ending = Traffic(ENDPOINT, (route(STABLE, stable, 100, seconds=1.5),))
    gated.show(ending, Traffic(OTHER, (route(CANDIDATE, candidate, 100),)))

    until(lambda: gated.status() == gated.nobody)

    assert gated.status("/prod/other/x") == 200
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    assert gated.status() == 200


def test_requests_failures_and_latencies_are_counted(gated, stable, candidate):
    gated.show(split(stable, candidate, 0))

    before = counted(gated, CANDIDATE)
    named = {"x_release": str(CANDIDATE)}
    answers = gated.answers(7, **named) + gated.answers(3, "/prod/magika/fail", **named)
    answers += gated.answers(5, "/prod/magika/slow", **named)

    assert answers == {(200, str(CANDIDATE)): 12, (500, str(CANDIDATE)): 3}
    until(lambda: sum(counted(gated, CANDIDATE).latency) == sum(before.latency) + 15)
    found = difference(before, counted(gated, CANDIDATE))
    assert (found.requests, found.failed) == (15, 3)
    assert sum(found.latency[BOUNDS.index(32_000) + 1 :]) >= 5


def test_counts_never_go_back_within_an_incarnation(gated, stable, candidate):
    gated.show(split(stable, candidate, 0))
    gated.answers(5, x_release=str(CANDIDATE))
    before, incarnation = counted(gated, CANDIDATE), gated.gateway.counts().incarnation
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    assert counted(gated, CANDIDATE) == before
    gated.show(split(stable, candidate, 0))
    gated.answers(2, x_release=str(CANDIDATE))

    assert counted(gated, CANDIDATE).requests == before.requests + 2
    assert gated.gateway.counts().incarnation == incarnation


def test_a_candidate_that_becomes_stable_keeps_its_counts(gated, stable, candidate):
    gated.show(split(stable, candidate, 50, stable=STABLE))
    before = counted(gated, CANDIDATE).requests
    through = gated.answers(40)[200, str(CANDIDATE)]
    assert counted(gated, CANDIDATE).requests == before + through

    gated.show(split(stable, candidate, 100, stable=CANDIDATE))
    gated.answers(3)

    assert counted(gated, CANDIDATE).requests == before + through + 3


@pytest.mark.parametrize("weight", [1, 50, 100])
def test_whoever_names_a_release_is_counted_beside_it(gated, stable, candidate, weight):
    gated.show(split(stable, candidate, weight, stable=STABLE))
    before = [counted(gated, each) for each in (STABLE, CANDIDATE)]
    for release in (STABLE, CANDIDATE):
        gated.answers(7, x_release=str(release)), gated.answers(3, "/prod/magika/fail", x_release=str(release))

    for was, release in zip(before, (STABLE, CANDIDATE), strict=True):
        found = difference(was, counted(gated, release))
        named = found.other[NAMED]
        assert (found.requests, found.failed, sum(found.latency)) == (0, 0, 0)
        assert found.answers == named == Tally(10, 3)


def counted(gated, release):
    """Return what was counted of a release, or nothing."""
    found = [each for each in gated.gateway.counts().counted if (each.endpoint, each.release) == (ENDPOINT, release)]
    return found[0].counts if found else NOTHING


def test_an_address_that_is_the_gateway_itself_is_refused(gated, stable):
    loop = Traffic(ENDPOINT, (route(STABLE, stable, 50), route(CANDIDATE, gated, 50)))

    with pytest.raises(VerificationError, match="gateway itself"):
        gated.show(loop)


def test_what_is_finishing_ends_what_it_began_and_begins_nothing(gated, stable, candidate):
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    stream = Stream(gated.address)
    finishing = replace(route(STABLE, stable, 0), finishing=True)

    gated.show(Traffic(ENDPOINT, (finishing, route(CANDIDATE, candidate, 100)), stable=CANDIDATE))

    assert gated.answers(10) == {(200, str(CANDIDATE)): 10}
    assert gated.status(x_release=str(STABLE)) == 404
    seen = stream.newest
    until(lambda: stream.newest > seen)
    gated.show(Traffic(ENDPOINT, (finishing,)))
    assert (gated.status(), gated.status(x_release=str(STABLE)), stream.ended_at) == (503, 404, None)
    gated.cut(ENDPOINT)
    until(lambda: stream.ended_at)


def test_what_is_finishing_ends_with_its_lease(gated, stable):
    gated.show(Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    stream = Stream(gated.address)

    gated.show(Traffic(ENDPOINT, (replace(route(STABLE, stable, 0, seconds=1.5), finishing=True),)))

    until(lambda: stream.ended_at)
