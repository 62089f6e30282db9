"""How is an endpoint shut down by a rule? As by a person, at once; the log names the breaker, and keeps why.

Every server watches, and each appends under the same key: whoever sees it first shuts the endpoint down, once.
"""

from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.publish_checkpoint import anchored
from lockgate.app.roll_out import closed
from lockgate.core.endpoint import Tripped
from lockgate.core.trip import Trip
from lockgate.errors import ConflictError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest


def trip_breaker(installation: Installation, trip: Trip, seen: int, now: datetime) -> Receipt | None:
    """Suspend the endpoint of a `trip` that was found when its epoch was `seen`; None if it is suspended already.

    Raises `ConflictError` if the endpoint or the policy is another by now: look again.

    Enforces: emergency_shutdown
    """
    endpoint = trip.endpoint
    with installation.ledger.transaction() as tx:
        state, policy = loaded_endpoint(tx, endpoint), installation.policy(tx)
        if state.suspended:
            return None
        if state.epoch != seen or trip.breaker not in (policy.document.rules_for(endpoint).breakers or ()):
            raise ConflictError(f"{endpoint} is not what it was when the breaker {trip.breaker.name} tripped")
        event = Tripped(endpoint, trip.breaker.name, policy.digest, tx.keep(plain.encode(trip)))
        ended = closed(state.rollout, "failed")
        key = Digest.of(canonical.encode({"act": "trip/v1", "endpoint": str(endpoint), "epoch": seen}))
        receipt = tx.append([event, *ended], actor=f"breaker:{trip.breaker.name}", key=key, at=now)
    return anchored(installation, receipt)
