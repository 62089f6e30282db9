"""How long may a client take to say what it wants? Whoever drips holds a connection, and nobody else's time.

    connected ──10 s, 64 KiB──▶ all headers ──20 s, and a second more for each 16 KiB──▶ the whole body

Only the time that we wait for the client counts; when the disk is slow, nobody is blamed for it.
"""

import asyncio
import time
from asyncio import TimerHandle, Transport

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_SECONDS = 10.0
HEADERS_BYTES = 64 << 10
BODY_SECONDS = 20.0
BODY_RATE = 16 << 10


class Patient(HttpToolsProtocol):
    """A connection that must bring whole headers in time."""

    _deadline: TimerHandle | None = None
    _awaited = True  # the headers of a request, and not its body
    _heard = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait (asyncio.Protocol)."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline (asyncio.Protocol)."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on (asyncio.Protocol)."""
        if self._awaited:
            self._wait()
            self._heard += len(data)
        super().data_received(data)
        if self._awaited and self._heard > HEADERS_BYTES:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        """Stop waiting: the headers are there (httptools)."""
        self._stop()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next request (httptools)."""
        self._awaited, self._heard = True, 0
        super().on_message_complete()

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_SECONDS, self.transport.abort)

    def _stop(self) -> None:
        self._awaited = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def timed(receive: Receive) -> Receive:
    """Let the pieces of a body come in time; afterwards there is no limit, so that a parting can be waited for."""
    waited, received, more = 0.0, 0, True

    async def timely() -> Message:
        nonlocal waited, received, more
        if not more:
            return await receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(BODY_SECONDS + received / BODY_RATE - waited):
                message = await receive()
        except TimeoutError as e:
            raise HTTPException(408, "the body comes too slowly", headers={"connection": "close"}) from e
        waited += time.monotonic() - began
        received += len(message.get("body", b""))
        more = bool(message.get("more_body"))
        return message

    return timely
