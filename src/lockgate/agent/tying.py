"""How does the server learn what endpoints hold here? By a signed list of all of it, every few seconds.

In it is also what two releases side by side keep together, which they should not: a look at what their programs have
open finds it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from lockgate.agent.looking import look
from lockgate.agent.node import Node
from lockgate.core.sharing import MAX_SHARED, Shared, shared
from lockgate.core.tie import MAX_TIES, Tie, Ties, sign_ties
from lockgate.errors import LockgateError

TIES = "/api/v1/ties"
SECONDS, PATIENCE_SECONDS = 5.0, 3.0


def tell_ties_until_the_end(node: Node) -> None:
    """Tell it until the agent ends; a host with no bindings, where nothing is shared, says nothing."""
    line = replace(node.connection, patience=PATIENCE_SECONDS)
    told: Sequence[Shared] = ()
    while not node.ending.wait(SECONDS):
        found = shared_at(node)
        _worry(node, found)
        if not node.tethers.all and not found and not told:
            continue
        told = found
        ties = Ties(node.host.node, datetime.now(UTC), ties_of(node), tuple(found) or None)
        try:
            line.post(TIES, sign_ties(ties, node.host.key))
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


def shared_at(node: Node) -> Sequence[Shared]:
    """Say what releases that run side by side at one endpoint here keep together.

    Enforces: isolated_parallel_versions
    """
    runs = [run for run in node.holdings.all() if run.serving and not run.ended.is_set()]
    beside = [run for run in runs if len({o.claim.release for o in runs if o.claim.endpoint == run.claim.endpoint}) > 1]
    return list(shared(look(run) for run in beside))[:MAX_SHARED]


def _worry(node: Node, found: Sequence[Shared]) -> None:
    if found:
        what = ", ".join(sorted({f"{one.name} ({one.medium})" for one in found}))
        node.worry("sharing", f"releases side by side share what they should not: {what}")
    else:
        node.fine("sharing")
