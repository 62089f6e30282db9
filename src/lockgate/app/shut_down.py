"""How is an endpoint stopped? By one authorised hand; no gate, no queue, no second opinion.

From the moment this returns, no lease is granted for the endpoint, so nothing serves there later than the lease
lifetime. Whoever lost the race against another act is heard again until the endpoint is suspended. If the receipt says
`anchored`, a database from before cannot take it back either: the signer remembers a longer log.
"""

from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.publish_checkpoint import anchored
from lockgate.core.endpoint import Suspended, check_here
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.errors import ConflictError, UnavailableError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint

_PATIENCE = 1000  # races that one shutdown may lose


def shut_down(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    """Suspend an endpoint, whatever state it is in; the receipt says whether the signer remembers it already.

    Enforces: emergency_shutdown
    """
    for _ in range(_PATIENCE):
        try:
            return anchored(installation, _suspend(installation, endpoint, signed, now))
        except ConflictError:
            continue
    raise UnavailableError(f"{endpoint} changed {_PATIENCE} times while it was to be suspended")


def _suspend(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    if done := installation.done(signed, "endpoint.suspend"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "endpoint.suspend", now, tx)
        check_intent(said, "endpoint.suspend", endpoint, before=None, after=None)
        check_here(endpoint, installation.environment)
        loaded_endpoint(tx, endpoint)
        event = Suspended(endpoint, said.actor.name, tx.keep(plain.encode(signed)))
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)
