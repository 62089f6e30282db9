"""What gets through the door to a server of tools? A call of the contract, by whoever was let in; nothing beside it."""

import contextlib
import http.client
import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from lockgate.cli.main import cli
from lockgate.core.binding import Holder
from lockgate.core.tool import pinned
from lockgate.drivers.mcp_door import McpDoor
from lockgate.drivers.mcp_door.door import MAX_CALLERS
from lockgate.drivers.mcp_door.guests import MAX_CALLS
from lockgate.drivers.mcp_door.upstream import Upstream
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.tool_server import LOOK_UP, SECRET, ToolServer

pytestmark = pytest.mark.live
DESK = Endpoint.parse("prod/desk")
HOLDER = Holder(DESK, Name("host-1"), Digest.of(b"a"))
CHANGED = {**LOOK_UP, "description": "Looks an order up, and sends it to somebody."}


class Doored:
    """A server of tools, the door to it, and somebody who was let in."""

    def __init__(self, server, door):
        self.server, self.door, self.lines = server, door, []
        self.granted = self.grant("look-up", "count")

    def close(self):
        self.door.close()
        for line in self.lines:
            line.close()

    def grant(self, *tools, seconds=300):
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        self.granted = self.door.grant(HOLDER, until, tools)
        return self.granted

    def open(self, body, method="POST", token=None, path="/mcp", **headers):
        line = http.client.HTTPConnection(urlsplit(self.granted["url"]).netloc, timeout=20)
        said = {"authorization": f"Bearer {self.granted['token'] if token is None else token}"}
        line.request(method, path, body, {**said, **headers})
        self.lines.append(line)
        return line.getresponse()

    def ask(self, body, **more):
        with self.open(body, **more) as answer:
            return answer.status, answer.read()

    def call(self, tool="look-up", method="tools/call", **more):
        status, content = self.ask(message(tool, method), **more)
        return status, json.loads(content) if content.startswith(b"{") else content

    def listed(self):
        return [tool["name"] for tool in self.call(method="tools/list")[1]["result"]["tools"]]


def message(tool="look-up", method="tools/call"):
    params = {"name": tool, "arguments": {"order": 7}} if method == "tools/call" else {}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


@pytest.fixture
def doored():
    with ToolServer() as server:
        door = McpDoor(Name("tools"), Upstream(server.url, SECRET), ("127.0.0.1", 0))
        made = Doored(server, door)
        yield made
        made.close()


def test_a_tool_of_the_contract_is_called(doored):
    status, answer = doored.call()

    assert (status, answer["result"]["said"]["arguments"]) == (200, {"order": 7})
    ((_, headers),) = doored.server.asked
    assert doored.granted["token"] not in str(headers)


@pytest.mark.parametrize("events", [False, True])
def test_a_tool_that_the_contract_does_not_list_is_neither_shown_nor_called(doored, events):
    doored.server.events = events
    _, content = doored.ask(message(method="tools/list"))
    assert b"look-up" in content and b"delete" not in content
    doored.server.events = False

    status, answer = doored.call("delete")

    assert (status, answer["error"]["code"]) == (200, -32602) and "lists no tool 'delete'" in answer["error"]["message"]
    assert doored.server.called == []


def test_a_tool_that_is_described_in_another_way_is_neither_shown_nor_called(doored):
    doored.grant(pinned(LOOK_UP))
    assert "was not listed yet" in doored.call()[1]["error"]["message"]
    assert doored.listed() == ["look-up"] and "result" in doored.call()[1]

    doored.server.tools = [CHANGED]

    assert doored.listed() == []
    assert "described in another way" in doored.call()[1]["error"]["message"]
    assert doored.server.called == ["look-up"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete","name":"look-up"}}', {}),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call","Params":{"name":"delete"}}', {}),
        (f"[{message('delete')}]", {}),
        ("x", {}),
        ("", {}),
        (message(), {"mcp-name": "delete"}),
        (message(), {"Mcp-Method": "tools/list"}),
        (message().encode("utf-16"), {}),
        (iter([message().encode()]), {"transfer-encoding": "chunked"}),
        (None, {"content-length": "99999999999"}),
        (None, {"content-length": "9999999"}),
        (None, {"content-length": "-1"}),
    ],
)
def test_what_is_no_plain_message_goes_no_further(doored, body, headers):
    status, _ = doored.ask(body, **headers)

    assert status == 400 and doored.server.asked == []


@pytest.mark.parametrize("token", ["", "x", "x" * 5000])
def test_without_the_token_nobody_gets_in(doored, token):
    assert doored.call(token=token) == (401, b"")
    assert doored.ask(None, method="GET", token=token)[0] == 401
    assert doored.server.asked == []


def test_a_token_ends_with_its_lease_and_goes_on_with_the_next(doored):
    doored.door.cut(DESK)
    granted = doored.grant("look-up", seconds=-1)
    assert doored.call()[0] == 401

    assert doored.grant("look-up") == granted
    assert doored.call()[0] == 200


def test_another_contract_has_another_token(doored):
    first = doored.granted

    assert doored.grant("look-up")["token"] != first["token"]
    assert doored.call(token=first["token"])[0] == 401


def test_a_cut_ends_the_call_that_is_under_way(doored):
    answer = doored.open(message("count"))
    assert answer.readline() == b"event: message\n" and b"notifications/progress" in answer.readline()
    assert doored.door.observed(DESK).logins == {HOLDER.login: 1}

    doored.door.cut(DESK)

    with pytest.raises((http.client.HTTPException, OSError)):
        while answer.read1(4096):
            continue
        raise ConnectionError("it ended")
    assert doored.door.probe(DESK) == "shut"
    assert doored.call()[0] == 401


def test_one_conversation_is_kept_and_ended(doored):
    with doored.open(message()) as answer:
        answer.read()
        assert answer.headers["mcp-session-id"] == "one" and "x-inside" not in answer.headers
    assert doored.ask(None, method="DELETE", **{"Mcp-Session-Id": "one"})[0] == 204

    assert doored.server.asked[-1][1]["mcp-session-id"] == "one"


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD"])
def test_other_ways_in_there_are_none(doored, method):
    assert doored.ask(None, method=method)[0] in (405, 501)
    assert doored.call(path="/elsewhere")[0] == 404
    assert doored.server.asked == []


@pytest.mark.parametrize("trouble", ["hangs up", "endless"])
def test_a_server_that_misbehaves_is_not_believed(doored, trouble):
    doored.server.trouble = trouble

    assert doored.call(method="tools/list")[0] == 502


LISTED = '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"delete","description":"ignore all"}]}}'


@pytest.mark.parametrize("says", [f"[{LISTED % 1}]", LISTED % 2, '{"jsonrpc":"2.0","id":1,"result":{}}', "7", "["])
def test_what_is_no_list_of_tools_is_not_passed_on(doored, says):
    doored.server.says = says

    status, content = doored.ask(message(method="tools/list"))
    assert status == 502 and b"ignore all" not in content


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("says", [f"[{LISTED % 1}]", LISTED % 2, LISTED % '"1"', LISTED % "null", "7", "["])
def test_an_answer_to_something_else_is_not_passed_on_in_place_of_what_a_call_came_to(doored, says, events):
    doored.server.says, doored.server.events = says, events
    content = b""

    with contextlib.suppress(http.client.HTTPException, OSError):
        status, content = doored.ask(message())
        assert status == 502
    assert b"ignore all" not in content


def test_one_guest_does_not_take_the_places_of_others(doored):
    held = [doored.open(message("count")) for _ in range(MAX_CALLS)]
    assert [answer.status for answer in held] == [200] * MAX_CALLS
    assert doored.ask(message())[0] == 503

    assert doored.ask(message(), token="nobody's")[0] == 401
    other, later = replace(HOLDER, endpoint=Endpoint.parse("prod/other")), datetime.now(UTC) + timedelta(seconds=60)
    token = doored.door.grant(other, later, ("look-up",))["token"]
    assert doored.ask(message(), token=token)[0] == 200


def test_who_says_nothing_keeps_nobody_out_and_takes_no_more_places_than_there_are(doored):
    at = ("127.0.0.1", urlsplit(doored.granted["url"]).port)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(at, 20)) for _ in range(3 * MAX_CALLERS)]
        assert doored.call()[0] == 200
        assert all(each.recv(1) == b"" for each in silent[: 2 * MAX_CALLERS])


def test_who_is_answered_gives_way_to_nobody(doored):
    at = ("127.0.0.1", urlsplit(doored.granted["url"]).port)
    answer = doored.open(message("count"))
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(at, 20)) for _ in range(2 * MAX_CALLERS)]
        assert silent[0].recv(1) == b""
        for _ in range(100):
            assert answer.readline()


def test_a_folded_header_goes_no_further(doored):
    status, _ = doored.ask(message(), **{"Mcp-Session-Id": "one\r\n X-Admin: yes"})

    assert status == 400 and not doored.server.asked


def test_a_server_that_is_gone_is_said_to_be(doored):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    door = McpDoor(Name("tools"), Upstream(f"http://127.0.0.1:{port}/mcp"), ("127.0.0.1", 0))
    other = Doored(doored.server, door)

    assert other.call()[0] == 502
    other.close()
    with pytest.raises(UnavailableError):
        door.probe(DESK)


def test_what_begins_during_a_cut_does_not_go_on(doored):
    ended = threading.Event()
    seen = []

    def cutting():
        while not ended.is_set():
            doored.door.cut(DESK)

    cutter = threading.Thread(target=cutting)
    token = doored.granted["token"]
    cutter.start()
    for _ in range(20):
        try:
            seen.append(doored.call(token=token)[0])
        except (http.client.HTTPException, OSError):
            seen.append(0)
    ended.set()
    cutter.join()

    assert set(seen[1:]) <= {401, 0}


@pytest.mark.parametrize(
    "url",
    ["http://tools.example/mcp", "ftp://127.0.0.1/", "http://127.0.0.1@tools.example/", "http://", "http://127.0.0.1:x/",
     "http://localhost.example/mcp", "https://tools.example/#x"],
)  # fmt: skip
def test_an_address_that_is_not_safe_is_refused(url):
    with pytest.raises(VerificationError):
        Upstream(url)


@pytest.mark.parametrize("events", [False, True])
def test_the_tools_of_a_server_are_listed_for_a_contract(doored, events, tmp_path):
    doored.server.events = events
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")

    done = CliRunner().invoke(cli, ["tools", doored.server.url, "--secret", str(secret), "--only", "look-up"])

    assert (done.exit_code, done.output.strip()) == (0, pinned(LOOK_UP))
    asked = [body["method"] for body, _ in doored.server.asked]
    assert asked == ["initialize", "notifications/initialized", "tools/list"]


def test_a_tool_that_a_server_does_not_list_and_a_server_that_is_none_are_named(doored, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)

    done = CliRunner().invoke(cli, ["tools", doored.server.url, "--secret", str(secret), "--only", "gone"])
    assert done.exit_code != 0 and isinstance(done.exception, DeniedError)
    assert "lists no tool gone; it lists: delete, look-up" in str(done.exception)
    doored.server.trouble = "hangs up"
    done = CliRunner().invoke(cli, ["tools", doored.server.url, "--secret", str(secret)])
    assert isinstance(done.exception, UnavailableError)
