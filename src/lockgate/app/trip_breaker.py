"""How is an endpoint shut down, or flagged, by a rule? As by a person, at once; the log names the breaker and why.

Every server watches, and each appends under the same key: whoever sees it first shuts the endpoint down, once.
"""

from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.app.publish_checkpoint import anchored
from lockgate.app.roll_out import closed
from lockgate.core.endpoint import Flagged, State, Tripped
from lockgate.core.journal import Event
from lockgate.core.trip import Trip
from lockgate.errors import ConflictError
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name


def trip_breaker(installation: Installation, trip: Trip, seen: int, now: datetime) -> Receipt | None:
    """Suspend the endpoint of a `trip` that was found when its epoch was `seen`; None if it is suspended already.

    A breaker that only flags does that, once for each state of the endpoint.

    Raises `ConflictError` if the endpoint or the policy is another by now: look again.

    Enforces: emergency_shutdown, provider_change_reevaluation
    """
    endpoint = trip.endpoint
    with installation.ledger.transaction() as tx:
        state, policy = loaded_endpoint(tx, endpoint), installation.policy(tx)
        if state.suspended or (trip.breaker.only_flags and trip.breaker.name in flags_of(state)):
            return None
        if state.epoch != seen or trip.breaker not in (policy.document.rules_for(endpoint).breakers or ()):
            raise ConflictError(f"{endpoint} is not what it was when the breaker {trip.breaker.name} tripped")
        said = (endpoint, trip.breaker.name, policy.digest, tx.keep(plain.encode(trip)))
        once: dict[str, Json] = {"act": "trip/v1", "endpoint": str(endpoint), "epoch": seen}
        if trip.breaker.only_flags:
            events: list[Event] = [Flagged(*said)]
            once |= {"act": "flag/v1", "breaker": str(trip.breaker.name)}
        else:
            events = [Tripped(*said), *closed(state.rollout, "failed")]
        key = Digest.of(canonical.encode(once))
        receipt = tx.append(events, actor=f"breaker:{trip.breaker.name}", key=key, at=now)
    return anchored(installation, receipt)


def flags_of(state: State) -> frozenset[Name]:
    """Name the breakers that have flagged an endpoint."""
    return frozenset(flag.breaker for flag in state.flagged or ())
