"""Is a rollback done, on every host? Read what hosts report since, and write down once what follows."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Measured, Receipt
from lockgate.app.roll_out import CONTROLLER
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.core.restoration import HEARD, LOOKED_FOR, Restoration, Word, settle, together, words_of
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
    words = hosts_of(installation, state, now)
    with installation.ledger.transaction() as tx:
        restoration = loaded_endpoint(tx, endpoint).restoration
        if restoration != state.restoration or restoration is None:
            return None
        installation.watch.known(to_act=True)
        window = installation.policy(tx).document.rules_for(endpoint).rollback_seconds
        event = settle(endpoint, restoration, words, window, now)
        if event is None:
            return None
        said: dict[str, Json] = {"act": event.type, "endpoint": str(endpoint), "rollback": restoration.rollback}
        return tx.append([event], actor=CONTROLLER, key=Digest.of(canonical.encode(said)), at=now)


def hosts_of(installation: Installation, state: State, now: datetime) -> Mapping[Name, Word]:
    """Say of each host what it says of the rollback that is under way; nothing if none is."""
    if state.restoration is None:
        return {}
    lease = installation.policy().document.rules_for(state.endpoint).lease
    longest = timedelta(seconds=lease.seconds + lease.grace)
    measured, voices = installation.reports.measured(state.endpoint), installation.presences.voices(state.endpoint)
    led_at = _last((one.node, now - one.age) for one in measured)
    said_at = _last((voice.node, voice.heard_at) for voice in voices)
    led = [one for one in measured if _counts(led_at[one.node], said_at.get(one.node))]
    said = [voice for voice in voices if _counts(said_at[voice.node], led_at.get(voice.node))]
    return together(
        leads_of(led, state.restoration, _since(state), longest, now),
        words_of(state.endpoint, said, state.restoration, longest, now),
    )


def leads_of(
    measured: Sequence[Measured], restoration: Restoration, since: datetime, lease: timedelta, now: datetime
) -> Mapping[Name, Word]:
    """Say of each host that reported here after `since` whether the release, and no other, has all requests there.

    Only the newest report counts, and only if it came after the order. One that was silent when the rollback was
    ordered may serve the other release until its `lease` has surely ended, and is waited for as long.
    """
    last = {one.node: (one.incarnation, max(_sequences(measured, one))) for one in measured}
    found: dict[Name, Word] = {}
    for node, newest in last.items():
        said = [one for one in measured if one.node == node and (one.incarnation, one.sequence) == newest]
        heard_at = now - min(one.age for one in said)
        was_silent = heard_at < restoration.ordered_at - HEARD
        if heard_at < since or (was_silent and now - restoration.ordered_at > lease):
            continue
        weights = {one.counted.release: one.counted.weight for one in said}
        has_all = weights.pop(restoration.release, None) == _ALL and all(other == 0 for other in weights.values())
        if has_all and heard_at > restoration.ordered_at:
            found[node] = "back"
        else:
            found[node] = "silent" if now - heard_at > HEARD else "not yet"
    return found


def _last(times: Iterable[tuple[Name, datetime]]) -> Mapping[Name, datetime]:
    found: dict[Name, datetime] = {}
    for node, at in times:
        found[node] = max(at, found.get(node, at))
    return found


def _counts(heard_at: datetime, otherwise_at: datetime | None) -> bool:
    """Ask whether a host still speaks like this: one that got a gateway, or lost it, speaks in the other way since."""
    return otherwise_at is None or otherwise_at - heard_at <= HEARD


def _since(state: State) -> datetime:
    """Say since when a host that reported may still serve what was replaced: for a day, or since it was activated."""
    assert state.restoration is not None
    return min(state.restoration.ordered_at - LOOKED_FOR, *(slot.at for slot in (state.superseded or ())[-1:]))


def _sequences(measured: Sequence[Measured], of: Measured) -> list[int]:
    return [one.sequence for one in measured if (one.node, one.incarnation) == (of.node, of.incarnation)]
