"""How far is a rollout, and what may a person do about it?"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from lockgate.app import roll_out
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.watch_rollout import grounds_at
from lockgate.core.endpoint import State
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import endpoint_subject
from lockgate.core.observation import Grounds
from lockgate.core.rollout import Ended, Rollout
from lockgate.core.slot import Slot
from lockgate.core.strategy import Strategy, open_strategy
from lockgate.formats.names import Endpoint
from lockgate.server.endpoint_routes import Where
from lockgate.server.visit import Body, Here, Said, Visit, answer


@dataclass(frozen=True, slots=True)
class Progress:
    """What serves, the rollout in flight, its strategy and what is known of it now, and how the last one ended."""

    endpoint: Endpoint
    stable: Slot | None
    suspended: bool
    rollout: Rollout | None
    strategy: Strategy | None
    ended: Ended | None
    grounds: Grounds | None


@dataclass(frozen=True, slots=True)
class StepOn:
    """An order to go one step on from the step that its giver saw (-1: before the first)."""

    intent: SignedIntent
    step: int


def get_rollout(visit: Here, at: Where) -> Response:
    """Say how far the rollout at an endpoint is."""
    state = visit.find(State, endpoint_subject(at))
    rollout, strategy = state.rollout, None
    if rollout is not None:
        strategy = open_strategy(visit.installation.catalog.document(rollout.strategy), rollout.strategy)
    grounds = grounds_at(visit.installation, at, visit.now)
    return answer(Progress(at, state.stable, state.suspended, rollout, strategy, state.ended, grounds))


def post_pause(visit: Here, body: Body, at: Where) -> Response:
    """Keep a rollout where it is."""
    return _done(visit, body, at, roll_out.pause)


def post_resume(visit: Here, body: Body, at: Where) -> Response:
    """Let a rollout go on."""
    return _done(visit, body, at, roll_out.resume)


def post_step(visit: Here, body: Body, at: Where) -> Response:
    """Go one step on, on the word of a person."""
    order = visit.order(StepOn, body)
    receipt = roll_out.step(visit.installation, at, order.step, order.intent, visit.now)
    return visit.receipt(receipt, endpoint_subject(at))


def post_promotion(visit: Here, body: Body, at: Where) -> Response:
    """Make the candidate the stable release."""
    return _done(visit, body, at, roll_out.promote)


def post_abort(visit: Here, body: Body, at: Where) -> Response:
    """Take everything from the candidate."""
    return _done(visit, body, at, roll_out.abort)


def _done(
    visit: Visit, body: bytes, at: Endpoint, do: Callable[[Installation, Endpoint, SignedIntent, datetime], Receipt]
) -> Response:
    order = visit.order(Said, body)
    return visit.receipt(do(visit.installation, at, order.intent, visit.now), endpoint_subject(at))
