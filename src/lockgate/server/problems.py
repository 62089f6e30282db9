"""How is "no" said over HTTP? As a problem document (RFC 9457), the same for every error.

    401 unauthenticated   403 no right   409 the rules say no   412 the log moved   422 not what it claims
    503 nothing was decided

The members are `type`, `title`, `status`, `detail` and `reasons`. Nothing of the request is repeated in it but what an
error quotes, which is short; of a bug nothing is told at all. What a known actor may not have is recorded in the log.
"""

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from lockgate.app.record_denial import record_denial
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.server.visit import Desk, Visit

MEDIA_TYPE = "application/problem+json"
_LONGEST = 2000  # characters of one reason that are told
_STATUS = {DeniedError: 409, VerificationError: 422, ConflictError: 412, UnavailableError: 503}
_KINDS = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    409: "denied",
    411: "length-required",
    412: "conflict",
    413: "too-large",
    415: "unsupported-media-type",
    422: "verification",
    500: "internal",
    503: "unavailable",
}

_log = logging.getLogger(__name__)


def problem(status: int, reasons: Sequence[str] = (), *, headers: dict[str, str] | None = None) -> Response:
    """Write a problem document."""
    told = [reason[:_LONGEST] for reason in reasons]
    title = HTTPStatus(status).phrase
    members: dict[str, object] = {"type": f"urn:lockgate:problem:{_KINDS.get(status, 'other')}", "title": title}
    members |= {"status": status, "reasons": told}
    if told:
        members["detail"] = "; ".join(told)
    text = json.dumps(members)  # escapes everything beyond ASCII, lone surrogates too
    return Response(text, status, headers, MEDIA_TYPE)


def problem_of(error: LockgateError) -> Response:
    """Write what an error of ours means to the caller."""
    reasons = error.reasons if isinstance(error, DeniedError) else (str(error),)
    status = _STATUS[type(error)]
    return problem(status, reasons, headers={"retry-after": "1"} if status == 503 else None)


def answer_errors(app: FastAPI) -> None:
    """Let `app` answer every error with a problem document."""
    app.add_exception_handler(DeniedError, _denied)
    app.add_exception_handler(LockgateError, _failed)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _broken)


def _denied(request: Request, error: Exception) -> Response:
    """Answer a denial. It runs in a thread: recording waits for the database."""
    assert isinstance(error, DeniedError)
    desk, visit = request.app.state.desk, getattr(request.state, "visit", None)
    assert isinstance(desk, Desk)
    if visit is None:
        desk.meters.denial("session.open")
        return problem_of(error)
    assert isinstance(visit, Visit)
    desk.meters.denial(visit.act)
    _record(desk, visit, error)
    return problem_of(error) if visit.may else problem(403, error.reasons)


def _record(desk: Desk, visit: Visit, error: DeniedError) -> None:
    """Record a denial. A log that fails takes nothing back: the answer stays no."""
    object_ = visit.object
    if not (object_.isascii() and object_.isprintable()):
        object_ = str(Digest.of(object_.encode(errors="surrogatepass")))
    try:
        record_denial(desk.installation, str(visit.session.actor), visit.act, object_, error, visit.now)
    except Exception:  # noqa: BLE001 - whatever it is, it must not turn a denial into something else
        _log.exception("a denial of %s to %s could not be recorded", visit.act, visit.session.actor)


def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LockgateError)
    return problem_of(error)


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    plain = error.detail == HTTPStatus(error.status_code).phrase
    headers = dict(error.headers) if error.headers else None
    return problem(error.status_code, () if plain else (error.detail,), headers=headers)


def _invalid(_request: Request, error: Exception) -> Response:
    """Name the parameter that is wrong; what was found there is not repeated."""
    assert isinstance(error, RequestValidationError)
    return problem(422, [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()])


def _gone(_request: Request, _error: Exception) -> Response:
    return problem(400, ["the body ended early"])


def _broken(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    return problem(500)
