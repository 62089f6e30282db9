"""How is an objection overridden, an emergency approved and reviewed over HTTP, and who sees what was conceded?"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from lockgate.app.concede import review
from lockgate.app.decide_change import approve_emergency
from lockgate.app.override_objection import override_objection
from lockgate.core.concession import Concession, flags, is_serving
from lockgate.core.emergency import Review
from lockgate.core.endpoint import State
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import change_subject, concession_subject, endpoint_subject
from lockgate.core.override import Override
from lockgate.errors import VerificationError
from lockgate.server.change_routes import Number
from lockgate.server.json_schema import NAME
from lockgate.server.release_routes import After
from lockgate.server.visit import Body, Here, Said, Visit, answer

_SCANNED = 1000


@dataclass(frozen=True, slots=True)
class Overrode:
    """An override, why (the text), and who says so."""

    intent: SignedIntent
    override: Override
    justification: str


@dataclass(frozen=True, slots=True)
class Viewed:
    """The review of an emergency, its report (the text), and who says so."""

    intent: SignedIntent
    review: Review
    report: str


@dataclass(frozen=True, slots=True)
class Told:
    """A concession, whether what it let through serves now, and what must be known of it in words."""

    concession: Concession
    serves: bool
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conceded:
    """What was let through although the rule says otherwise, as of `now`; `next` is where another page begins."""

    items: tuple[Told, ...]
    next: str | None
    now: datetime


def post_emergency_approval(visit: Here, body: Body, number: Number) -> Response:
    """Approve an emergency as its security authority."""
    order = visit.order(Said, body)
    receipt = approve_emergency(visit.installation, number, order.intent, visit.now)
    return visit.receipt(receipt, change_subject(number))


def post_override(visit: Here, body: Body, number: Number) -> Response:
    """Set reasons against a change aside, in writing and for a time."""
    order = visit.order(Overrode, body)
    _check_number(order.override.change, number)
    justification = order.justification.encode()
    receipt = override_objection(visit.installation, order.override, justification, order.intent, visit.now)
    return visit.receipt(receipt, change_subject(number))


def post_review(visit: Here, body: Body, number: Number) -> Response:
    """Review an emergency afterwards."""
    order = visit.order(Viewed, body)
    _check_number(order.review.change, number)
    receipt = review(visit.installation, order.review, order.report.encode(), order.intent, visit.now)
    return visit.receipt(receipt, concession_subject(number))


def list_concessions(
    visit: Here,
    after: After = "",
    endpoint: Annotated[str | None, Query(pattern=f"^{NAME}/{NAME}$")] = None,
    release: Annotated[str | None, Query(max_length=160)] = None,
) -> Response:
    """List what was let through although the rule says otherwise: all, or that of an endpoint or a release."""
    seen = list(visit.installation.catalog.listing("concession", after=after, limit=_SCANNED))
    states = [state for state in seen if isinstance(state, Concession)]
    found = [state for state in states if endpoint in (None, str(state.endpoint)) and release in (None, str(state.tag))]
    following = str(states[-1].change) if len(seen) == _SCANNED else None
    return answer(Conceded(tuple(_told(visit, state) for state in found), following, visit.now))


def _told(visit: Visit, concession: Concession) -> Told:
    state = visit.installation.catalog.find(endpoint_subject(concession.endpoint))
    serves = isinstance(state, State) and is_serving(state, concession)
    return Told(concession, serves, tuple(flags(concession, visit.now, serves=serves)))


def _check_number(found: int, number: int) -> None:
    if found != number:
        raise VerificationError(f"this is about change {found}, not about change {number}")
