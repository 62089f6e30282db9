"""Is a rollback done, on every host? Read what hosts report since, and write down once what follows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Measured, Receipt
from lockgate.app.roll_out import CONTROLLER
from lockgate.app.watch_rollout import HEARD
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.core.restoration import LOOKED_FOR, Restoration, settle
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

_ALL = 100  # percent of new requests


def follow_rollback(installation: Installation, endpoint: Endpoint, now: datetime) -> Receipt | None:
    """Write down that a rollback is done everywhere, or that its window is over; None if there is nothing to say yet.

    Raises `ConflictError` if somebody else was faster.

    Enforces: complete_rollback
    """
    state = installation.catalog.find(endpoint_subject(endpoint))
    if not isinstance(state, State) or state.restoration is None:
        return None
    lease = installation.policy().document.rules_for(endpoint).lease
    longest = timedelta(seconds=lease.seconds + lease.grace)
    leads = leads_of(installation.reports.measured(endpoint), state.restoration, _since(state), longest, now)
    with installation.ledger.transaction() as tx:
        restoration = loaded_endpoint(tx, endpoint).restoration
        if restoration != state.restoration or restoration is None:
            return None
        installation.watch.known(to_act=True)
        window = installation.policy(tx).document.rules_for(endpoint).rollback_seconds
        event = settle(endpoint, restoration, leads, window, now)
        if event is None:
            return None
        said: dict[str, Json] = {"act": event.type, "endpoint": str(endpoint), "rollback": restoration.rollback}
        return tx.append([event], actor=CONTROLLER, key=Digest.of(canonical.encode(said)), at=now)


def leads_of(
    measured: Sequence[Measured], restoration: Restoration, since: datetime, lease: timedelta, now: datetime
) -> Mapping[Name, bool]:
    """Say of each host that reported here after `since` whether the release, and no other, has all requests there.

    Only the newest report counts, and only if it came after the order. One that was silent when the rollback was
    ordered may serve the other release until its `lease` has surely ended, and is waited for as long.
    """
    last = {one.node: (one.incarnation, max(_sequences(measured, one))) for one in measured}
    found: dict[Name, bool] = {}
    for node, newest in last.items():
        said = [one for one in measured if one.node == node and (one.incarnation, one.sequence) == newest]
        heard_at = now - min(one.age for one in said)
        was_silent = heard_at < restoration.ordered_at - HEARD
        if heard_at < since or (was_silent and now - restoration.ordered_at > lease):
            continue
        weights = {one.counted.release: one.counted.weight for one in said}
        has_all = weights.pop(restoration.release, None) == _ALL and all(other == 0 for other in weights.values())
        found[node] = has_all and heard_at > restoration.ordered_at
    return found


def _since(state: State) -> datetime:
    """Say since when a host that reported may still serve what was replaced: for a day, or since it was activated."""
    assert state.restoration is not None
    return min(state.restoration.ordered_at - LOOKED_FOR, *(slot.at for slot in (state.superseded or ())[-1:]))


def _sequences(measured: Sequence[Measured], of: Measured) -> list[int]:
    return [one.sequence for one in measured if (one.node, one.incarnation) == (of.node, of.incarnation)]
