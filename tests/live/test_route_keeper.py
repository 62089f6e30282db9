"""Do the routes of a real cluster follow what a real server lets serve, and end when it does not?"""

from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.core.pod import name_of
from lockgate.drivers.kserve import Place, open_gateway
from lockgate.errors import VerificationError
from lockgate.host_wiring import cluster_gateway
from lockgate.porter.route_keeper import RouteKeeper
from tests.kube import ApiServer, needs_api_server
from tests.live.company import Company, serving
from tests.world import PROD

PLACE = Place("models", "gate", "ingress")
NOBODY = {"lockgate-nobody": 100}


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    return Company(tmp_path)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("cluster")) as server:
        server.install("models")
        yield server


def weights(api):
    spec = api.ours.find(PLACE.path_of(PROD))["spec"]
    return {each["name"]: each["weight"] for each in spec["rules"][-1]["backendRefs"]}


@needs_api_server
def test_routes_follow_what_may_serve_and_end_with_a_shutdown(company, api):
    first, told = company.world.serve(), []
    routes = open_gateway(api.ours, PLACE, confirm=False)
    with serving(company.world) as url:
        keeper = RouteKeeper(company.home(url), [PROD], routes, told.append)
        keeper.look()
        assert weights(api) == {name_of(PROD, first.digest): 100}

        second = company.world.serve("1.1.0")
        keeper.look()
        assert weights(api) == {name_of(PROD, second.digest): 100}

        company.world.shut_down()
        keeper.look()
        assert weights(api) == NOBODY and any("suspended" in line for line in told)
        company.suspend_and_resume(second)
        keeper.look()
        assert weights(api) == {name_of(PROD, second.digest): 100}

    keeper.look()
    assert weights(api) == {name_of(PROD, second.digest): 100}, "a server that is away takes nothing before its time"
    assert any("nobody says what may serve" in line for line in told)
    routes.close()


@needs_api_server
def test_a_revoked_release_loses_its_route(company, api):
    release = company.world.serve()
    routes = open_gateway(api.ours, PLACE, confirm=False)
    with serving(company.world) as url:
        keeper = RouteKeeper(company.home(url), [PROD], routes, lambda _: None)
        keeper.look()
        assert weights(api) == {name_of(PROD, release.digest): 100}

        company.world.revoke("magika@1.0.0")
        keeper.look()

        assert weights(api) == NOBODY
    routes.close()


@needs_api_server
def test_a_keeper_that_believes_nobody_keeps_what_it_holds_a_lease_for_and_one_started_anew_takes_it_away(company, api):
    release, told = company.world.serve(), []
    routes = open_gateway(api.ours, PLACE, confirm=False)
    with serving(company.world) as url:
        home = company.home(url)
        keeper = RouteKeeper(home, [PROD], routes, told.append)
        keeper.look()
        (home / "root.json").write_text("garbage")

        keeper.look()
        assert weights(api) == {name_of(PROD, release.digest): 100}
        routes._ended.set()
        anew = open_gateway(api.ours, PLACE, confirm=False)
        RouteKeeper(home, [PROD], anew, told.append).look()

    assert weights(api) == NOBODY
    anew.close()


@pytest.mark.parametrize("gateway", ["", "gate", "/gate", "ingress/"])
def test_a_gateway_has_a_namespace_and_a_name(tmp_path, gateway):
    with pytest.raises(VerificationError, match="NAMESPACE/NAME"):
        cluster_gateway("https://cluster.example", tmp_path, "models", gateway, lambda _: None)
