"""How does the server learn what endpoints hold here? By a signed list of all of it, every few seconds."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from lockgate.agent.node import Node
from lockgate.core.tie import MAX_TIES, Tie, Ties, sign_ties
from lockgate.errors import LockgateError

TIES = "/api/v1/ties"
SECONDS, PATIENCE_SECONDS = 5.0, 3.0


def tell_ties_until_the_end(node: Node) -> None:
    """Tell it until the agent ends; a host that knows no bindings says nothing."""
    line = replace(node.connection, patience=PATIENCE_SECONDS)
    while not node.ending.wait(SECONDS):
        if not node.tethers.all:
            continue
        try:
            line.post(TIES, sign_ties(Ties(node.host.node, datetime.now(UTC), ties_of(node)), node.host.key))
        except LockgateError as e:
            node.worry("ties", f"the server does not learn what endpoints hold here: {e}")
        else:
            node.fine("ties")


def ties_of(node: Node) -> tuple[Tie, ...]:
    """List what endpoints hold here, and what was to be cut and is not proven to be."""
    tethers, found = node.tethers, []
    for (name, holder), access in list(tethers.access.items()):
        sessions = tethers.all[name].seen.get(holder.login)
        granted = Tie(holder.endpoint, name, access.kind, "granted", holder.release, access.until, sessions)
        found.append(granted)
    for scope, alarm in tethers.alarms():
        one = alarm.severed
        state: Literal["open", "unknown"] = "open" if one.state == "open" else "unknown"
        releases = [None] if scope.holders is None else [holder.release for holder in scope.holders]
        found += [Tie(scope.endpoint, one.name, one.kind, state, release) for release in releases]
    return tuple(found[:MAX_TIES])
