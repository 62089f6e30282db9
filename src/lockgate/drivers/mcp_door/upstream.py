"""How is an MCP server asked? Once for each message, over a connection of its own that anybody may cut.

Plain HTTP goes to this machine only. Nothing of a client's headers is passed on but what the protocol has; whoever is
asked learns the secret of the door, never the token of a guest.
"""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lockgate.errors import UnavailableError, VerificationError
from lockgate.loader.tls import Tls, client_context, is_local

CONNECT_SECONDS = 2.0
LONGEST_SECONDS = 600.0  # of silence: a tool may work for long before it says a word

_PASSED = ("mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name", "last-event-id")
_PASSED_ALL = "mcp-param-"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the MCP server listens, and what it is shown."""

    url: str
    secret: str | None = field(default=None, repr=False)
    tls: Tls = field(default_factory=Tls, repr=False)

    def __post_init__(self) -> None:
        """Raise `VerificationError` for an address that cannot be asked, or not safely."""
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as e:
            raise VerificationError("url is no address") from e
        if parts.scheme != "https" and not (parts.scheme == "http" and host and is_local(host)):
            raise VerificationError("url begins with https://, or leads to this machine")
        if not host or "@" in parts.netloc or parts.fragment or not (self.url.isascii() and self.url.isprintable()):
            raise VerificationError("url is written https://HOST/PATH, without a user and in plain letters")

    def connect(self) -> http.client.HTTPConnection:
        """Connect; raise `UnavailableError` if nobody is there."""
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            door = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
            if parts.scheme == "https":
                door = client_context(self.tls).wrap_socket(door, server_hostname=host)
        except OSError as e:
            raise UnavailableError("the server of the tools does not answer") from e
        door.settimeout(LONGEST_SECONDS)
        line = http.client.HTTPConnection(host, port)
        line.sock = door
        return line

    def ask(
        self, line: http.client.HTTPConnection, method: str, body: bytes | None, said: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        """Send one message on; `said` are the headers of the client, in lower case. Return the answer as it begins."""
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {name: text for name, text in said.items() if name in _PASSED or name.startswith(_PASSED_ALL)}
        headers |= {"accept": "application/json, text/event-stream", "connection": "close"}
        headers |= {"content-type": "application/json"} if body is not None else {}
        headers |= {"authorization": f"Bearer {self.secret}"} if self.secret else {}
        line.request(method, path, body, headers)
        return line.getresponse()
