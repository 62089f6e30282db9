"""How does a serving host ask for leases over HTTP? At a door that stands before all others, and needs no session.

The request is signed by its node, and so is the answer by us: a session would add nothing. The door is plain ASGI,
outside of FastAPI, because a thousand hosts a second come by here (spec/lease.md).
"""

import logging
from datetime import datetime

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lockgate.app.grant_leases import Unanswered, add_keys
from lockgate.app.installation import Installation
from lockgate.app.record_denial import record_denial
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.names import Name
from lockgate.server.problems import problem, problem_of
from lockgate.server.visit import API, Desk, read_body

LEASES = f"{API}/leases"

_ACT = "lease.ask"
_OPENING = 4  # threads that open keys: the vault may be slow, and renewals must not wait for it

_log = logging.getLogger(__name__)


class LeaseDoor:
    """Answer the signed lease request of a node with a signed grant."""

    def __init__(self, inner: ASGIApp, desk: Desk) -> None:
        self.inner = inner
        self._desk = desk
        self._opening = CapacityLimiter(_OPENING)
        self._route = Route(LEASES, self, methods=["POST"])  # what requests are counted under

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer lease requests, and let everything else through (ASGI 3.0)."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", LEASES):
            await self.inner(scope, receive, send)
            return
        scope["route"] = self._route
        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        try:
            return await self._told(await read_body(request))
        except HTTPException as e:
            return problem(e.status_code, (e.detail,), headers=dict(e.headers) if e.headers else None)
        except DeniedError as e:  # there is no policy yet
            self._desk.meters.denial(_ACT)
            return problem_of(e)
        except LockgateError as e:
            return problem_of(e)
        except ClientDisconnect:
            return problem(400, ["the body ended early"])
        except Exception:  # noqa: BLE001 - a bug of ours is no answer either
            _log.exception("a lease request failed")
            return problem(500)

    async def _told(self, document: bytes) -> Response:
        told = await self._desk.leases.ask(document)
        if not isinstance(told, Unanswered):
            if told.request.seal_to is not None:
                told = await to_thread.run_sync(add_keys, self._desk.installation, told, limiter=self._opening)
            self._desk.meters.leases(len(told.grant.granted), len(told.grant.refused))
            return Response(told.document, media_type="application/json")
        if not isinstance(told.error, DeniedError) or told.node is None:
            return problem_of(told.error)
        self._desk.meters.denial(_ACT)
        await run_in_threadpool(_record, self._desk.installation, told.node, told.error, self._desk.clock())
        return problem(403, told.error.reasons)


def _record(installation: Installation, node: Name, error: DeniedError, now: datetime) -> None:
    """Record that somebody known may not ask at all."""
    try:
        record_denial(installation, str(node), _ACT, "leases", error, now)
    except Exception:  # noqa: BLE001 - whatever it is, it must not turn a denial into something else
        _log.exception("a denial of %s to %s could not be recorded", _ACT, node)
