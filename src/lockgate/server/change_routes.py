"""How is a change asked for, decided and carried out over HTTP?"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from lockgate.app.activate import activate, against, assess
from lockgate.app.decide_change import approve, open_change, reject, withdraw
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.core.change import Change, Content, RuleChange
from lockgate.core.derivation import derivation_words
from lockgate.core.gate import Permit, Weighed
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import State, change_subject
from lockgate.core.override import SetAside
from lockgate.core.provider import left_open
from lockgate.core.requirement import Objection
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import MAX_INTEGER
from lockgate.server.json_schema import NAME
from lockgate.server.release_routes import After, Limit
from lockgate.server.visit import Body, Here, Said, Visit, answer

Number = Annotated[int, Path(ge=0, le=MAX_INTEGER)]
_SCANNED = 1000  # changes that one request looks at, to find those of an endpoint


@dataclass(frozen=True, slots=True)
class Asked:
    """A change, who asks for it, and the strategy and risk assessment that its content names."""

    content: Content
    intent: SignedIntent
    strategy: str | None = None
    risk: str | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What the log says of a change, and what it would do."""

    state: Change
    content: Content | RuleChange


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether the gate would let a change through now, and every reason against it.

    If it would, `notes` say what of its provider models is not pinned, and what it derives from. `objections` name the
    reasons, for who may override them; `aside` says which of them somebody set aside.
    """

    allowed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    objections: tuple[Objection, ...] = ()
    aside: tuple[SetAside, ...] = ()


def post_change(visit: Here, body: Body) -> Response:
    """Open a change; its number is the `first` of the answer."""
    order = visit.order(Asked, body)
    strategy, risk = (text.encode() if text is not None else None for text in (order.strategy, order.risk))
    receipt = open_change(visit.installation, order.content, order.intent, visit.now, strategy, risk)
    return visit.receipt(receipt, change_subject(receipt.first))


def list_changes(
    visit: Here,
    after: After = "",
    limit: Limit = 100,
    endpoint: Annotated[str | None, Query(pattern=f"^{NAME}/{NAME}$")] = None,
) -> Response:
    """List changes, all or those of one endpoint, oldest first. A page may be short of `limit` and not the last."""
    listing = visit.installation.catalog.listing
    if endpoint is None:
        return visit.page(list(listing("change", after=after, limit=limit)), _key, limit)
    seen = list(listing("change", after=after, limit=_SCANNED))
    found = [state for state in seen if isinstance(state, Change) and str(state.endpoint) == endpoint]
    if len(found) > limit:
        return answer({"items": found[:limit], "next": _key(found[limit - 1])})
    return answer({"items": found, "next": _key(seen[-1]) if len(seen) == _SCANNED else None})


def get_change(visit: Here, number: Number) -> Response:
    """Say what the log says of a change, and what it would do."""
    change = visit.find(Change, change_subject(number))
    document = visit.installation.catalog.document(change.content)
    return answer({"state": change, "content": canonical.parse(document)})  # as it is hashed, member for member


def get_assessment(visit: Here, number: Number) -> Response:
    """Ask the gate about a change without carrying it out."""
    visit.find(Change, change_subject(number))
    try:
        found = assess(visit.installation, number, visit.now)
    except DeniedError as e:
        named = _named(visit, number)
        return answer(Assessment(allowed=False, reasons=e.reasons, objections=named.objections, aside=named.aside))
    except VerificationError as e:
        return answer(Assessment(allowed=False, reasons=(str(e),)))
    if not isinstance(found, Permit):
        return answer(Assessment(allowed=True, reasons=()))
    return answer(Assessment(allowed=True, reasons=(), notes=_notes(visit, found), aside=found.aside))


def _notes(visit: Here, permit: Permit) -> tuple[str, ...]:
    derived = permit.release.manifest.derived_from
    revoked = visit.installation.revocations(derived.parents.values() if derived else [])
    return (*left_open(permit.providers), *derivation_words(derived, revoked.release))


def post_approval(visit: Here, body: Body, number: Number) -> Response:
    """Approve a change."""
    return _decided(visit, body, number, approve)


def post_rejection(visit: Here, body: Body, number: Number) -> Response:
    """Reject a change for good."""
    return _decided(visit, body, number, reject)


def post_withdrawal(visit: Here, body: Body, number: Number) -> Response:
    """Take one's own change back."""
    return _decided(visit, body, number, withdraw)


def post_activation(visit: Here, body: Body, number: Number) -> Response:
    """Carry a change out, if the gate lets it through."""
    return _decided(visit, body, number, activate)


def _named(visit: Visit, number: int) -> Weighed:
    try:
        return against(visit.installation, number, visit.now)
    except (DeniedError, VerificationError):
        return Weighed((), ())


def _decided(
    visit: Visit,
    body: bytes,
    number: int,
    decide: Callable[[Installation, int, SignedIntent, datetime], Receipt],
) -> Response:
    order = visit.order(Said, body)
    receipt = decide(visit.installation, number, order.intent, visit.now)
    return visit.receipt(receipt, change_subject(number))


def _key(state: State) -> str:
    assert isinstance(state, Change)
    return str(state.number)
