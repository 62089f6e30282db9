"""How is an endpoint stopped? By one authorised hand; no gate, no queue, no second opinion.

From the moment this returns, no lease is granted for the endpoint, so nothing serves there later than the lease
lifetime. Whoever lost the race against another act is heard again until the endpoint is suspended. If the receipt says
`anchored`, a database from before cannot take it back either: the signer remembers a longer log.

A rollout that is in flight there ends with it. An order that went straight to the hosts comes here too, from whoever
gets through first: the intent proves who gave it.
"""

from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.publish_checkpoint import anchored
from lockgate.app.roll_out import closed
from lockgate.core.endpoint import Suspended, check_here
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.order import Order, check_reason, reason_digest
from lockgate.errors import ConflictError, UnavailableError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint

_PATIENCE = 1000  # races that one shutdown may lose


def shut_down(
    installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime, reason: str | None = None
) -> Receipt:
    """Suspend an endpoint, whatever state it is in; the receipt says whether the signer remembers it already.

    The reason, if there is one, is kept beside the order.

    Enforces: emergency_shutdown
    """
    for _ in range(_PATIENCE):
        try:
            return anchored(installation, _suspend(installation, endpoint, Order(signed, reason), now))
        except ConflictError:
            continue
    raise UnavailableError(f"{endpoint} changed {_PATIENCE} times while it was to be suspended")


def relay_order(installation: Installation, order: Order, now: datetime) -> Receipt:
    """Carry out an order that somebody else brings: the intent says what it is about."""
    return shut_down(installation, Endpoint.parse(order.intent.intent.object), order.intent, now, order.reason)


def _suspend(installation: Installation, endpoint: Endpoint, order: Order, now: datetime) -> Receipt:
    signed = order.intent
    if done := installation.done(signed, "endpoint.suspend"):
        return done
    check_reason(order.reason)
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "endpoint.suspend", now, tx)
        check_intent(said, "endpoint.suspend", endpoint, before=None, after=reason_digest(order.reason))
        check_here(endpoint, installation.environment)
        ended = closed(loaded_endpoint(tx, endpoint).rollout, "failed")
        if order.reason is not None:
            tx.keep(order.reason.encode())
        event = Suspended(endpoint, said.actor.name, tx.keep(plain.encode(signed)))
        return tx.append([event, *ended], actor=str(said.actor.name), key=signed.intent.digest, at=now)
