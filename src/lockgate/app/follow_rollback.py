"""Is a rollback done, on every host? Read what hosts report since, and write down once what follows."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Measured, Receipt
from lockgate.app.roll_out import CONTROLLER
from lockgate.app.watch_rollout import HEARD
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.core.restoration import Restoration, settle
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
    leads = leads_of(installation.reports.measured(endpoint), state.restoration, now)
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


def leads_of(measured: Sequence[Measured], restoration: Restoration, now: datetime) -> Mapping[Name, bool]:
    """Say of each host that served here when the rollback was ordered, or since, whether the release has all there.

    Only the newest report counts, and only if it came after the order.
    """
    last = {one.node: (one.incarnation, max(_sequences(measured, one))) for one in measured}
    found: dict[Name, bool] = {}
    for one in measured:
        if (one.incarnation, one.sequence) != last[one.node] or now - one.age < restoration.ordered_at - HEARD:
            continue
        counted, is_since = one.counted, now - one.age > restoration.ordered_at
        has_all = counted.release == restoration.release and counted.weight == _ALL and is_since
        found[one.node] = found.get(one.node, False) or has_all
    return found


def _sequences(measured: Sequence[Measured], of: Measured) -> list[int]:
    return [one.sequence for one in measured if (one.node, one.incarnation) == (of.node, of.incarnation)]
