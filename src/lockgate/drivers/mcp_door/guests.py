"""Who is let in at a door, with which token, until when, and what do they have under way?

Tokens live in memory and nowhere else. A cut takes the token first and then ends what is under way; what begins in
between finds no token.
"""

import hashlib
import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from lockgate.core.tool import Toolbox
from lockgate.errors import DeniedError

MAX_CALLS = 32  # of one guest at a time: nobody takes the places of others
REMEMBERED = 256  # tokens that were given out, to try them


@dataclass(eq=False)
class Guest:
    """One holder: its token, its tools, and the two ends of each call that is under way."""

    login: str
    token: str = field(repr=False)
    tools: tuple[str, ...]
    toolbox: Toolbox
    until_ns: int  # CLOCK_BOOTTIME
    places: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_CALLS))
    calls: "set[tuple[socket.socket, socket.socket]]" = field(default_factory=set)


class Guests:
    """Everybody who is let in at one door. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guests: dict[bytes, Guest] = {}
        self._given: dict[str, str] = {}

    def let_in(self, login: str, until_ns: int, tools: Sequence[str]) -> Guest:
        """Let a holder in until then: with the token that it has, if it has one and calls the same tools."""
        with self._lock:
            for guest in self._guests.values():
                if guest.login == login and guest.tools == tuple(tools):
                    guest.until_ns = max(guest.until_ns, until_ns)
                    return guest
        guest = Guest(login, secrets.token_urlsafe(32), tuple(tools), Toolbox(tools), until_ns)
        self.cut(login)
        with self._lock:
            self._guests[_key(guest.token)] = guest
            self._given[guest.token] = login
            for token in list(self._given)[:-REMEMBERED]:
                del self._given[token]
        return guest

    def find(self, token: str, now_ns: int) -> Guest:
        """Return whose token it is; raise `DeniedError` if it is nobody's, or has ended."""
        with self._lock:
            guest = self._guests.get(_key(token))
        if guest is None or guest.until_ns <= now_ns:
            raise DeniedError("nobody is let in with this token")
        return guest

    @contextmanager
    def under_way(self, guest: Guest, *ends: socket.socket) -> Iterator[None]:
        """Have a call under way that a cut ends; raise `DeniedError` if there was one meanwhile."""
        first, second = ends
        with self._lock:
            if self._guests.get(_key(guest.token)) is not guest:
                raise DeniedError("what this token let in was cut")
            guest.calls.add((first, second))
        try:
            yield
        finally:
            with self._lock:
                guest.calls.discard((first, second))

    def cut(self, login: str) -> None:
        """Let nobody in whose login begins so, and end what they have under way."""
        with self._lock:
            gone = {key: guest for key, guest in self._guests.items() if guest.login.startswith(login)}
            self._guests = {key: guest for key, guest in self._guests.items() if key not in gone}
            calls = [end for guest in gone.values() for pair in guest.calls for end in pair]
        for end in calls:
            with suppress(OSError):
                socket.socket.shutdown(end, socket.SHUT_RDWR)  # below TLS too: nothing is said any more

    def under(self, login: str) -> dict[str, int]:
        """Say who is let in whose login begins so, and how many calls each has under way."""
        with self._lock:
            return {one.login: len(one.calls) for one in self._guests.values() if one.login.startswith(login)}

    def given(self, login: str) -> list[str]:
        """List the tokens that were given to whoever's login begins so, those that are gone too."""
        with self._lock:
            return [token for token, to in self._given.items() if to.startswith(login)]


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()  # so that no comparison tells how much of a token was right
