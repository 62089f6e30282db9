"""What can the desk's tools do? An MCP server over a small book of orders, tickets and pages.

    find_order, open_ticket, search_documents     what a help desk needs
    refund_order                                  what it does not: no contract of the desk lists it

The server offers all it has to whoever knows its secret, as such servers do. Which tools a release may call is written
in its contract, and held by the door that stands between the two and alone knows the secret.
"""

import argparse
import contextlib
import hmac
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lockgate.cli.demo.desk.documents import Section

Number = Annotated[str, Field(pattern="^[A-Z]-[0-9]{4}$", description="the number of an order, like A-1042")]
Text = Annotated[str, Field(max_length=2000)]
ORDERS = (
    ("A-1042", "security key, 2 pieces", "sent", "2026-12-01"),
    ("B-2001", "hardware security module", "waiting for customs", "2026-12-14"),
    ("C-3300", "laptop, 14 inch", "delivered", "2026-11-20"),
)


def create_book(path: Path, pages: Iterable[Section]) -> None:
    """Write a new book with its orders and the pages that can be searched by their words."""
    with contextlib.closing(sqlite3.connect(path)) as book, book:
        book.execute("CREATE TABLE orders (number TEXT PRIMARY KEY, item TEXT, state TEXT, arrives TEXT)")
        book.execute("CREATE TABLE tickets (number INTEGER PRIMARY KEY, subject TEXT NOT NULL)")
        book.execute("CREATE VIRTUAL TABLE pages USING fts5 (page, text)")
        book.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS)
        book.executemany("INSERT INTO pages VALUES (?, ?)", ((page.page, page.text) for page in pages))


def tools(path: Path) -> MCPServer[Any]:
    """Make the server over the book at `path`."""
    server = MCPServer("desk-tools", log_level="ERROR")

    @server.tool(description="Look up where an order is, whether it was sent, and when it will be delivered.")
    def find_order(number: Number) -> dict[str, str]:
        with _open(path) as book:
            row = book.execute("SELECT number, item, state, arrives FROM orders WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise ToolError(f"there is no order {number}")
        return dict(zip(("number", "item", "state", "arrives"), row, strict=True))

    @server.tool(description="Open a ticket: report that something is broken, so that a person looks at it.")
    def open_ticket(subject: Text) -> dict[str, str]:
        with _open(path) as book:
            made = book.execute("INSERT INTO tickets (subject) VALUES (?)", (subject,))
        return {"ticket": f"T-{made.lastrowid}"}

    @server.tool(description="Search the pages of the documents for words, and list which pages hold them.")
    def search_documents(words: Text) -> dict[str, list[str]]:
        wanted = " OR ".join(f'"{word}"' for word in re.findall(r"\w{4,}", words)) or '""'
        query = "SELECT page FROM pages WHERE pages MATCH ? GROUP BY page ORDER BY min(rank), page LIMIT 3"
        with _open(path) as book:
            return {"pages": [page for (page,) in book.execute(query, (wanted,))]}

    @server.tool(description="Give the money for an order back: refund it to whoever paid.")
    def refund_order(number: Number) -> dict[str, str]:
        with _open(path) as book:
            book.execute("UPDATE orders SET state = 'refunded' WHERE number = ?", (number,))
        return {"number": number, "state": "refunded"}

    return server


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as book, book:
        yield book


class Guarded:
    """An application that answers nobody who does not know the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app, self._wanted = app, f"Bearer {secret}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say 401."""
        said = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "http" and not hmac.compare_digest(said, self._wanted):
            await Response(status_code=401)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="desk_tools", description="Serve the tools of the desk over MCP.")
    parser.add_argument("--book", type=Path, required=True)
    parser.add_argument("--secret-file", type=Path, required=True, help="what callers say: Authorization: Bearer …")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = tools(given.book).streamable_http_app(json_response=True, stateless_http=True)
    uvicorn.run(
        Guarded(app, given.secret_file.read_text().strip()), host=given.host, port=given.port, log_level="warning"
    )


if __name__ == "__main__":
    main()
