"""How does a host hear over HTTP what was just done? A connection that stays, on which the server speaks."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lockgate.server.herald import Herald
from lockgate.server.session import LIFETIME
from lockgate.server.visit import Here, Visit

LONGEST = int(LIFETIME.total_seconds())


class Stream:
    """What a door gives that speaks until one side goes away: server-sent events."""


class _Spoken(Response):
    """An answer that goes on for so many seconds, or until the session is over."""

    def __init__(self, herald: Herald, visit: Visit, seconds: float) -> None:
        super().__init__()
        self._herald, self._visit, self._seconds = herald, visit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak (ASGI 3.0)."""
        del scope
        session = self._visit.session
        left = (session.expires_at - self._visit.now).total_seconds()
        await self._herald.serve(session.actor, min(self._seconds, left), receive, send)


async def get_news(visit: Here, seconds: Annotated[int, Query(ge=0, le=LONGEST)] = LONGEST) -> Response:
    """Push what concerns hosts as soon as it is in the log, as server-sent events; each of them is only a hint."""
    return _Spoken(visit.desk.herald, visit, seconds)
