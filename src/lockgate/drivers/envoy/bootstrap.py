"""What does Envoy begin with? One closed port, and the one socket by which it learns the rest.

It comes with the command line, so there is no file that somebody could change. The folder that Envoy runs in is
private; `feed.sock` and `admin.sock` lie there, and it has no other door.
"""

from lockgate.core.report import BOUNDS
from lockgate.core.traffic import Address
from lockgate.drivers.envoy.descriptors import PREFIX
from lockgate.drivers.envoy.topology import CALLER, GATEWAY, HEADER_TO_METADATA, KIB, OURS, TELLS_APART
from lockgate.formats.canonical import Json

FEED_SOCKET = "feed.sock"
ADMIN_SOCKET = "admin.sock"

_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_RECORDS = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
_INTERNAL = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
_CONNECTIONS = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
_MOST_CONNECTIONS = 20_000
_LONGEST_SILENCE = "600s"  # of a stream: a model may think for long before it says a word
_FROM_FEED: Json = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
_NOBODY: Json = {"address_prefix": "255.255.255.255", "prefix_len": 32}
_TITLES = {404: ("not-found", "Not Found"), 503: ("unavailable", "Service Unavailable")}


def bootstrap(listen: Address) -> Json:
    """Write the bootstrap (envoy.config.bootstrap.v3.Bootstrap)."""
    return {
        "node": {"id": "lockgate", "cluster": "lockgate"},
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}},
        "dynamic_resources": {"ads_config": _ads(), "cds_config": _FROM_FEED, "lds_config": _FROM_FEED},
        "static_resources": {"clusters": [_feeder()], "listeners": [_edge(listen)]},
        "layered_runtime": {"layers": [{"name": "fixed", "static_layer": {}}]},  # and none that somebody can change
        "bootstrap_extensions": [{"name": "internal_listener", "typed_config": {"@type": PREFIX + _INTERNAL}}],
        "stats_flush_interval": "1s",
        "stats_config": {"histogram_bucket_settings": [_buckets()]},
        "overload_manager": {"resource_monitors": [_connections()]},
    }


def _ads() -> Json:
    """Come back soon after an outage; by itself Envoy waits up to half a minute."""
    again: Json = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "feeder", "retry_policy": again}}],
    }


def _feeder() -> Json:
    address: Json = {"endpoint": {"address": {"pipe": {"path": FEED_SOCKET}}}}
    http2: Json = {"@type": PREFIX + _HTTP, "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": "feeder",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "feeder", "endpoints": [{"lb_endpoints": [address]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
    }


def _edge(listen: Address) -> Json:
    address: Json = {"socket_address": {"address": listen.host, "port_value": listen.port}}
    return {
        "name": GATEWAY,
        "address": address,
        "enable_reuse_port": False,  # a second listener at this port is an error, not a thief
        "per_connection_buffer_limit_bytes": 256 * KIB,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _manager()}]}],
    }


def _manager() -> Json:
    router: Json = {"@type": PREFIX + _ROUTER, "suppress_envoy_headers": True}
    return {
        "@type": PREFIX + _MANAGER,
        "stat_prefix": GATEWAY,
        "rds": {"route_config_name": GATEWAY, "config_source": _FROM_FEED},
        "http_filters": [
            {"name": TELLS_APART, "typed_config": {"@type": PREFIX + HEADER_TO_METADATA}},  # where a route says so
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "access_log": [_records()],
        "server_header_transformation": "PASS_THROUGH",
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [_NOBODY]},  # may say in x-envoy-… how a request is treated
        "normalize_path": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "generate_request_id": False,
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 * KIB,
            "initial_connection_window_size": 1024 * KIB,
        },
        "request_headers_timeout": "10s",
        "request_timeout": "300s",
        "stream_idle_timeout": _LONGEST_SILENCE,
        "delayed_close_timeout": "0s",  # else what was cut goes on for a second
        "local_reply_config": _refusals(),
    }


def _records() -> Json:
    """Let each answer to a caller that a route tells apart be told to us, and no other one."""
    is_told_apart: Json = {
        "matcher": {"filter": OURS, "path": [{"key": CALLER}], "value": {"present_match": True}},
        "match_if_key_not_found": False,
    }
    said: Json = {
        "@type": PREFIX + _RECORDS,
        "common_config": {
            "log_name": GATEWAY,
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "feeder"}},
            "buffer_flush_interval": "0.2s",
            "buffer_size_bytes": 64 * KIB,
        },
    }
    return {
        "name": "envoy.access_loggers.http_grpc",
        "filter": {"metadata_filter": is_told_apart},
        "typed_config": said,
    }


def _refusals() -> Json:
    """Let every answer of Envoy's own be a problem document (RFC 9457)."""
    mappers = [_refusal(status, kind, title) for status, (kind, title) in _TITLES.items()]
    return {"mappers": mappers, "body_format": _problem({"type": "about:blank"})}


def _refusal(status: int, kind: str, title: str) -> Json:
    is_it: Json = {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "none"}}}
    said = {"type": f"urn:lockgate:problem:{kind}", "title": title}
    return {"filter": {"status_code_filter": is_it}, "body_format_override": _problem(said)}


def _problem(said: dict[str, str]) -> Json:
    members = {**said, "status": "%RESPONSE_CODE%", "detail": "%LOCAL_REPLY_BODY%"}
    return {"json_format": members, "content_type": "application/problem+json"}


def _buckets() -> Json:
    return {"match": {"suffix": "upstream_rq_time"}, "buckets": [bound // 1000 for bound in BOUNDS]}


def _connections() -> Json:
    limit: Json = {"@type": PREFIX + _CONNECTIONS, "max_active_downstream_connections": str(_MOST_CONNECTIONS)}
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit}
