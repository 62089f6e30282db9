"""How does a detector warn of what serves? By a CloudEvent that it signs; once for each, however often it is sent."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.core.detection import ACT, Alert, Alerted, check_about, key_of, read_alert
from lockgate.core.endpoint import State, check_here
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import endpoint_subject, read_fact
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.names import Name


def raise_alert(installation: Installation, event: object, signed: SignedIntent, now: datetime) -> Receipt:
    """Record an alert about an endpoint of this environment, and keep its words as a document.

    It neither waits for what else happens at the endpoint, nor is anything there held up by it.
    """
    alert = read_alert(event)
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, ACT, now, tx)
        check_intent(said, ACT, alert.endpoint, before=alert.finding.release, after=alert.digest)
        check_here(alert.endpoint, installation.environment)
        by = said.actor.name
        if done := _raised(installation, alert, by):
            return done
        state = installation.catalog.find(endpoint_subject(alert.endpoint))
        check_about(alert, state if isinstance(state, State) else None)
        document, order = tx.keep(alert.document), tx.keep(plain.encode(signed))
        found = alert.finding
        raised = Alerted(alert.endpoint, found.kind, found.severity, found.release, document, by, order)
        return tx.append([raised], actor=str(by), key=key_of(alert, by), at=now)


def _raised(installation: Installation, alert: Alert, by: Name) -> Receipt | None:
    """Return the receipt of the same alert; raise `DeniedError` if that name was used for another one."""
    receipt = installation.ledger.receipt(key_of(alert, by))
    if receipt is None:
        return None
    (entry,) = installation.history.entries(receipt.first, receipt.stop)
    _, event = read_fact(entry)
    if not isinstance(event, Alerted) or event.document != alert.digest:
        raise DeniedError(f"{by} raised {alert.id[:80]!a} of {alert.source[:80]!a} already, with another content")
    return receipt
