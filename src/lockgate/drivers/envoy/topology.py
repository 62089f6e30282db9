"""What does Envoy have to know so that it does what a `Traffic` says?

    port 8421 ── routes ─┬─ who names it ───▶ E/R/named ─┬──▶ internal listener E/R ──▶ E/R/run ──▶ model server
              404, 503   │                               │        the switch, with a TTL
                         └─ by weight ──▶ E/R/or-stable ─┼─▶ E/R/try, unless it fails again and again; then
                                                         └─▶ E/S, the stable release

E/R is an endpoint and a release, such as `prod/magika/3a7b…`. Who names a release asks E/R/named, and is counted
beside it: nobody writes the evidence for a rollout by choosing whom to ask. A candidate at 0 % is previewed at E/R.
Routes, weights and clusters may come and go, and no request that is under way notices. Only when the internal
listener goes, everything that runs through it ends at once; and it goes by itself when nobody says in time that it
shall stay. E/R and E/R/try never change, so nothing resets their counts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from google.protobuf.message import Message

from lockgate.core.traffic import RELEASE_HEADER, WHOLE, Route, Traffic
from lockgate.drivers.envoy.descriptors import PREFIX, to_bytes, write
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

CLUSTER = "envoy.config.cluster.v3.Cluster"
LISTENER = "envoy.config.listener.v3.Listener"
ROUTES = "envoy.config.route.v3.RouteConfiguration"
GATEWAY = "gateway"  # the name of the one RouteConfiguration
KIB = 1024
OURS, CALLER = "lockgate", "caller"  # under which names Envoy keeps the value that tells a caller from others
HEADER_TO_METADATA = "envoy.extensions.filters.http.header_to_metadata.v3.Config"
TELLS_APART = "envoy.filters.http.header_to_metadata"
NOBODY = "nobody"  # a cluster that is never there, so what is sent to it is answered 503

_VIRTUAL_HOST = "envoy.config.route.v3.VirtualHost"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_AGGREGATE = "envoy.extensions.clusters.aggregate.v3.ClusterConfig"
_TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_RELEASE_NAME = re.compile(r"([a-z0-9-]+/[a-z0-9-]+)/([0-9a-f]{64})")
_VIRTUAL_HOSTS = b"\x12"  # the key of the field `virtual_hosts` (number 2, of a given length)
_BUFFER = 256 * KIB
_MOST = 10_000  # connections and requests to one release
_HONEST = f"%UPSTREAM_METADATA({OURS}:{RELEASE_HEADER})%"  # of whoever really answered, even if another was asked first
_BREAKER: Json = {
    "consecutive_5xx": 5,
    "enforcing_consecutive_5xx": 100,
    "enforcing_success_rate": 0,
    "failure_percentage_threshold": 50,
    "failure_percentage_minimum_hosts": 1,
    "failure_percentage_request_volume": 20,
    "enforcing_failure_percentage": 100,
    "interval": "1s",
    "base_ejection_time": "10s",
    "max_ejection_time": "60s",
    "max_ejection_percent": 100,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What Envoy is told about one endpoint; listeners with the end of the lease that each rests on."""

    clusters: Mapping[str, bytes]
    listeners: Mapping[str, bytes]
    routes: bytes
    until_ns: Mapping[str, int]

    def beside(self, other: "Piece | None") -> "Piece":
        """Say the same, and that what the other has may be there too."""
        if other is None:
            return self
        return replace(
            self, clusters={**other.clusters, **self.clusters}, listeners={**other.listeners, **self.listeners}
        )


def piece_of(traffic: Traffic) -> Piece:
    """Say one endpoint in Envoy's words."""
    until_ns = {name_of(traffic, route): route.until_ns for route in traffic.routes}
    timeless = replace(traffic, routes=tuple(replace(route, until_ns=0) for route in traffic.routes))
    return replace(_written(timeless), until_ns=until_ns)


def name_of(traffic: Traffic, route: Route) -> str:
    """Name a release at an endpoint, as Envoy has it."""
    return f"{traffic.endpoint}/{route.release.hex}"


def release_of(name: str) -> tuple[Endpoint, Digest] | None:
    """Say which release at which endpoint is named so; None if it is none."""
    found = _RELEASE_NAME.fullmatch(name)
    return None if found is None else (Endpoint.parse(found[1]), Digest(found[2]))


def routes_of(each: Iterable[bytes]) -> bytes:
    """Join the routes of all endpoints; whatever is none of them is not found."""
    before, rest = _around()
    host = b"".join([*each, rest])  # repeated fields add up when joined, so nothing is read and written again
    return b"".join([before, _VIRTUAL_HOSTS, _varint(len(host)), host])


@cache
def _around() -> tuple[bytes, bytes]:
    header: Json = {"header": {"key": RELEASE_HEADER, "value": _HONEST}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    rest: dict[str, Json] = {"name": GATEWAY, "domains": ["*"], "routes": [_refusal({"prefix": "/"}, 404)]}
    before = to_bytes(write(ROUTES, {"name": GATEWAY, "response_headers_to_add": [header]}))
    return before, to_bytes(write(_VIRTUAL_HOST, rest))


def _varint(number: int) -> bytes:
    """Encode a length as Protocol Buffers do."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def listener_to(name: str, cluster: str) -> bytes:
    """Write an internal listener that hands bytes on to a cluster."""
    proxy: Json = {"@type": PREFIX + _TCP_PROXY, "stat_prefix": "run", "cluster": cluster, "idle_timeout": "0s"}
    chain: Json = {"filters": [{"name": "tcp", "typed_config": proxy}]}
    limits: dict[str, Json] = {"per_connection_buffer_limit_bytes": _BUFFER}
    inside: dict[str, Json] = {"stat_prefix": "run", "internal_listener": {}, "filter_chains": [chain]}
    return to_bytes(write(LISTENER, {"name": name, **inside, **limits}))


@lru_cache(maxsize=4096)
def _written(traffic: Traffic) -> Piece:
    names = [name_of(traffic, route) for route in traffic.routes]
    clusters = dict(_clusters(traffic))
    listeners = {name: listener_to(name, f"{name}/run") for name in names}
    routes = {"routes": [*_named(traffic), *_weighed(traffic)]}
    written = {name: to_bytes(cluster) for name, cluster in clusters.items()}
    return Piece(written, listeners, to_bytes(write(_VIRTUAL_HOST, routes)), {})


def _clusters(traffic: Traffic) -> Iterator[tuple[str, Message]]:
    for route in traffic.routes:
        name = name_of(traffic, route)
        where: Json = {"socket_address": {"address": route.address.host, "port_value": route.address.port}}
        inside: Json = {"envoy_internal_address": {"server_listener_name": name}}
        yield f"{name}/run", write(CLUSTER, _cluster(f"{name}/run", where))
        yield name, write(CLUSTER, _cluster(name, inside, route.release))
        yield f"{name}/named", write(CLUSTER, _cluster(f"{name}/named", inside, route.release))
        if _steps_aside(traffic, route):
            tried = _cluster(f"{name}/try", inside, route.release)
            yield f"{name}/try", write(CLUSTER, {**tried, "outlier_detection": _BREAKER})
            yield f"{name}/or-stable", write(CLUSTER, _aggregate(traffic, name))


def _cluster(name: str, address: Json, release: Digest | None = None) -> dict[str, Json]:
    host: dict[str, Json] = {"endpoint": {"address": address}}
    if release is not None:
        host["metadata"] = {"filter_metadata": {OURS: {RELEASE_HEADER: str(release)}}}
    limits = {"max_connections": _MOST, "max_pending_requests": _MOST, "max_requests": _MOST}
    speaks: Json = {
        "@type": PREFIX + _HTTP,
        "common_http_protocol_options": {"idle_timeout": "3s"},  # before the model server closes it: uvicorn takes 5
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "name": name,
        "alt_stat_name": name.replace("/", "."),
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [host]}]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},  # else the failing ones are asked all the same
        "circuit_breakers": {"thresholds": [limits]},
        "per_connection_buffer_limit_bytes": _BUFFER,
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": speaks},
    }


def _aggregate(traffic: Traffic, name: str) -> dict[str, Json]:
    assert traffic.stable is not None
    members: Json = [f"{name}/try", f"{traffic.endpoint}/{traffic.stable.hex}"]
    return {
        "name": f"{name}/or-stable",
        "alt_stat_name": f"{name}/or-stable".replace("/", "."),
        "connect_timeout": "2s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": PREFIX + _AGGREGATE, "clusters": members},
        },
    }


def _steps_aside(traffic: Traffic, route: Route) -> bool:
    """Ask whether the stable release takes over while this one fails."""
    return traffic.stable is not None and route.release != traffic.stable and route.weight > 0


def _is_previewed(traffic: Traffic, route: Route) -> bool:
    """Ask whether this is a candidate that has no share yet, so that only whoever names it can try it."""
    return route.weight == 0 and route.release != traffic.stable


def _weighed_name(traffic: Traffic, route: Route) -> str:
    name = name_of(traffic, route)
    return f"{name}/or-stable" if _steps_aside(traffic, route) else name


def _named(traffic: Traffic) -> Iterator[Json]:
    """Who names a release gets that one or none."""
    for route in (each for each in traffic.routes if not each.finishing):
        asked: Json = {"name": RELEASE_HEADER, "string_match": {"exact": str(route.release)}}
        by_name = "" if _is_previewed(traffic, route) else "/named"
        yield _route(traffic, {"headers": [asked]}, {"cluster": f"{name_of(traffic, route)}{by_name}"})
    named: Json = {"name": RELEASE_HEADER, "present_match": True}
    yield _refusal(_match(traffic, {"headers": [named]}), 404, "that release is not here")


def _weighed(traffic: Traffic) -> Iterator[Json]:
    """Who names none gets one by weight: the stable one last, so that whoever is with the other stays with it."""
    weighed = [route for route in traffic.routes if route.weight > 0]
    if not weighed:
        yield _refusal(_match(traffic, {}), 503, f"nothing serves at {traffic.endpoint}")
        return
    weighed.sort(key=lambda route: route.release == traffic.stable)
    shares: list[Json] = [{"name": _weighed_name(traffic, route), "weight": route.weight} for route in weighed]
    if (rest := WHOLE - sum(route.weight for route in weighed)) > 0:
        shares.append({"name": f"{traffic.endpoint}/{NOBODY}", "weight": rest})
    clusters: dict[str, Json] = {"clusters": shares}
    action: dict[str, Json] = {"weighted_clusters": clusters}
    if traffic.sticky_by is not None:
        clusters["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": traffic.sticky_by}}]
    yield {**_route(traffic, {}, action), **_told_apart(traffic.sticky_by)}


def _told_apart(header: str | None) -> dict[str, Json]:
    """Let Envoy keep the value of a header beside the request, for its record."""
    if header is None:
        return {}
    kept: Json = {"metadata_namespace": OURS, "key": CALLER}
    config: Json = {
        "@type": PREFIX + HEADER_TO_METADATA,
        "request_rules": [{"header": header, "on_header_present": kept}],
    }
    return {"typed_per_filter_config": {TELLS_APART: config}}


def _route(traffic: Traffic, match: Mapping[str, Json], action: Mapping[str, Json]) -> dict[str, Json]:
    inside: Json = {"pattern": {"regex": f"^/{traffic.endpoint}/?"}, "substitution": "/"}
    return {"match": _match(traffic, match), "route": {**action, "regex_rewrite": inside, "timeout": "0s"}}


def _match(traffic: Traffic, match: Mapping[str, Json]) -> dict[str, Json]:
    return {"path_separated_prefix": f"/{traffic.endpoint}", **match}


def _refusal(match: Mapping[str, Json], status: int, detail: str = "no such endpoint") -> Json:
    return {"match": match, "direct_response": {"status": status, "body": {"inline_string": detail}}}
