"""Who grants what runs may hold, renews it with their leases, and cuts what no run holds any more? A thread for each.

    a run holds a lease ──▶ granted, said to the run ──▶ lease renewed: granted for longer
    no run holds it ──▶ cut, at once if the run said that it ended; else after giving it the time to come back
    cut and not proven ──▶ said, and tried again until it is

One thread for each binding: another system that is slow or down holds up its own alone.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from lockgate.agent.halting import is_shut
from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node, boot_now
from lockgate.agent.tethers import Leave, Scope, Tether
from lockgate.core.binding import Holder
from lockgate.errors import LockgateError
from lockgate.formats.names import Endpoint
from lockgate.loader.control import Access

COME_BACK_SECONDS = 10.0  # for a run whose connection broke, or whose agent was started again
AGAIN_SECONDS = 2.0
OBSERVE_SECONDS = 5.0

_TICK_SECONDS = 0.2
_LEAST = timedelta(seconds=0.3)  # less than that is no longer lease, but the jitter between two clocks


def duties(node: Node) -> Sequence[partial[None]]:
    """List what is to be done until the agent ends: a duty for each binding."""
    return [partial(tend_until_the_end, node, tether) for tether in node.tethers.all.values()]


def let_go(node: Node) -> None:
    """Wait for nobody to come back to an endpoint that an order shuts: at the start of the agent, cut it at once."""
    for tether in node.tethers.all.values():
        for holder in node.tethers.book.holders(tether.name):
            if is_shut(node, holder.endpoint):
                node.tethers.leave(holder)


def tend_until_the_end(node: Node, tether: Tether) -> None:
    """Look after one binding until the agent ends."""
    tending = Tending(node, tether)
    while not node.ending.wait(_TICK_SECONDS):
        tending.look(time.monotonic())


class Tending:
    """One binding, and what is to be done about it when."""

    def __init__(self, node: Node, tether: Tether) -> None:
        self._node, self._tether = node, tether
        self._loose: dict[Holder, float] = {}
        self._again_at = self._observe_at = 0.0

    def look(self, now: float) -> None:
        """Grant, renew and cut what is due."""
        held = self._held()
        for holder, runs in held.items():
            self._grant(holder, runs)
        self._cut_loose(set(held), now)
        if self._tether.alarms and now >= self._again_at:
            self._again_at = now + AGAIN_SECONDS
            self._try_again()
        if now >= self._observe_at:
            self._observe_at = now + OBSERVE_SECONDS
            self._observe({holder.endpoint for holder in held})

    def _held(self) -> Mapping[Holder, Sequence[Holding]]:
        """List who may hold this binding, and the runs of each; one that is not judged yet keeps what it has."""
        found: dict[Holder, list[Holding]] = {}
        for holding in self._node.holdings.all():
            judged = holding.bindings
            may = holding.serving if judged is None else self._tether.name in judged
            if may and not holding.ended.is_set():
                found.setdefault(holding.holder(self._node.host.node), []).append(holding)
        return found

    def _grant(self, holder: Holder, runs: Sequence[Holding]) -> None:
        """Let a holder in for as long as the latest of its leases lasts, and tell its runs."""
        node, about = self._node, f"grant {self._tether.name} {holder.login}"
        runs = [
            run for run in runs if run.bindings is not None
        ]  # what is not judged is granted nothing, and told nothing
        ends = [run.until_ns(run.held) for run in runs if run.held is not None]
        until = datetime.now(UTC) + timedelta(microseconds=(max(ends, default=0) - boot_now()) / 1000)
        known = node.tethers.access.get((self._tether.name, holder))
        if not ends or until <= datetime.now(UTC) or (known is not None and until - known.until < _LEAST):
            self._tell(known, runs)
            return
        fence = node.tethers.fence(holder.endpoint)
        if not set(runs) & set(node.holdings.all()):
            return  # it was stopped meanwhile
        try:
            access = node.tethers.grant(self._tether, Leave(holder, until, runs[0].tools), fence)
        except LockgateError as e:
            node.worry(about, f"{self._tether.name} is not granted to {holder.endpoint}: {e}")
        except Exception as e:  # noqa: BLE001 - whatever a driver does wrong: all others are looked after
            node.worry(about, f"{self._tether.name} is not granted to {holder.endpoint}: {type(e).__name__}")
        else:
            node.fine(about)
            self._tell(access, runs)

    def _tell(self, access: Access | None, runs: Sequence[Holding]) -> None:
        for run in runs:
            if access is not None and run.told.get(access.name) is not access:
                run.told[access.name] = access
                run.channel.push(access)

    def _cut_loose(self, held: set[Holder], now: float) -> None:
        """Cut what nobody holds, when it is time."""
        node, tether = self._node, self._tether
        node.tethers.left -= {(tether.name, holder) for holder in held}
        loose = set(node.tethers.book.holders(tether.name)) - held
        self._loose = {holder: self._loose.get(holder, now + COME_BACK_SECONDS) for holder in loose}
        for holder, at in self._loose.items():
            scope = Scope(holder.endpoint, (holder,))
            if (now >= at or (tether.name, holder) in node.tethers.left) and scope not in tether.alarms:
                node.tethers.left.discard((tether.name, holder))
                node.tethers.access.pop((tether.name, holder), None)
                self._say(scope, node.tethers.cut(tether, scope).state)

    def _try_again(self) -> None:
        for scope in list(self._tether.alarms):
            self._say(scope, self._node.tethers.cut(self._tether, scope).state)

    def _observe(self, endpoints: set[Endpoint]) -> None:
        """Count what is open, for whoever looks; what cannot be counted is not known."""
        seen: dict[str, int] = {}
        for endpoint in endpoints:
            with suppress(LockgateError):
                seen |= self._tether.binding.observed(endpoint).logins
        self._tether.seen = seen

    def _say(self, scope: Scope, state: str) -> None:
        """Say what is not cut, and when it is."""
        name, alarm = self._tether.name, self._tether.alarms.get(scope)
        about = f"{name} at {scope.endpoint}"
        if alarm is not None:
            self._node.worry(about, f"ALARM: {name} is {state} at {scope.endpoint}: {alarm.severed.why}")
        else:
            self._node.fine(about)
