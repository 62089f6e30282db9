"""How is the traffic of an endpoint written as an HTTPRoute? So that what nobody may answer leads nowhere.

    names a release ──▶ that one          names another ──▶ nobody          names none ──▶ by weight, the rest: nobody

*Nobody* is a service that does not exist: a backend that is not valid must be answered 500 (Gateway API, HTTPRouteRule
backendRefs), and is all that is left of an endpoint that was cut.
"""

from dataclasses import dataclass

from lockgate.core.pod import DOMAIN, ENDPOINT, name_of
from lockgate.core.traffic import RELEASE_HEADER, WHOLE, Route, Traffic
from lockgate.errors import VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

Object = dict[str, Json]

GROUP = "gateway.networking.k8s.io/v1"
NOBODY = "lockgate-nobody"
MARKS: Object = {"app.kubernetes.io/managed-by": "lockgate"}

_PORT = 80


@dataclass(frozen=True, slots=True)
class Place:
    """Where releases serve in a cluster, and the Gateway before them. KServe calls a service NAME-predictor."""

    namespace: str
    gateway: str
    gateway_namespace: str
    kserve: bool = False

    @property
    def routes(self) -> str:
        """The path of the list of routes."""
        return f"/apis/{GROUP}/namespaces/{self.namespace}/httproutes"

    def path_of(self, endpoint: Endpoint) -> str:
        """The path of the route of an endpoint."""
        return f"{self.routes}/{route_name(endpoint)}"

    def stop_path(self, endpoint: Endpoint, release: Digest) -> str:
        """The path of the InferenceService of a release."""
        name = name_of(endpoint, release)
        return f"/apis/serving.kserve.io/v1beta1/namespaces/{self.namespace}/inferenceservices/{name}"

    def service(self, endpoint: Endpoint, release: Digest) -> str:
        """The service that leads to a release."""
        return name_of(endpoint, release) + ("-predictor" if self.kserve else "")


def route_name(endpoint: Endpoint) -> str:
    """Name the route of an endpoint."""
    return f"lockgate-{endpoint.name}"


def route_of(traffic: Traffic, place: Place) -> Object:
    """Write the route of an endpoint; raise `VerificationError` for what no route can promise."""
    if traffic.sticky_by is not None:
        raise VerificationError(f"{traffic.endpoint}: a cluster keeps no callers with one release (stickyBy)")
    metadata: Object = {
        "name": route_name(traffic.endpoint),
        "namespace": place.namespace,
        "labels": {**MARKS, ENDPOINT: str(traffic.endpoint.name)},
        "annotations": {ENDPOINT: str(traffic.endpoint)},
    }
    parent: Object = {"name": place.gateway, "namespace": place.gateway_namespace}
    spec: Object = {"parentRefs": [parent], "rules": _rules(traffic, place)}
    return {"apiVersion": GROUP, "kind": "HTTPRoute", "metadata": metadata, "spec": spec}


def endpoint_of(route: Json) -> Endpoint | None:
    """Say of which endpoint a route is ours, None if it is not."""
    metadata = route.get("metadata") if isinstance(route, dict) else None
    marks = metadata.get("annotations") if isinstance(metadata, dict) else None
    try:
        return Endpoint.parse(str(marks[ENDPOINT])) if isinstance(marks, dict) and ENDPOINT in marks else None
    except VerificationError:
        return None


def stop_of(endpoint: Endpoint, release: Digest, place: Place, uid: str, *, stopped: bool) -> Object:
    """Write what we hold of an InferenceService: that it is stopped, or nothing."""
    metadata: Object = {"name": name_of(endpoint, release), "namespace": place.namespace, "uid": uid}
    marks: Object = {"annotations": {"serving.kserve.io/stop": "true", f"{DOMAIN}/stopped": str(endpoint)}}
    kind: Object = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    return {**kind, "metadata": {**metadata, **(marks if stopped else {})}}


def _rules(traffic: Traffic, place: Place) -> list[Json]:
    path: Object = {"path": {"type": "PathPrefix", "value": f"/{traffic.endpoint}"}}
    rewrite: Object = {
        "type": "URLRewrite",
        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
    }

    def rule(backends: list[Json], header: Object | None = None) -> Object:
        matches: list[Json] = [{**path, **({"headers": [header]} if header else {})}]
        return {"matches": matches, "filters": [rewrite], "backendRefs": backends}

    named: list[Json] = [
        rule([_backend(traffic.endpoint, each, place, 1)], _header("Exact", str(each.release)))
        for each in traffic.routes
    ]
    shared: list[Json] = [_backend(traffic.endpoint, each, place, each.weight) for each in traffic.routes]
    rest = WHOLE - sum(each.weight for each in traffic.routes)
    shared += [_nobody(rest)] if rest else []
    return [*named, rule([_nobody(1)], _header("RegularExpression", ".*")), rule(shared)]


def _header(kind: str, value: str) -> Object:
    return {"type": kind, "name": RELEASE_HEADER, "value": value}


def _backend(endpoint: Endpoint, route: Route, place: Place, weight: int) -> Object:
    told: Object = {
        "type": "ResponseHeaderModifier",
        "responseHeaderModifier": {"set": [{"name": RELEASE_HEADER, "value": str(route.release)}]},
    }
    name = place.service(endpoint, route.release)
    return {"name": name, "port": _PORT, "weight": weight, "filters": [told]}


def _nobody(weight: int) -> Object:
    return {"name": NOBODY, "port": _PORT, "weight": weight}
