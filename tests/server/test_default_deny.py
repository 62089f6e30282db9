import re
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.websockets import WebSocketDisconnect

from lockgate.server.default_deny import PUBLIC, is_public
from lockgate.server.doors import DOORS
from lockgate.server.news_routes import Stream
from tests.server.served import API, Served

PUBLIC_ROUTES = {*PUBLIC, ("GET", "/log/tile/{path}"), ("GET", "/tuf/{path}")}


def routes():
    """Walk everything that the router would match, not only what our table says."""
    app: Any = Served().app
    found = {
        (method, route.path_format)
        for route in iter_route_contexts(app._app.inner.routes)
        for method in route.methods or ()
    }
    return sorted(found | {("POST", f"{API}/leases")})  # which stands before the router


SPEAK_ON = {door.path for door in DOORS if door.gives is Stream}


def filled(path):
    """Put something into every place of a path; a door that would speak for a quarter of an hour is to end at once."""
    values = {"name": "magika", "environment": "prod", "version": "1.0.0", "digest": "sha256:" + "0" * 64}
    values |= {"path": "0/000.p/1", "keyid": "sha256:" + "0" * 64}
    whole = re.sub(r"{(\w+)(?::path)?}", lambda found: values.get(found[1], "0"), path)
    return f"{whole}?seconds=0" if path in SPEAK_ON else whole


def test_the_walk_finds_every_door_and_the_description():
    doors = {(door.method, door.path.replace(":path", "")) for door in DOORS}

    assert set(routes()) == doors | {("GET", "/openapi.json"), ("HEAD", "/openapi.json")}


@pytest.mark.parametrize(("method", "path"), routes())
def test_without_credentials_every_door_but_the_public_ones_is_shut(shut, method, path):
    answer = shut.client.request(method, filled(path))

    if (method, path) in PUBLIC_ROUTES:
        assert answer.status_code != 401
    else:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert method == "HEAD" or answer.json() == {
            "type": "urn:lockgate:problem:unauthenticated",
            "title": "Unauthorized",
            "status": 401,
            "reasons": [],
        }


def test_what_is_public_is_the_same_in_the_table_and_in_the_layer():
    assert {(door.method, door.path.replace(":path", "")) for door in DOORS if door.act is None} == PUBLIC_ROUTES


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "PROPFIND"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/metrics",
        "/healthz/",
        "/healthz/../api/v1/trust",
        "//healthz",
        "/HEALTHZ",
        "/healthz%2f",
        "/log/entries",
        "/log/tile",
        "/api/v1/sessions/",
        "/api/v1/sessions/../trust",
        "/api/v1/nothing",
        "/static/x",
    ],
)
def test_no_spelling_of_a_path_comes_in(shut, method, path):
    assert shut.client.request(method, f"http://localhost{path}").status_code == 401


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/log/checkpoint", "/log/tile/0/000.p/1", f"{API}/sessions"])
def test_a_public_path_is_public_for_one_method(shut, method, path):
    assert shut.client.request(method, path).status_code == 401


def test_a_tile_prefix_opens_nothing_but_tiles(shut):
    assert is_public("GET", "/log/tile/../../api/v1/trust")
    assert shut.client.get("http://localhost/log/tile/%2e%2e/%2e%2e/api/v1/trust").status_code == 404


def test_a_websocket_is_closed(shut):
    with pytest.raises(WebSocketDisconnect) as found, shut.client.websocket_connect("/api/v1/events"):
        pass

    assert found.value.code == 4401


@pytest.fixture(scope="module")
def named():
    return Served(hosts=("gate.example",))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8420", 200),
        ("127.0.0.1:8420", 200),
        ("[::1]:8420", 200),
        ("gate.example:443", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("localhost:evil", 400),
        ("localhost:", 400),
        ("evil.example:localhost", 400),
        ("", 400),
        ("127.0.0.2", 400),
        ("localhost, evil.example", 400),
    ],
)
def test_only_our_own_names_are_answered(named, host, status):
    assert named.client.get("/healthz", headers={"host": host}).status_code == status


@pytest.mark.parametrize("size", [30_000_000, (1 << 20) + 1])
def test_a_body_that_is_too_large_is_refused_before_anybody_reads_it(shut, size):
    answer = shut.send("alice", "POST", f"{API}/changes", b"[" * size)

    assert answer.status_code == 413
    assert len(answer.content) < 500


def test_what_says_that_it_is_too_large_is_not_even_begun(shut):
    declared = {"content_length": str((1 << 20) + 1)}

    assert shut.send("alice", "POST", f"{API}/changes", b"{}", **declared).status_code == 413
    assert shut.send("alice", "POST", f"{API}/changes", b"{}").status_code == 422


def test_a_blob_may_be_as_large_as_was_chosen():
    served = Served(blob_limit=5)
    where = f"{API}/blobs/sha256:{'0' * 64}"

    assert [served.send("alice", "PUT", where, b"x" * size).status_code for size in (5, 6)] == [422, 413]


def test_a_body_that_does_not_say_how_large_it_is_is_counted(shut):
    pieces = (b" " * 65536 for _ in range(17))

    assert shut.send("alice", "POST", f"{API}/changes", pieces).status_code == 413


def test_a_release_may_be_larger_than_other_json(shut):
    assert shut.send("alice", "POST", f"{API}/releases", b" " * (2 << 20)).status_code == 422
    assert shut.send("alice", "POST", f"{API}/releases", b" " * ((16 << 20) + 1)).status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30, "", "\uff11"])
def test_a_length_that_is_no_number_is_refused(shut, length):
    headers = {"content-length": length.encode(), "content-type": "application/json"}

    assert shut.client.post(f"{API}/sessions", content=b"", headers=headers).status_code == 400


def test_every_answer_says_what_it_is_and_is_not_kept_by_others(shut):
    for answer in (shut.client.get("/healthz"), shut.client.get("/nothing"), shut.get("ann", "trust")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
