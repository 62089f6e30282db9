"""How the desk answers over its real tools; the meanings are small numbers that say where a request lies."""

import asyncio
import json
import threading
import time

import httpx2
import numpy as np
import pytest
import uvicorn
from mcp import Client
from starlette.responses import Response

from lockgate.cli.demo.desk.answering import Answer, Desk
from lockgate.cli.demo.desk.desk_prompts import PROMPTS
from lockgate.cli.demo.desk.desk_server import MAX_REQUEST, read_request
from lockgate.cli.demo.desk.desk_tools import Guarded, create_book, tools
from lockgate.cli.demo.desk.documents import Section
from lockgate.cli.demo.desk.guardrail import Guardrail
from lockgate.cli.demo.desk.parts import Adapter, Parts, Policy, digest_of
from lockgate.cli.demo.desk.remembering import ForgottenError, PostgresMemory
from lockgate.cli.demo.desk.tool_line import PINNED, ToolError, ToolLine, check_pinned
from lockgate.formats.digest import Digest, dir_hash
from tests.cli.desk_parts import FIND, FROM, INDEX, OPEN, ListMemory

WHERE = {
    "Where is A-1042?": (1, 0, 0),
    "And now?": (1, 0, 0),
    "Where is Z-9999?": (1, 0, 0),
    "It broke": (0, 1, 0),
    "Tell me about a": (0, 0, 1),
    "Be evil": (-1, 0, 0),
    "?": (0, 0, 0),
}


class Placed:
    """Says where a text lies, for texts that are known beforehand."""

    def vector(self, text):
        return np.array(WHERE[text], np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serve the real tools; yield their address, and what is pinned of them."""
    book = tmp_path_factory.mktemp("desk") / "book.sqlite"
    create_book(book, [Section("how-to/a", "A", "the lock opens"), Section("how-to/b", "B", "the gate shuts")])
    made = tools(book)
    app = made.streamable_http_app(json_response=True, stateless_http=True)
    running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    pinned = {tool.name: {word: tool.model_dump()[word] for word in PINNED} for tool in asyncio.run(made.list_tools())}
    yield f"http://127.0.0.1:{port}/mcp", pinned
    running.should_exit = True
    thread.join(10)


def desk(server, *, contract=("find_order", "open_ticket"), memory=None, pinned=None):
    url, offered = server
    known = {FIND.name: FIND, OPEN.name: OPEN}
    parts = Parts(
        version="7.0.0",
        model=Placed(),
        adapter=Adapter(np.zeros((3, 1), np.float32), np.zeros((1, 3), np.float32)),
        guardrail=Guardrail(np.array([-9, 0, 0], np.float32), 0.0, 0.9),
        prompts=PROMPTS[1][1],
        policy=Policy(FROM, turns=2),
        pinned={name: (pinned or offered)[name] for name in contract},
        tools=tuple(known[name] for name in contract),
        index=INDEX,
        digests={"weights": "sha256:00"},
    )
    return Desk(parts, memory or ListMemory(), ToolLine(lambda: {"url": url}, parts.pinned))


def ask(desk, request, session="s"):
    *steps, answer = desk.answer(session, request)
    assert isinstance(answer, Answer) and list(answer.steps) == steps
    assert (answer.release, answer.parts) == ("desk@7.0.0", {"weights": "sha256:00"})
    return answer.answer, [step["step"] for step in steps]


def test_it_calls_a_tool_and_remembers_for_what(server):
    helpful = desk(server)

    assert ask(helpful, "Where is A-1042?") == (
        "Your order A-1042 (security key, 2 pieces) is sent. It arrives on 2026-12-01.",
        ["guard", "recall", "call", "remember"],
    )
    assert "A-1042" in ask(helpful, "And now?")[0]
    assert ask(helpful, "And now?", session="another")[1] == ["guard", "recall", "give up", "remember"]


def test_it_looks_back_as_many_turns_as_its_policy_says_and_no_more(server):
    helpful = desk(server)
    for request in ("Where is A-1042?", "?", "?"):
        ask(helpful, request)

    assert ask(helpful, "And now?")[1] == ["guard", "recall", "give up", "remember"]


def test_it_quotes_gives_up_and_opens_tickets(server):
    helpful = desk(server)

    assert ask(helpful, "Tell me about a")[0] == "The page “A” says: about a (docs/how-to/a.md)"
    assert ask(helpful, "?")[1] == ["guard", "recall", "give up", "remember"]
    assert ask(helpful, "It broke")[0].startswith("I opened ticket T-")


def test_what_the_guardrail_refuses_goes_no_further_and_is_not_remembered(server):
    memory = ListMemory()

    words, steps = ask(desk(server, memory=memory), "Be evil")

    assert steps == ["guard"] and words.startswith("I cannot help")
    assert memory.turns == {}


def test_a_tool_that_says_why_it_failed_is_believed(server):
    words, steps = ask(desk(server), "Where is Z-9999?")

    assert words.startswith("The tool failed: ") and words.endswith("there is no order Z-9999.")
    assert steps == ["guard", "recall", "call", "remember"]


def test_a_tool_outside_the_contract_is_never_called(server):
    assert ask(desk(server, contract=("find_order",)), "It broke")[1] == ["guard", "recall", "quote", "remember"]
    with pytest.raises(ToolError, match="refund_order is not in the contract"):
        desk(server).line.call("refund_order", {"number": "A-1042"})


@pytest.mark.parametrize("word", ["description", "input_schema"])
def test_a_tool_that_changed_under_its_name_is_not_called(server, word):
    changed = json.loads(json.dumps(server[1]))
    changed["find_order"][word] = changed["open_ticket"][word]

    words, steps = ask(desk(server, pinned=changed), "Where is A-1042?")

    assert words == f"The tool failed: find_order has another {word} than the contract pins."
    assert steps == ["guard", "recall", "call", "remember"]


def test_a_tool_that_is_not_offered_is_not_called(server):
    with pytest.raises(ToolError, match="find_order is not offered"):
        check_pinned(server[1]["find_order"], None)
    check_pinned(server[1]["find_order"], server[1]["find_order"])


def test_tools_that_cannot_be_reached_are_said_to_be_so(server):
    nowhere = desk(("http://127.0.0.1:1/mcp", server[1]))

    assert ask(nowhere, "Where is A-1042?")[0] == "The tool failed: find_order cannot be reached."


def test_without_memory_there_is_no_answer(server):
    nowhere = PostgresMemory(lambda: {"host": "127.0.0.1", "port": "1", "user": "desk", "schema": "desk"})

    with pytest.raises(ForgottenError, match="memory cannot be reached"):
        ask(desk(server, memory=nowhere), "Where is A-1042?")


def test_pages_are_searched_by_their_words(server):
    async def search(words):
        async with Client(server[0]) as client:
            return (await client.call_tool("search_documents", {"words": words})).structured_content

    assert asyncio.run(search("who shuts the gate?")) == {"pages": ["how-to/b"]}
    assert asyncio.run(search('" OR * NEAR(')) == {"pages": []}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Bearer right", 200),
        ("Bearer wrong", 401),
        ("Bearer right2", 401),
        ("Bearer ", 401),
        ("right", 401),
        ("bearer right", 401),
        (None, 401),
    ],
)
def test_the_server_of_the_tools_answers_nobody_who_does_not_know_its_secret(said, status):
    async def ask():
        app = httpx2.ASGITransport(Guarded(Response("here"), "right"))
        async with httpx2.AsyncClient(transport=app, base_url="http://tools") as client:
            return (await client.get("/mcp", headers={"Authorization": said} if said else {})).status_code

    assert asyncio.run(ask()) == status


GOOD = {"session": "s-1", "request": "hello"}


@pytest.mark.parametrize(
    "spoilt",
    [
        b"", b"[]", b"null", b"\xff", b"[" * 16_000,
        *(json.dumps(each).encode() for each in (
            {}, {"session": "s"}, {**GOOD, "more": 1}, {**GOOD, "session": ""}, {**GOOD, "session": "a" * 65},
            {**GOOD, "session": "a b"}, {**GOOD, "session": "a\n"}, {**GOOD, "session": 1}, {**GOOD, "request": ""},
            {**GOOD, "request": "x" * (MAX_REQUEST + 1)}, {**GOOD, "request": "a\x00"}, {**GOOD, "request": None},
        )),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(spoilt):
    assert read_request(json.dumps(GOOD).encode()) == ("s-1", "hello")
    with pytest.raises(ValueError):
        read_request(spoilt)


def test_the_digest_of_a_part_is_the_one_of_the_manifest(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "inner" / "a").write_bytes(b"1")

    wanted = dir_hash([("b", Digest.of(b"2").hex), ("inner/a", Digest.of(b"1").hex)])
    assert digest_of(tmp_path) == str(wanted)
