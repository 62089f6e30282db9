"""Are the tools of a release those that its contract pins, and does none of them whisper to the model?

contract.tools     "find_order@sha256:…"      what the gate and the door to the tools go by
tool-contract      *.json: a list of tools    as the model of the release is told of them
capability-list    *.json: {"call": [...]}    what the agent of the release may call
"""

from collections.abc import Iterator, Mapping, Sequence

from lockgate.core.release import Kind
from lockgate.core.tool import Loose, pin_of, read_strictly
from lockgate.errors import VerificationError
from lockgate.evaluator.baseline.tells import orders_in, secrets_in, unseen_in
from lockgate.evaluator.candidate import Candidate
from lockgate.evaluator.tried import Tried, all_of
from lockgate.formats.digest import Digest

MOST = 8 << 20
_WHOLE = "inputSchema"  # what only a description has that is written as its server said it
_TEXTS = frozenset({"description", "title", "name", "default", "const", "enum", "examples", "$comment"})


def tool_pins(candidate: Candidate) -> Iterator[Tried]:
    """Try each tool that the contract, the descriptions or the capabilities name; none named gives no case."""
    pins = dict(_pin(tool) for tool in candidate.manifest.contract.tools)
    described: dict[str, Mapping[str, Loose]] = {}
    for where, found, unread in _documents(candidate, Kind.TOOL_CONTRACT):
        if unread:
            yield Tried(where, unread)
        for tool in _tools_of(found):
            name = str(tool.get("name"))
            case = f"{where}: {name[:80]}"
            yield all_of(case, _against(tool, pins, twice=name in described))
            described[name] = tool
    has_descriptions = candidate.has(Kind.TOOL_CONTRACT)
    for name, pin in sorted(pins.items()):
        yield all_of(f"contract: {name}", _contracted(name, pin, described if has_descriptions else None))
    yield from _capabilities(candidate, pins)


def texts_of(tool: Loose) -> Iterator[str]:
    """Find every text in a description of a tool that a model reads, however deep."""
    if isinstance(tool, dict):
        for name, value in tool.items():
            yield name
            if name in _TEXTS:
                yield from _all_texts(value)
            else:
                yield from texts_of(value)
    elif isinstance(tool, list):
        for value in tool:
            yield from texts_of(value)


def _all_texts(value: Loose) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _all_texts(each)
    else:
        yield from texts_of(value)


def _against(tool: Mapping[str, Loose], pins: Mapping[str, Digest | None], *, twice: bool) -> Iterator[str]:
    name = str(tool.get("name"))
    if name not in pins:
        yield "the contract of the release does not list it"
    if twice:
        yield "it is described twice"
    if (pin := pins.get(name)) is not None and _WHOLE in tool and pin_of(tool) != pin:
        yield f"it is described as {pin_of(tool)}, and pinned as {pin}"
    schema = tool.get(_WHOLE, tool.get("input_schema"))
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "its arguments have no schema"
    for text in dict.fromkeys(texts_of(dict(tool))):
        yield from orders_in(text)
        yield from secrets_in(text)
        yield from unseen_in(text)


def _contracted(name: str, pin: Digest | None, described: Mapping[str, object] | None) -> Iterator[str]:
    if pin is None:
        yield "it is listed by its name alone: whoever serves it may describe it in another way tomorrow"
    if described is not None and name not in described:
        yield "no tool contract describes it"


def _capabilities(candidate: Candidate, pins: Mapping[str, Digest | None]) -> Iterator[Tried]:
    for where, found, unread in _documents(candidate, Kind.CAPABILITY_LIST):
        called = found.get("call") if isinstance(found, dict) else None
        if not isinstance(called, list):
            yield Tried(where, unread or 'it lists no capabilities under "call"')
            continue
        for name in called:
            more = () if name in pins else ("the contract of the release does not list this tool",)
            yield all_of(f"{where}: may call {str(name)[:80]}", more)


def _documents(candidate: Candidate, kind: Kind) -> Iterator[tuple[str, Loose, str]]:
    """Read each JSON file of a kind; what cannot be read is None, with the reason."""
    for where in candidate.of_kind(kind):
        if where.endswith(".json"):
            try:
                yield where, read_strictly(candidate.read(where, MOST), MOST), ""
            except VerificationError as e:
                yield where, None, str(e)


def _tools_of(found: Loose) -> Sequence[Mapping[str, Loose]]:
    """Take a list of tools, or the result of `tools/list` that holds one."""
    listed = found.get("tools") if isinstance(found, dict) else found
    return [tool for tool in listed if isinstance(tool, dict)] if isinstance(listed, list) else []


def _pin(listed: str) -> tuple[str, Digest | None]:
    name, at, pin = listed.partition("@")
    return name, Digest.parse(pin) if at else None
