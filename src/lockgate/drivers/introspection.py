"""How does a release prove to others that it may act, for as long as it may? By a token that its agent vouches for.

    grant ──▶ a token, for the model server ──▶ shown to a service ──▶ POST /introspect (RFC 7662) ──▶ {"active": true}
    cut, or the lease is over ──▶ {"active": false}, from the next question on

A token says nothing by itself and cannot be renewed by whoever has it. The agent that is gone answers nobody: a service
that gets no answer must refuse. Services ask at a loopback address, with a secret of their own.
"""

import hmac
import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode

from lockgate.core.binding import Found, Holder, Seen, logins_of
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Name
from lockgate.loader.narrow_door import NarrowCall, NarrowDoor

SECONDS = 2.0
MAX_QUESTION = 8192
MAX_CALLERS = 64

_KEPT = 8  # of one holder: what was cut is tried as well


@dataclass(frozen=True, slots=True)
class _Token:
    login: str
    text: str
    until: datetime
    until_ns: int  # CLOCK_BOOTTIME
    cut: bool = False

    @property
    def is_active(self) -> bool:
        return not self.cut and time.clock_gettime_ns(time.CLOCK_BOOTTIME) < self.until_ns


class Introspection:
    """Tokens of this host, and the door at which services ask about them (port `Binding`)."""

    def __init__(self, name: Name, at: tuple[str, int], secret: str) -> None:
        """Listen; raise `UnavailableError` if that is not possible."""
        self._name, self._secret = name, secret
        self._tokens: dict[str, tuple[_Token, ...]] = {}
        self._lock = threading.Lock()
        try:
            self._door = _Door(at, self)
        except UnavailableError as e:
            raise UnavailableError(f"{name}: {e}") from e
        self.url = f"http://{at[0]}:{self._door.server_address[1]}/introspect"
        threading.Thread(target=self._door.serve_forever, args=(0.25,), name=f"ask {name}", daemon=True).start()

    def grant(self, holder: Holder, until: datetime, tools: Sequence[str] = ()) -> Mapping[str, Json]:
        """Vouch for the token of a holder until then (port `Binding`)."""
        del tools
        left_ns = round((until - datetime.now(UTC)).total_seconds() * 1e9)
        ends_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + left_ns
        with self._lock:
            before = self._tokens.get(holder.login, ())
            held = before[-1] if before and before[-1].is_active else None
            text = held.text if held else f"lgc_{secrets.token_urlsafe(32)}"
            kept = before[:-1] if held else before
            self._tokens[holder.login] = (*kept, _Token(holder.login, text, until, ends_ns))[-_KEPT:]
        return {"token": text, "introspect": self.url}

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Vouch for nothing any more (port `Binding`).

        Enforces: emergency_shutdown
        """
        with self._lock:
            for login in self._logins(endpoint, holder):
                self._tokens[login] = tuple(
                    _Token(each.login, each.text, each.until, each.until_ns, cut=True) for each in self._tokens[login]
                )

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Ask about every token, as a service would (port `Binding`)."""
        with self._lock:
            texts = [each.text for login in self._logins(endpoint, holder) for each in self._tokens[login]]
        return "open" if any(self._is_active(text) for text in texts) else "shut"

    def observed(self, endpoint: Endpoint) -> Seen:
        """Raise `UnavailableError`: who uses a token is known where it is used (port `Binding`)."""
        raise UnavailableError(f"{self._name}: nobody tells what a token opened for {endpoint}")

    def close(self) -> None:
        """Answer nobody any more (port `Binding`)."""
        self._door.shutdown()
        self._door.server_close()

    def check_asker(self, said: str) -> None:
        """Raise `PermissionError` for somebody who does not know the secret of the services."""
        if not hmac.compare_digest(said.encode(), f"Bearer {self._secret}".encode()):
            raise PermissionError

    def answer(self, text: str) -> Mapping[str, Json]:
        """Say whether a token counts now, and whose it is (RFC 7662 §2.2)."""
        with self._lock:
            known = [each for held in self._tokens.values() for each in held if each.is_active]
        for each in known:
            if hmac.compare_digest(each.text.encode(), text.encode()):
                return {"active": True, "sub": each.login, "exp": int(each.until.timestamp())}
        return {"active": False}

    def _is_active(self, text: str) -> bool:
        asked = urllib.request.Request(  # noqa: S310 - our own door
            self.url, urlencode({"token": text}).encode(), {"Authorization": f"Bearer {self._secret}"}
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=SECONDS) as answer:
                found: object = json.loads(answer.read(MAX_QUESTION))
        except (OSError, ValueError) as e:
            raise UnavailableError(f"{self._name}: its own door does not answer: {type(e).__name__}") from None
        return not isinstance(found, dict) or found.get("active") is not False

    def _logins(self, endpoint: Endpoint, holder: Holder | None) -> list[str]:
        begin = holder.login if holder else logins_of(endpoint)
        return [login for login in self._tokens if login.startswith(begin)]


class _Door(NarrowDoor):
    most = MAX_CALLERS
    silence = whole = SECONDS

    def __init__(self, at: tuple[str, int], tokens: Introspection) -> None:
        self.tokens = tokens
        super().__init__(at, _Call)


class _Call(NarrowCall):
    server: _Door
    largest = MAX_QUESTION

    def do_POST(self) -> None:
        """Answer one question."""
        status, found = self._asked() if self.path == "/introspect" else (404, {})
        self.say(status, "application/json", json.dumps(found).encode())

    def _asked(self) -> tuple[int, Mapping[str, Json]]:
        try:
            self.server.tokens.check_asker(self.headers.get("authorization", ""))
            given = parse_qs(self.body("a question").decode("ascii"), max_num_fields=8).get("token", [])
        except PermissionError:
            return 401, {}
        except (VerificationError, ValueError):
            return 400, {}
        return (200, self.server.tokens.answer(given[0])) if len(given) == 1 else (400, {})
