"""Which tools does a release call, as they are described now? Asked of their server, and written for a contract."""

from pathlib import Path

import click

from lockgate.cli.speaking import FILE, as_json, show


@click.command()
@click.argument("url")
@click.option(
    "--secret", type=FILE, help="A file with the secret that the server asks for, as `Authorization: Bearer`."
)
@click.option(
    "--only", multiple=True, metavar="TOOL", help="This tool; again for more. Without it, all that are listed."
)
@as_json
def tools(url: str, secret: Path | None, only: tuple[str, ...], json_: bool) -> None:
    """List the tools of an MCP server as `contract.tools` of a release takes them.

    Each has the digest of all that the server says of it. A tool that is described in another way later is neither
    shown to the release nor called.
    """
    from lockgate.core.tool import pinned
    from lockgate.drivers.mcp_door.tool_listing import list_tools
    from lockgate.drivers.mcp_door.upstream import Upstream
    from lockgate.errors import DeniedError

    found = {
        str(tool["name"]): pinned(tool)
        for tool in list_tools(Upstream(url, secret.read_text().strip() if secret else None))
    }
    if missing := sorted(set(only) - found.keys()):
        raise DeniedError(f"the server lists no tool {missing[0]}; it lists: {', '.join(sorted(found)) or 'none'}")
    chosen = sorted(pin for name, pin in found.items() if not only or name in only)
    show(json_, {"tools": chosen}, *chosen)
