"""How is somebody asked over HTTP who may be slow, endless or hostile? Once, in so much time, for so many bytes.

The clock runs from the name to the last byte, and whoever drips is cut off by it. Nothing is followed, kept or
unpacked. What goes wrong is said without the address: there may be a secret in it.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from lockgate.drivers.webhook.vetted_address import resolve
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.public_address import Ip
from lockgate.loader.tls import Tls, client_context, explain

MAX_ANSWER = 64 << 10
_LEAST_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, and as much of the body as was allowed."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask. `private` lets the name lead to this machine and its networks, and plain HTTP do."""

    url: str = field(repr=False)
    private: bool = False
    tls: Tls = field(default_factory=Tls, repr=False)

    def __post_init__(self) -> None:
        """Raise `VerificationError` for what nobody may be asked by."""
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError as e:
            raise VerificationError("it is no address") from e
        if parts.scheme != "https" and not (parts.scheme == "http" and self.private):
            raise VerificationError("it is asked over https; http is for private addresses")
        if not host or "@" in parts.netloc or parts.fragment or not (self.url.isascii() and self.url.isprintable()):
            raise VerificationError("it is written https://HOST/PATH, without a user and in plain letters")

    @property
    def host(self) -> str:
        """The name that is resolved, and that the certificate must be for."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port: that of the scheme if none is written."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def ask(
        self, method: Literal["GET", "POST"], body: bytes | None, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """Ask once; raise `UnavailableError` unless a whole answer came in time, whatever it says."""
        ends_at = time.monotonic() + seconds
        addresses = resolve(self.host, self.port, private=self.private, seconds=seconds)
        door = self._connected(addresses, ends_at)
        clock = threading.Timer(_left(ends_at), _cut, (door,))
        clock.daemon = True
        clock.start()
        try:
            answer = self._asked(door, method, body, headers)
            if time.monotonic() >= ends_at:
                raise TimeoutError
            return answer
        except (OSError, http.client.HTTPException, ValueError) as e:
            if time.monotonic() >= ends_at:
                raise UnavailableError("no whole answer in time") from e
            raise UnavailableError(
                f"no answer: {explain(e) if isinstance(e, ssl.SSLError) else type(e).__name__}"
            ) from e
        finally:
            clock.cancel()
            door.close()

    def _asked(self, door: socket.socket, method: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        if isinstance(door, ssl.SSLSocket):
            door.do_handshake()
        line = http.client.HTTPConnection(self.host, self.port)
        line.sock = door
        parts = urlsplit(self.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        line.request(method, path, body, {**headers, "Accept-Encoding": "identity", "Connection": "close"})
        with line.getresponse() as answer:
            content = answer.read(MAX_ANSWER + 1)
            if len(content) > MAX_ANSWER:
                raise UnavailableError(f"the answer has more than {MAX_ANSWER} bytes")
            if answer.length:
                raise ConnectionError("it broke off")
            return Answer(answer.status, content)

    def _connected(self, addresses: Sequence[Ip], ends_at: float) -> socket.socket:
        for address in addresses:
            try:
                door = socket.create_connection((str(address), self.port), timeout=_left(ends_at))
            except OSError:
                continue
            if urlsplit(self.url).scheme == "http":
                return door
            return client_context(self.tls).wrap_socket(door, server_hostname=self.host, do_handshake_on_connect=False)
        raise UnavailableError("nobody answers there")


def _left(ends_at: float) -> float:
    return max(_LEAST_SECONDS, ends_at - time.monotonic())


def _cut(door: socket.socket) -> None:
    """Shut the connection below TLS: `SSLSocket.shutdown` would let what is read next count as plain text."""
    with suppress(OSError):
        socket.socket.shutdown(door, socket.SHUT_RDWR)
