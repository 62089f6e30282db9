"""How does the desk call its tools? Over MCP, and only while the server says of a tool what the contract pins.

What a tool is called is no proof of what it does: one with another description, or other arguments, under the same name
is another tool. So before each call the server is asked what it offers. A call has a connection of its own.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

PINNED = ("name", "description", "input_schema")
_PATIENCE_SECONDS = 10.0


class ToolError(Exception):
    """A tool was not called, or did not do what it was asked."""


class ToolLine:
    """A line to the MCP server that a binding leads to: its `url`, and a `token` if there is one. Any threads."""

    def __init__(self, access: Callable[[], Mapping[str, str]], pinned: Mapping[str, Mapping[str, Any]]) -> None:
        self._access, self._pinned = access, pinned

    def call(self, tool: str, arguments: Mapping[str, str]) -> Mapping[str, Any]:
        """Call a tool; raise `ToolError` if it is not the pinned one, cannot be reached or refuses."""
        if tool not in self._pinned:
            raise ToolError(f"{tool} is not in the contract of this release")
        try:
            return asyncio.run(asyncio.wait_for(self._call(tool, dict(arguments)), _PATIENCE_SECONDS))
        except (MCPError, httpx2.HTTPError, OSError, ExceptionGroup, TimeoutError) as e:
            raise ToolError(f"{tool} cannot be reached") from e

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        refused, result, access = None, None, self._access()
        headers = {"Authorization": f"Bearer {access['token']}"} if "token" in access else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=_PATIENCE_SECONDS) as http,
            Client(streamable_http_client(access["url"], http_client=http)) as client,
        ):
            offered = {each.name: each.model_dump() for each in (await client.list_tools()).tools}
            try:
                check_pinned(self._pinned[tool], offered.get(tool))
                result = await client.call_tool(tool, arguments)
            except ToolError as e:
                refused = e  # raised in here it would come out in a group
        if refused is not None or result is None:
            raise refused or ToolError(f"{tool} failed")
        return _content(result)


def _content(result: CallToolResult) -> Mapping[str, Any]:
    if result.is_error or result.structured_content is None:
        said = " ".join(part.text for part in result.content if isinstance(part, TextContent))
        raise ToolError(said[:200] or "the tool failed")
    content: Mapping[str, Any] = result.structured_content
    return content


def check_pinned(pinned: Mapping[str, Any], offered: Mapping[str, Any] | None) -> None:
    """Raise `ToolError` unless the server offers exactly the tool that the contract pins."""
    if offered is None:
        raise ToolError(f"{pinned['name']} is not offered")
    if odd := [name for name in PINNED if offered.get(name) != pinned[name]]:
        raise ToolError(f"{pinned['name']} has another {odd[0]} than the contract pins")
