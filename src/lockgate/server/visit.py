"""Who asks at this door, for what, and what did they bring?

A route gets a `Visit`: the session, the act, and the instant. Before it, `enter` has looked the act up in the table of
rights. What changes something comes as an order: a JSON object with a signed intent, whose nonce is the
`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) and whose actor is the one of the session.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.controllers.breakers import Breakers
from lockgate.controllers.concessions import Concessions
from lockgate.controllers.rollouts import Rollouts
from lockgate.controllers.targets import Targets
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import State, Subject
from lockgate.core.metadata import LIFE
from lockgate.core.rights import check_right
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.server.herald import Herald
from lockgate.server.lease_desk import LeaseDesk
from lockgate.server.metrics import Meters
from lockgate.server.pace import Pace
from lockgate.server.session import Session, Sessions
from lockgate.server.sightings import Sightings
from lockgate.server.telling import Teller

API = "/api/v1"

_ALERTS, _ALERTS_AT_ONCE = 1.0, 60.0  # a second, of one actor


class Order(Protocol):
    """What comes in the body of a request that changes something."""

    @property
    def intent(self) -> SignedIntent:
        """The signed intent."""


T = TypeVar("T")
Brought = TypeVar("Brought", bound=Order)


@dataclass(frozen=True, slots=True)
class Said:
    """An order that says nothing but its intent."""

    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class Desk:
    """What every route works with."""

    installation: Installation
    sessions: Sessions
    meters: Meters
    clock: Callable[[], datetime]
    leases: LeaseDesk
    sightings: Sightings
    herald: Herald
    rollouts: Rollouts
    breakers: Breakers
    concessions: Concessions
    targets: Targets
    updates_life: timedelta = LIFE
    tellers: tuple[Teller, ...] = ()
    alerts: Pace = field(default_factory=lambda: Pace("raises alerts", _ALERTS, _ALERTS_AT_ONCE))


@dataclass(slots=True)
class Visit:
    """One request of somebody known. `may` turns true when the table of rights has let them pass."""

    desk: Desk
    session: Session
    act: str
    object: str
    now: datetime
    key: str | None
    may: bool = False

    @property
    def installation(self) -> Installation:
        """What the visit is about."""
        return self.desk.installation

    def order(self, kind: type[Brought], body: bytes, *, limit: int = canonical.MAX_BYTES) -> Brought:
        """Read what was brought; its intent must be of this session and carry the `Idempotency-Key`."""
        order = read(kind, body, limit=limit)
        intent = order.intent.intent
        if intent.nonce != self.key:
            raise VerificationError("Idempotency-Key is not the nonce of the intent")
        self.object = intent.object
        if intent.actor != self.session.actor:
            raise DeniedError(f"the intent is of {intent.actor}, the session of {self.session.actor}")
        return order

    def receipt(self, receipt: Receipt, subject: Subject) -> Response:
        """Answer a change with where the log holds it, and with what is true now. Hosts hear of it."""
        self.desk.herald.wake()
        found = self.installation.catalog.find(subject)
        told: dict[str, object] = {"first": receipt.first, "stop": receipt.stop, "object": found}
        return answer(told if receipt.anchored is None else {**told, "anchored": receipt.anchored})

    def find(self, kind: type[T], subject: Subject) -> T:
        """Return what is true of `subject`; answer 404 if nothing is."""
        found = self.installation.catalog.find(subject)
        if not isinstance(found, kind):
            raise HTTPException(404, f"there is no {subject}")
        return found

    def page(self, states: list[State], name: Callable[[State], str], limit: int) -> Response:
        """Answer with one page of a list, and with where the next one begins."""
        return answer({"items": states, "next": name(states[-1]) if len(states) == limit else None})


def enter(act: str) -> Callable[[Request], Awaitable[None]]:
    """Make the dependency that lets in only who has the right to `act`."""

    async def entered(request: Request) -> None:
        desk, session = request.app.state.desk, request.state.session
        assert isinstance(desk, Desk) and isinstance(session, Session)
        object_ = request.scope["path"].removeprefix(f"{API}/")
        visit = Visit(desk, session, act, object_, desk.clock(), request.headers.get("idempotency-key"))
        request.state.visit = visit
        check_right(act, session.roles, session.actor)
        visit.may = True

    return entered


async def require_key(request: Request) -> None:
    """Refuse a change without `Idempotency-Key`."""
    if "idempotency-key" not in request.headers:
        raise HTTPException(400, "Idempotency-Key is missing: it is the nonce of the intent")


async def read_body(request: Request) -> bytes:
    """Read the whole body of a request that says it is JSON in UTF-8; `default_deny` bounds it."""
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise HTTPException(415, "the body must be application/json in UTF-8")
    return await request.body()


async def visit_of(request: Request) -> Visit:
    """Give the visit that `enter` has begun."""
    visit = request.state.visit
    assert isinstance(visit, Visit) and visit.may
    return visit


async def desk_of(request: Request) -> Desk:
    """Give the desk to a route that is open to everyone."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


Body = Annotated[bytes, Depends(read_body)]
Here = Annotated[Visit, Depends(visit_of)]
Open = Annotated[Desk, Depends(desk_of)]


def read(kind: type[T], body: bytes, *, limit: int = canonical.MAX_BYTES) -> T:
    """Read a `kind` from a JSON body; raise `VerificationError` for anything else."""
    return plain.from_plain(kind, canonical.parse(body, limit=limit), "body")


def answer(value: object) -> Response:
    """Answer with JSON."""
    return Response(plain.encode(value), media_type="application/json")
