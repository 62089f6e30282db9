"""What becomes of a concession: who reviews it, and what is told when an override is over or a review was missed?"""

from datetime import datetime

from lockgate.app.decide_change import loaded_change, loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.core.concession import (
    REVIEW,
    Concession,
    Lapsed,
    Missed,
    Reviewed,
    check_review,
    is_serving,
    overdue,
)
from lockgate.core.emergency import Review
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import change_subject, concession_subject
from lockgate.core.writing import open_writing
from lockgate.errors import DeniedError
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest

CONTROLLER = "controller"


def review(installation: Installation, document: Review, report: bytes, signed: SignedIntent, now: datetime) -> Receipt:
    """Take what somebody who took no part in an emergency finds of it; once, and also when it is late.

    Enforces: emergency_change
    """
    if done := installation.done(signed, REVIEW):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, REVIEW, now, tx)
        change = loaded_change(tx, document.change)
        subject = change_subject(document.change)
        check_intent(said, REVIEW, subject, before=change.content, after=document.digest)
        if document.content != change.content:
            raise DeniedError(f"the review is about content {document.content}, the change contains {change.content}")
        check_review(loaded_concession(tx, document.change), document.change, said.actor.name)
        open_writing(report, document.report, "report of the review")
        kept = tx.keep(plain.encode(document)), tx.keep(report), tx.keep(plain.encode(signed))
        event = Reviewed(change.number, document.verdict, said.actor.name, *kept)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def look_after(installation: Installation, number: int, now: datetime) -> Receipt | None:
    """Write down, once, that an override is over while its release serves, or that a review was missed.

    Enforces: emergency_change
    """
    with installation.ledger.transaction() as tx:
        found = loaded_concession(tx, number)
        if found is None:
            return None
        serves = is_serving(loaded_endpoint(tx, found.endpoint), found)
        events = list(overdue(found, now, serves=serves))
        if not events:
            return None
        installation.watch.known(to_act=True)
        said: dict[str, Json] = {"act": events[0].type, "change": number, "of": plain.to_plain(_since(events[0]))}
        return tx.append(events[:1], actor=CONTROLLER, key=Digest.of(canonical.encode(said)), at=now)


def _since(event: Lapsed | Missed) -> datetime:
    return event.until if isinstance(event, Lapsed) else event.due


def loaded_concession(tx: Transaction, number: int) -> Concession | None:
    """Return what was conceded to a change."""
    found = tx.load(concession_subject(number))
    return found if isinstance(found, Concession) else None
