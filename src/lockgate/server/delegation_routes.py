"""How does somebody name a delegate over HTTP, approve in their place, and see what waits for them?"""

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from lockgate.app.await_approval import Waiting, waiting_for
from lockgate.app.decide_change import approve_in_place
from lockgate.app.delegate import delegate, recall
from lockgate.core.change import Change
from lockgate.core.delegation import Delegation
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import State, change_subject, delegation_subject
from lockgate.formats.names import Name
from lockgate.server.change_routes import Number
from lockgate.server.release_routes import After, Limit
from lockgate.server.visit import Body, Here, Said, answer

_SCANNED = 1000  # changes that one request looks at, to find those that wait for somebody


@dataclass(frozen=True, slots=True)
class InPlace:
    """An approval in the place of somebody, whose delegation the intent cites."""

    intent: SignedIntent
    in_place_of: Name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What waits for whoever asks, as of `now`, and where the next page begins."""

    items: tuple[Waiting, ...]
    next: str | None
    now: datetime


def list_delegations(visit: Here, after: After = "", limit: Limit = 100) -> Response:
    """List who approves in whose place, and until when; of each person the last one they named."""
    return visit.page(list(visit.installation.catalog.listing("delegation", after=after, limit=limit)), _key, limit)


def post_delegation(visit: Here, body: Body) -> Response:
    """Name who approves in one's place until the intent expires."""
    order = visit.order(Said, body)
    receipt = delegate(visit.installation, order.intent, visit.now)
    return visit.receipt(receipt, delegation_subject(order.intent.intent.actor))


def post_recall(visit: Here, body: Body) -> Response:
    """Let nobody approve in one's place any more."""
    order = visit.order(Said, body)
    receipt = recall(visit.installation, order.intent, visit.now)
    return visit.receipt(receipt, delegation_subject(order.intent.intent.actor))


def post_approval_in_place(visit: Here, body: Body, number: Number) -> Response:
    """Approve a change in the place of somebody who named whoever asks."""
    order = visit.order(InPlace, body)
    receipt = approve_in_place(visit.installation, number, order.in_place_of, order.intent, visit.now)
    return visit.receipt(receipt, change_subject(number))


def get_waiting(visit: Here, after: After = "") -> Response:
    """List the open changes that wait for whoever asks, a thousand changes at a time."""
    seen = list(visit.installation.catalog.listing("change", after=after, limit=_SCANNED))
    changes = [state for state in seen if isinstance(state, Change)]
    found = tuple(waiting_for(visit.installation, visit.session.actor, changes, visit.now))
    following = str(changes[-1].number) if len(seen) == _SCANNED else None
    return answer(Wanted(found, following, visit.now))


def _key(state: State) -> str:
    assert isinstance(state, Delegation)
    return str(state.principal)
