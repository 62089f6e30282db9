"""How does a release call the tools of an MCP server? Through a door of its host, with a token of its own.

    model server ── token, message ──▶ door: whose token? what may its contract call? ── written anew ──▶ MCP server
    grant: a token, and the tools of the contract    cut: no token, and what is under way ends    probe: it knocks

The door is in the agent's own program: when that stands still or is gone, nothing goes through. Tokens live in memory
only, so an agent that was started again lets nobody in before it granted anew. The server of the tools should ask for
the secret that the door shows it (`secret`), or a model server that knows its address can go round the door.
"""

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException

from lockgate.core.binding import Found, Holder, Seen, logins_of
from lockgate.drivers.mcp_door.door import PATH, Door
from lockgate.drivers.mcp_door.guests import Guests
from lockgate.drivers.mcp_door.upstream import Upstream
from lockgate.errors import UnavailableError
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Name

SECONDS = 2.0
_LOOK_SECONDS = 0.25


class McpDoor:
    """The door to one MCP server (port `Binding`). Safe to use from many threads."""

    def __init__(self, name: Name, upstream: Upstream, listen: tuple[str, int]) -> None:
        """Open the door at an address of this host; raise `UnavailableError` if that is not possible."""
        self._name, self._guests = name, Guests()
        self._door = Door(listen, upstream, self._guests)
        host, port = self._door.server_address[:2]
        self._at = (str(host), int(port))
        threading.Thread(target=self._door.serve_forever, args=(_LOOK_SECONDS,), name="tools", daemon=True).start()

    def grant(self, holder: Holder, until: datetime, tools: Sequence[str] = ()) -> Mapping[str, Json]:
        """Give a holder its token (port `Binding`)."""
        left_ns = round((until - datetime.now(UTC)).total_seconds() * 1e9)
        ends_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + left_ns
        guest = self._guests.let_in(holder.login, ends_ns, tools)
        host, port = self._at
        where = f"[{host}]" if ":" in host else host
        return {"url": f"http://{where}:{port}{PATH}", "token": guest.token}

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Take the tokens, and end what is under way (port `Binding`)."""
        self._guests.cut(holder.login if holder else logins_of(endpoint))

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Knock with every token that was given out, and with one that never was (port `Binding`).

        Enforces: emergency_shutdown
        """
        tokens = self._guests.given(holder.login if holder else logins_of(endpoint))
        if self._knock(secrets.token_urlsafe(32)) != 401:
            raise UnavailableError(f"{self._name}: the door does not ask for a token")
        found = {self._knock(token) for token in tokens}
        return "shut" if found <= {401} else "open"

    def observed(self, endpoint: Endpoint) -> Seen:
        """Say who is let in, and how many calls are under way (port `Binding`)."""
        return Seen(self._guests.under(logins_of(endpoint)))

    def close(self) -> None:
        """Close the door: nobody gets in any more (port `Binding`)."""
        self._guests.cut("")
        self._door.shutdown()
        self._door.server_close()

    def _knock(self, token: str) -> int:
        line = HTTPConnection(*self._at, timeout=SECONDS)
        try:
            line.request("GET", PATH, headers={"authorization": f"Bearer {token}"})
            return line.getresponse().status
        except (OSError, HTTPException) as e:
            raise UnavailableError(f"{self._name}: the door does not answer: {type(e).__name__}") from e
        finally:
            line.close()
