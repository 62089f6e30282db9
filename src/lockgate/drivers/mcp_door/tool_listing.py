"""What tools does a server of tools list? Asked as any client asks, once, within a few seconds."""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress

from lockgate.core.tool import LISTING, Loose, events_of, read_strictly
from lockgate.drivers.mcp_door.upstream import Upstream
from lockgate.errors import UnavailableError, VerificationError

SECONDS = 10.0
MAX_ANSWER = 8 << 20
MAX_PAGES = 100
VERSION = "2025-11-25"  # of the protocol; a server answers with the one that it speaks

_WHO: Loose = {"name": "lockgate", "version": "1"}


def list_tools(upstream: Upstream) -> list[dict[str, Loose]]:
    """Return all tools that a server lists; raise `UnavailableError` or `VerificationError` if it does not."""
    begun, session = _ask(
        upstream, "initialize", {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": _WHO}, {}
    )
    version = begun.get("protocolVersion")
    said = {"mcp-protocol-version": version if isinstance(version, str) else VERSION}
    said |= {"mcp-session-id": session} if session else {}
    _ask(upstream, "notifications/initialized", None, said)
    tools, cursor = list[dict[str, Loose]](), None
    for _ in range(MAX_PAGES):
        page, _ = _ask(upstream, LISTING, {"cursor": cursor} if cursor else {}, said)
        listed = page.get("tools")
        if not isinstance(listed, list):
            raise VerificationError("the server lists no tools")
        tools += [tool for tool in listed if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
        cursor = page.get("nextCursor")
        if cursor is None:
            return tools
    raise VerificationError(f"the list of tools has more than {MAX_PAGES} pages")


def _ask(
    upstream: Upstream, method: str, params: Loose, said: Mapping[str, str]
) -> tuple[dict[str, Loose], str | None]:
    """Ask one thing; a notification (without `params`) is answered by nothing."""
    message: dict[str, Loose] = {"jsonrpc": "2.0", "method": method}
    message |= {"id": 1, "params": params} if params is not None else {}
    line = upstream.connect()
    assert isinstance(line.sock, socket.socket)
    line.sock.settimeout(SECONDS)
    try:
        with upstream.ask(line, "POST", json.dumps(message).encode(), {**said, "mcp-method": method}) as answer:
            content = answer.read(MAX_ANSWER + 1)
            status, kind = answer.status, answer.getheader("content-type", "")
            session = answer.getheader("mcp-session-id")
    except (OSError, http.client.HTTPException) as e:
        raise UnavailableError(f"the server of the tools does not answer: {type(e).__name__}") from e
    finally:
        line.close()
    if not 200 <= status < 300 or len(content) > MAX_ANSWER:
        raise UnavailableError(f"the server of the tools answers {status} to {method}")
    return ({} if params is None else _result(content, kind, method)), session


def _result(content: bytes, kind: str, method: str) -> dict[str, Loose]:
    documents = events_of(content) if kind.startswith("text/event-stream") else [content]
    for document in documents:
        with suppress(VerificationError):
            found = read_strictly(document)
            result = found.get("result") if isinstance(found, dict) else None
            if isinstance(result, dict):
                return result
    raise VerificationError(f"the server of the tools does not say what {method} came to")
