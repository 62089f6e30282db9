"""How does traffic follow what this host holds leases for? One loop shows the gateway what is true now.

    holdings changed, or a moment passed ──▶ ready? ──▶ shares ──▶ what has nothing left: cut ──▶ the rest: shown

Nothing is remembered but what was shown last. A cut that somebody orders waits for no loop: it takes a fence of its
own, so what the loop had worked out before counts no more. When this program stands still, or is gone, the gateway ends
everything by itself; one that was not seen to do that is not used.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Protocol

from lockgate.agent.holdings import Holding, Holdings
from lockgate.agent.shares import traffic_of, weighed
from lockgate.app.ports import Gateway
from lockgate.core.report import Counted
from lockgate.core.traffic import Counting, Cut, Traffic
from lockgate.errors import ConflictError, LockgateError
from lockgate.formats.names import Endpoint
from lockgate.loader.attendance import answers
from lockgate.loader.lease_clock import NANOSECONDS

Open = Callable[[], Gateway]
Answering = Callable[[int, int | None, bool], bool]

_LOOK_SECONDS = 1.0
_LEAST_SECONDS = 0.05
_STARTING_SECONDS = 0.1  # while a model server is expected to answer
_AGAIN_SECONDS = 2.0  # after a gateway that did not open
_CUTTERS = 8


class Owner(Protocol):
    """The agent, as far as its gateway needs it."""

    holdings: Holdings
    ending: threading.Event

    def worry(self, about: str, what: str) -> None:
        """Say once that something is wrong."""

    def fine(self, about: str) -> None:
        """Say that it is not wrong any more."""


class Routing:
    """The gateway of a host, and what it was shown last."""

    def __init__(self, owner: Owner, address: str, open_gateway: Open, answering: Answering = answers) -> None:
        self.address = address
        self.gateway: Gateway | None = None
        self.shown: tuple[Traffic, ...] = ()
        self.counted: tuple[Counted, ...] = ()
        self._owner, self._open, self._answers = owner, open_gateway, answering
        self._settled = False
        self._fences = count(1)
        self._known: set[Endpoint] = set()  # ever routed: what is gone of them is not now, rather than no such endpoint
        self._cutters = ThreadPoolExecutor(_CUTTERS, thread_name_prefix="cut")
        self._lock = threading.Lock()

    def route_until_the_end(self) -> None:
        """Open the gateway, and keep it true to what is held, until the agent ends."""
        ending, changed = self._owner.ending, self._owner.holdings.changed
        while not ending.is_set():
            if self.gateway is None and not self._opened():
                ending.wait(_AGAIN_SECONDS)
                continue
            changed.wait(self._pause())
            changed.clear()
            self.look()

    def look(self) -> None:
        """Show what is true now, if that is not what was shown last."""
        fence = next(self._fences)  # before looking: what is cut meanwhile stays cut
        running = self._owner.holdings.all()
        for holding in running:
            self._see(holding)
        wanted = traffic_of(running, _now())
        self._known |= {one.endpoint for one in wanted}
        present = {one.endpoint for one in wanted}
        wanted += tuple(Traffic(endpoint, ()) for endpoint in sorted(self._known - present))
        if wanted == self.shown and self._settled:
            return
        self._settled = False
        try:
            self._follow(wanted, present, fence)
        except ConflictError:  # something was cut meanwhile
            self._owner.holdings.changed.set()
        except LockgateError as e:
            self._owner.worry("gateway", f"the gateway does not do what it should: {e}")
        else:
            self._settled = True
            self._owner.fine("gateway")

    def cut(self, endpoint: Endpoint) -> Cut | None:
        """End everything that runs through the gateway to an endpoint; None if there is no gateway yet.

        Raises `UnavailableError` if the gateway does not confirm it: then it ends by itself.

        Enforces: emergency_shutdown
        """
        gateway = self.gateway
        return None if gateway is None else gateway.cut(endpoint, fence=next(self._fences))

    def count(self, gateway: Gateway) -> Counting:
        """Read what was answered so far, and keep it for whoever asks how things stand."""
        found = gateway.counts()
        shown = self.shown if self._settled else ()  # what is not acknowledged yet, leads nowhere yet
        self.counted = weighed(found.counted, shown)
        return replace(found, counted=self.counted)

    def cutting(self, endpoint: Endpoint) -> "Future[Cut | None]":
        """Begin to cut; do not wait for it."""
        return self._cutters.submit(self.cut, endpoint)

    def close(self) -> None:
        """Cut everything and end."""
        with self._lock:
            gateway, self.gateway = self.gateway, None
            if gateway is not None:
                gateway.close()
        self._cutters.shutdown(wait=False)

    def _opened(self) -> bool:
        try:
            gateway = self._open()
        except LockgateError as e:
            self._owner.worry("gateway", f"there is no gateway: {e}")
            return False
        with self._lock:
            if not gateway.fail_closed or self._owner.ending.is_set():
                gateway.close()
                self._owner.worry("gateway", "the gateway was not seen to end by itself, so nothing is routed")
                return False
            self.gateway = gateway
        self._owner.fine("gateway")
        return True

    def _see(self, holding: Holding) -> None:
        """Note that a model server answers, and that it does no more if somebody else answers at its port too."""
        before, holding.answers = (
            holding.answers,
            holding.serving and self._answers(holding.channel.pid, holding.port, holding.answers),
        )
        if before and not holding.answers:
            self._owner.worry("port", f"{holding.tag} gets nothing more: somebody else listens at its port too")
        elif holding.answers and not before:
            self._owner.fine("port")

    def _follow(self, wanted: tuple[Traffic, ...], present: set[Endpoint], fence: int) -> None:
        """Cut what has nothing left, and show everything else."""
        gateway = self.gateway
        if gateway is None:
            return
        gone = [one for one in self.shown if one.routes and one.endpoint not in present]
        for one in gone:
            self.cut(one.endpoint)
            self.shown = tuple(Traffic(each.endpoint, ()) if each is one else each for each in self.shown)
        if gone:
            raise ConflictError("something was cut")
        self.shown = wanted  # from now on it may be so
        gateway.show(wanted, fence=fence)

    def _pause(self) -> float:
        """Wait for a change, but not beyond the end of a lease, nor for long while a model server starts."""
        running, now_ns = self._owner.holdings.all(), _now()
        ends = [route.until_ns - now_ns for one in self.shown for route in one.routes]
        pauses = [max(_LEAST_SECONDS, left / NANOSECONDS) for left in ends]
        if any(each.serving and each.port is not None and not each.answers for each in running):
            pauses.append(_STARTING_SECONDS)
        return min([*pauses, _LOOK_SECONDS])


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
