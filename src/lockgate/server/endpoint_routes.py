"""What should serve where, and who asks to serve it, and how is it stopped and restored?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.responses import Response

from lockgate.app.follow_rollback import hosts_of
from lockgate.app.issue_passport import passport_for, proof_of_order
from lockgate.app.roll_back import roll_back
from lockgate.app.shut_down import relay_order, shut_down
from lockgate.app.take_halt import take_halt
from lockgate.controllers.targets import look_kept
from lockgate.core import endpoint as at_endpoint
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import State, endpoint_subject, preservation_subject
from lockgate.core.notice import still_open
from lockgate.core.order import Order
from lockgate.core.preservation import Look, Preservation, flags, standing, way_back
from lockgate.core.restoration import Restoration, Word
from lockgate.core.slot import Slot
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint, Name
from lockgate.server.blob_routes import Named
from lockgate.server.json_schema import NAME
from lockgate.server.release_routes import After, Limit
from lockgate.server.visit import Body, Here, Said, answer, read


@dataclass(frozen=True, slots=True)
class Stop:
    """An order to suspend the endpoint of the path; the intent's `after` is the digest of the reason."""

    intent: SignedIntent
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Coming:
    """How far the last rollback is, and what each host says of it: `back`, `not yet`, or that it is `silent`."""

    restoration: Restoration | None
    hosts: Mapping[Name, Word]


@dataclass(frozen=True, slots=True)
class Kept:
    """What an endpoint would go back to, what is known to be wrong with it, and the last look at it."""

    target: Slot | None
    wrong: Preservation | None
    look: Look | None
    flags: tuple[str, ...]
    now: datetime


async def _endpoint(
    environment: Annotated[str, Path(pattern=f"^{NAME}$")], name: Annotated[str, Path(pattern=f"^{NAME}$")]
) -> Endpoint:
    return Endpoint(Name(environment), Name(name))


Where = Annotated[Endpoint, Depends(_endpoint)]


def list_endpoints(visit: Here, after: After = "", limit: Limit = 100) -> Response:
    """List endpoints in the order of their first activation."""
    found = list(visit.installation.catalog.listing("endpoint", after=after, limit=limit))
    return visit.page(found, _key, limit)


def get_endpoint(visit: Here, at: Where) -> Response:
    """Say what the log says of an endpoint."""
    return Response(_written(visit.find(at_endpoint.State, endpoint_subject(at))), media_type="application/json")


def get_endpoint_passport(
    visit: Here, at: Where, as_: Annotated[str, Query(alias="as", pattern="^(stable|candidate)$")] = "stable"
) -> Response:
    """Issue the passport of what should serve at an endpoint, or of the candidate on its way there."""
    visit.find(at_endpoint.State, endpoint_subject(at))
    return answer(passport_for(visit.installation, at, candidate=as_ == "candidate"))


def post_rollback(visit: Here, body: Body, at: Where) -> Response:
    """Restore the former release."""
    order = visit.order(Said, body)
    receipt = roll_back(visit.installation, at, order.intent, visit.now)
    return visit.receipt(receipt, endpoint_subject(at))


def get_restoration(visit: Here, at: Where) -> Response:
    """Say how far the last rollback is, and what each host says of it while it is under way."""
    state = visit.find(at_endpoint.State, endpoint_subject(at))
    pending = state.restoration is not None and state.restoration.is_pending(visit.now)
    return answer(Coming(state.restoration, hosts_of(visit.installation, state, visit.now) if pending else {}))


def get_preservation(visit: Here, at: Where) -> Response:
    """Say whether what an endpoint would go back to is whole: what the log says, and the last look."""
    state = visit.find(at_endpoint.State, endpoint_subject(at))
    known = visit.installation.catalog.find(preservation_subject(at))
    wrong = standing(state, known if isinstance(known, Preservation) else None)
    slot, look = way_back(state), look_kept(visit.installation, at)
    last = look if slot is not None and look is not None and look.release == slot.release else None
    return answer(Kept(slot, wrong, last, tuple(flags(wrong)) if wrong else (), visit.now))


def post_preservation(visit: Here, at: Where) -> Response:
    """Have it looked at now, at its own pace; `get_preservation` tells when that is done."""
    visit.find(at_endpoint.State, endpoint_subject(at))
    visit.desk.targets.want(at)
    return get_preservation(visit, at)


def post_shutdown(visit: Here, body: Body, at: Where) -> Response:
    """Suspend an endpoint."""
    order = visit.order(Stop, body)
    receipt = shut_down(visit.installation, at, order.intent, visit.now, order.reason)
    return visit.receipt(receipt, endpoint_subject(at))


def post_order(visit: Here, body: Body) -> Response:
    """Take an order that an agent relays: it was given by whoever signed the intent, when the server was away."""
    order = read(Order, body)
    intent = order.intent.intent
    if intent.nonce != visit.key:
        raise VerificationError("Idempotency-Key is not the nonce of the intent")
    visit.object = intent.object
    receipt = relay_order(visit.installation, order, visit.now)
    return visit.receipt(receipt, endpoint_subject(Endpoint.parse(intent.object)))


def get_order(visit: Here, digest: Named) -> Response:
    """Prove that the log holds an order, by the digest of its intent."""
    return answer(proof_of_order(visit.installation, digest))


def get_fleet(visit: Here) -> Response:
    """List which nodes asked for what, and stopped what, in the last day, as far as this server process knows."""
    sightings = visit.desk.sightings
    return answer({"items": sightings.listing(visit.now), "halts": sightings.halts(visit.now), "now": visit.now})


def post_halt(visit: Here, body: Body) -> Response:
    """Hear what a node has stopped; the envelope is signed by the node, which must be the one of the session."""
    halt = take_halt(visit.installation, body, visit.session.actor, visit.now)
    if visit.desk.sightings.hear(halt, visit.now):
        for teller in visit.desk.tellers:
            teller.urge(still_open(str(visit.installation.environment), halt))
    return Response(status_code=204)


@lru_cache(maxsize=256)
def _written(state: at_endpoint.State) -> bytes:
    return plain.encode(state)


def _key(state: State) -> str:
    assert isinstance(state, at_endpoint.State)
    return str(state.endpoint)
