"""Is a real cluster kept to what it was shown: nothing forced, nothing of others unseen, everything cut?"""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import yaml

from lockgate.cli.kubernetes.chosen import authority_of
from lockgate.cli.kubernetes.written import objects
from lockgate.core.pod import Terms, Wanted, complaints, name_of, pod_of
from lockgate.core.release import Serve
from lockgate.core.traffic import Traffic
from lockgate.drivers.kserve import Cluster, Place, open_gateway
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from tests.authority import authority
from tests.calling import CANDIDATE, ENDPOINT, STABLE, free_address, route, split, until
from tests.cli.test_manifests import CHOSEN
from tests.kube import ApiServer, needs_api_server
from tests.live.tls_files import Files

pytestmark = needs_api_server

PLACE = Place("models", "gate", "ingress", kserve=True)
PATH = PLACE.path_of(ENDPOINT)


class Somewhere:
    address = free_address()


class Elsewhere:
    address = free_address()


def wanted(weight=10):
    return split(Somewhere, Elsewhere, weight)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("cluster")) as server:
        server.install("models")
        yield server


@pytest.fixture
def routes(api):
    told = []
    found = open_gateway(api.ours, PLACE, told.append, confirm=False)
    found.told = told
    yield found
    found._ended.set()
    api.ours.delete(PATH)


def spec_of(api):
    return api.ours.find(PATH)["spec"]


def weights(api):
    return {each["name"]: each["weight"] for each in spec_of(api)["rules"][-1]["backendRefs"]}


def inference_service(api, release, annotations=None):
    name = name_of(ENDPOINT, release)
    wanted = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name}}
    wanted["metadata"] |= {"annotations": annotations} if annotations else {}
    path = PLACE.stop_path(ENDPOINT, release)
    api.ask("DELETE", path)
    status, _ = api.ask("POST", path.rpartition("/")[0], json.dumps(wanted | {"spec": {"predictor": {"x": 1}}}))
    assert status == 201
    return path


def marks_at(api, path):
    return api.ours.find(path)["metadata"].get("annotations") or {}


def test_weights_stand_in_the_route_and_only_our_fields_are_ours(api, routes):
    routes.show([wanted(10)], fence=1)

    assert weights(api) == {
        f"{name_of(ENDPOINT, CANDIDATE)}-predictor": 10,
        f"{name_of(ENDPOINT, STABLE)}-predictor": 90,
    }
    (manager,) = api.ours.find(PATH)["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == ("lockgate-routes", "Apply")


def test_what_others_hold_is_not_taken_from_them_and_the_conflict_is_told(api, routes):
    routes.show([wanted(10)], fence=1)
    other = spec_of(api)
    other["rules"][-1]["backendRefs"][0]["weight"] = 77
    assert api.edit(PATH, {"spec": other}) == 200
    until(lambda: routes.drifts)

    with pytest.raises(ConflictError, match=r"conflict with .kubectl-edit.*\.spec\.rules"):
        routes.show([wanted(10)], fence=2)

    assert weights(api)[f"{name_of(ENDPOINT, CANDIDATE)}-predictor"] == 77
    assert routes.drifts[0].by == ("kubectl-edit",)


def test_what_others_hold_can_be_cut_all_the_same(api, routes):
    routes.show([wanted(10)], fence=1)
    assert api.edit(PATH, {"spec": {"rules": spec_of(api)["rules"][:1]}}) == 200

    assert routes.cut(ENDPOINT, fence=2).endpoint == ENDPOINT

    assert api.ours.find(PATH) is None
    assert any("is cut by deleting its route" in line for line in routes.told)


def taken_by_others(api):
    other = spec_of(api)
    other["rules"][-1]["backendRefs"][0]["weight"] = 77
    assert api.edit(PATH, {"spec": other}) == 200


def only_stable():
    return Traffic(ENDPOINT, (route(STABLE, Somewhere, 100),))


def test_what_others_hold_ends_with_its_lease_all_the_same(api, routes):
    routes.show([Traffic(ENDPOINT, (route(STABLE, Somewhere, 100, seconds=2),))], fence=1)
    taken_by_others(api)

    until(lambda: api.ours.find(PATH) is None)

    assert any("is deleted, because less may serve there" in line for line in routes.told)


def test_a_release_that_is_withdrawn_goes_although_others_hold_its_route(api, routes):
    routes.show([wanted(10)], fence=1)
    taken_by_others(api)

    with pytest.raises(ConflictError, match="kubectl-edit"):
        routes.show([only_stable()], fence=2)

    assert api.ours.find(PATH) is None
    routes.show([only_stable()], fence=3)
    assert weights(api) == {f"{name_of(ENDPOINT, STABLE)}-predictor": 100}


def test_what_others_hold_of_one_endpoint_holds_up_no_other(api, routes):
    other, third = Endpoint.parse("prod/other"), SimpleNamespace(address=free_address())
    routes.show([wanted(10), Traffic(other, (route(CANDIDATE, third, 100),))], fence=1)
    taken_by_others(api)

    with pytest.raises(ConflictError):
        routes.show([wanted(10), Traffic(other, ())], fence=2)

    (nobody,) = api.ours.find(PLACE.path_of(other))["spec"]["rules"][-1]["backendRefs"]
    assert nobody["name"] == "lockgate-nobody" and weights(api)[f"{name_of(ENDPOINT, CANDIDATE)}-predictor"] == 77
    api.ours.delete(PLACE.path_of(other))


def test_what_a_former_life_left_goes_although_others_hold_it(api, routes):
    routes.show([wanted(10)], fence=1)
    routes._ended.set()
    taken_by_others(api)
    anew = open_gateway(api.ours, PLACE, confirm=False)

    with pytest.raises(ConflictError):
        anew.show([Traffic(ENDPOINT, ())], fence=1)

    assert api.ours.find(PATH) is None
    anew._ended.set()


def test_a_foreign_edit_is_drift_within_ten_seconds(api, routes):
    routes.show([wanted(10)], fence=1)
    edited = datetime.now(UTC)
    assert api.edit(PATH, {"spec": {"hostnames": ["evil.example"]}}) == 200

    until(lambda: routes.drifts)

    assert (routes.drifts[0].seen_at - edited).total_seconds() < 10
    assert routes.drifts[0].by == ("kubectl-edit",)


def test_a_route_that_somebody_removed_is_drift_and_comes_back(api, routes):
    routes.show([wanted(10)], fence=1)
    assert api.ask("DELETE", PATH)[0] == 200
    until(lambda: routes.drifts)

    routes.show([wanted(10)], fence=2)

    assert weights(api)[f"{name_of(ENDPOINT, CANDIDATE)}-predictor"] == 10


def test_our_own_changes_and_marks_of_others_are_no_drift(api, routes):
    for fence, weight in enumerate((10, 20, 50, 100), 1):
        routes.show([wanted(weight)], fence=fence)
    routes.cut(ENDPOINT, fence=9)
    routes.show([wanted(10)], fence=10)
    assert api.edit(PATH, {"metadata": {"labels": {"team": "x"}}}) == 200
    assert api.edit(PATH, {"spec": {"hostnames": ["a.example"]}}) == 200

    until(lambda: routes.drifts)

    assert len(routes.drifts) == 1


def test_a_cut_leaves_a_route_to_nobody(api, routes):
    routes.show([wanted(10)], fence=1)

    routes.cut(ENDPOINT, fence=2)

    assert [each["backendRefs"] for each in spec_of(api)["rules"]] == [
        [{"kind": "Service", "name": "lockgate-nobody", "port": 80, "weight": weight}] for weight in (1, 100)
    ]


def test_a_cut_stops_the_pods_and_what_is_shown_again_goes_on(api, routes):
    stable, candidate = (inference_service(api, release) for release in (STABLE, CANDIDATE))
    routes.show([wanted(10)], fence=1)
    assert "serving.kserve.io/stop" not in marks_at(api, stable)

    routes.cut(ENDPOINT, fence=2)

    assert [marks_at(api, path)["serving.kserve.io/stop"] for path in (stable, candidate)] == ["true", "true"]
    routes.show([Traffic(ENDPOINT, (route(STABLE, Somewhere, 100),))], fence=3)
    assert "serving.kserve.io/stop" not in marks_at(api, stable)
    assert marks_at(api, candidate)["serving.kserve.io/stop"] == "true"


def test_what_somebody_else_stopped_stays_so_and_the_conflict_is_told(api, routes):
    path = inference_service(api, STABLE, {"serving.kserve.io/stop": "false"})
    routes.show([Traffic(ENDPOINT, (route(STABLE, Somewhere, 100),))], fence=1)

    with pytest.raises(ConflictError, match=r"serving\.kserve\.io/stop"):
        routes.cut(ENDPOINT, fence=2)

    assert marks_at(api, path)["serving.kserve.io/stop"] == "false"
    assert weights(api) == {"lockgate-nobody": 100}


def test_a_release_without_an_inference_service_gets_none(api, routes):
    for release in (STABLE, CANDIDATE):
        api.ask("DELETE", PLACE.stop_path(ENDPOINT, release))
    routes.show([wanted(10)], fence=1)
    routes.cut(ENDPOINT, fence=2)

    assert api.ours.find(PLACE.stop_path(ENDPOINT, STABLE)) is None


def test_routes_of_a_former_life_go_when_they_are_not_shown(api, routes):
    routes.show([wanted(10)], fence=1)
    routes._ended.set()

    open_gateway(api.ours, PLACE, confirm=False).show([], fence=1)

    assert api.ours.find(PATH) is None


def test_routes_of_others_are_left_alone(api, routes):
    path = f"{PLACE.routes}/theirs"
    theirs = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "theirs"}}
    assert api.ask("POST", PLACE.routes, json.dumps(theirs | {"spec": {}}))[0] == 201

    routes.show([], fence=1)

    assert api.ours.find(path) is not None
    api.ours.delete(path)


def test_what_no_gateway_accepts_is_not_so(api, routes, monkeypatch):
    monkeypatch.setattr("lockgate.drivers.kserve.routes._CONFIRM_SECONDS", 0.3)
    routes.confirm = True

    with pytest.raises(UnavailableError, match="no gateway of the cluster says that it follows"):
        routes.show([wanted(10)], fence=1)


def test_what_a_cluster_cannot_promise_is_refused(api, routes):
    with pytest.raises(VerificationError, match="stickyBy"):
        routes.show([replace(wanted(10), sticky_by="x-user")], fence=1)
    with pytest.raises(UnavailableError, match="does not count"):
        routes.counts()
    assert routes.fail_closed is False


@pytest.mark.parametrize("weight", [-5, 2_000_000])
def test_what_the_cluster_refuses_is_not_tried_again(api, routes, weight):
    routes.show([wanted(10)], fence=1)
    bad = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "lockgate-magika"}}

    with pytest.raises(VerificationError, match="weight"):
        api.ours.apply(PATH, bad | {"spec": {"rules": [{"backendRefs": [{"name": "x", "weight": weight}]}]}})


def test_the_token_is_read_anew_and_a_wrong_one_is_refused(api, tmp_path):
    token = tmp_path / "token"
    token.write_text("nobody's")
    cluster = Cluster(api.ours.url, api.ours.authorities, token)
    with pytest.raises(DeniedError):
        cluster.find(PLACE.routes)

    token.write_text("ours-token\n")
    assert cluster.find(PLACE.routes)
    token.unlink()
    with pytest.raises(UnavailableError, match="token"):
        cluster.find(PLACE.routes)


def test_another_cluster_is_not_believed(api, tmp_path):
    other = Files(tmp_path).believing(Files(tmp_path).other).authorities

    with pytest.raises(UnavailableError, match="certificate"):
        Cluster(api.ours.url, other, api.ours.token).find(PLACE.routes)


def test_a_cluster_that_is_gone_is_told(tmp_path, api):
    cluster = Cluster(f"https://{free_address()}", api.ours.authorities, api.ours.token)

    with pytest.raises(UnavailableError, match="no answer from the cluster"):
        open_gateway(cluster, PLACE, confirm=False).show([wanted(10)], fence=1)


def test_an_api_server_takes_every_object_of_the_manifests(api):
    """Server-side apply refuses a field that no schema knows. (A policy in CEL is younger than this API server.)"""
    kinds = {each["kind"]: each["name"] for group in ("/api/v1", "/apis/apps/v1", "/apis/networking.k8s.io/v1",
             "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1")
             for each in api.ours.find(group)["resources"] if "/" not in each["name"]}  # fmt: skip
    chosen = replace(CHOSEN, authority=authority_of(authority("porter").pem))
    young = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    for found in yaml.safe_load(yaml.safe_dump([each for file in objects(chosen).values() for each in file])):
        if found["kind"] in young:
            continue
        space = found["metadata"].get("namespace")
        base = "/api/v1" if found["apiVersion"] == "v1" else f"/apis/{found['apiVersion']}"
        where = f"{base}/namespaces/{space}" if space else base
        if found["kind"] == "Namespace":
            where = "/api/v1"
        taken = api.ours.apply(f"{where}/{kinds[found['kind']]}/{found['metadata']['name']}", found)
        assert taken["metadata"]["name"] == found["metadata"]["name"]
    api.ours.delete("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/lockgate")


def test_an_api_server_takes_the_pod_of_a_release_and_completes_it_to_what_admission_lets_run(api):
    wanted = Wanted(ENDPOINT, STABLE, Serve(("python3", "x.py"), {"LANG": "C"}, Digest.of(b"image")))
    terms = Terms(f"registry.example/lockgate@{Digest.of(b'lockgate')}")
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_of(wanted, "registry.example/m", terms)}
    pod["metadata"] |= {"name": "model"}

    made = api.ours.apply("/api/v1/namespaces/models/pods/model", pod)

    assert list(complaints(made, wanted, terms)) == []
    api.ours.delete("/api/v1/namespaces/models/pods/model")


def test_server_side_apply_takes_at_most_fifty_milliseconds(api, routes):
    took = []
    for fence, weight in enumerate([*range(100)] * 2, 1):
        begun = time.monotonic()
        routes.show([wanted(weight)], fence=fence)
        took.append(time.monotonic() - begun)

    assert sorted(took)[len(took) // 2] < 0.5, "ten times what the bench must reach: this machine is busy with others"
