"""What does the agent say when nothing may serve at an endpoint any more? What it stopped and cut, to whoever asks.

Holdings.stop ──▶ nothing else serves there ──▶ wait for the runs, the gateway and the bindings ──▶ POST /api/v1/halts
                                                   a binding that is not proven to be cut: told again when it is

What runs held is cut in any case. All that the endpoint may hold, on whatever host, is cut when it is shut: by an order
that this host keeps, or because the server says so.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from queue import Empty

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node, boot_now
from lockgate.agent.tethers import Scope, Severing, Tethers
from lockgate.core.binding import Severed
from lockgate.core.halt import MAX_STOPPED, Halt, sign_halt
from lockgate.core.order import CutOff, Stopped
from lockgate.core.traffic import Cut
from lockgate.errors import DeniedError, LockgateError
from lockgate.formats.names import Endpoint

HALTS = "/api/v1/halts"
PATIENCE_SECONDS = 2.0

_LONGEST_SECONDS = 10.0  # for runs that were given time to end
_TRIES, _AGAIN_SECONDS = 5, 1.0
_LOOK_SECONDS = 0.5


def halt_until_the_end(node: Node) -> None:
    """Tell the server of each endpoint at which nothing may serve any more, until the agent ends."""
    while not node.ending.is_set():
        try:
            endpoint, told = node.holdings.stopped.get(timeout=_LOOK_SECONDS)
        except Empty:
            continue
        threading.Thread(target=_see_to, args=(node, endpoint, told), name="halt", daemon=True).start()


def _see_to(node: Node, endpoint: Endpoint, told: Sequence[Holding]) -> None:
    """Cut what was held by runs that were stopped; tell of it if nothing else serves there."""
    if any(holding.claim.endpoint == endpoint for holding in node.holdings.all()):
        for holding in told:  # the other release goes on
            node.tethers.leave(holding.holder(node.host.node))
        return
    cutting = node.routing.cutting(endpoint) if node.routing else None
    severing = _sever(node, endpoint, told)
    halt = halted(node, endpoint, told, cutting, severing)
    _tell(node, halt)
    _follow(node, halt, severing.scope)


def halted(
    node: Node, endpoint: Endpoint, told: Sequence[Holding], cutting: "Future[Cut | None] | None", severing: Severing
) -> Halt:
    """Wait for the gateway, the bindings and the runs, and say what came of it."""
    gateway, cut_at = cut_of(cutting)
    bindings = severing.result(node.tethers)
    stopped = stopped_of(told[:MAX_STOPPED], _LONGEST_SECONDS)
    return Halt(node.host.node, endpoint, stopped, gateway, cut_at, datetime.now(UTC), bindings)


def is_shut(node: Node, endpoint: Endpoint) -> bool:
    """Ask whether an order that this host keeps shuts an endpoint."""
    try:
        node.orders.check(endpoint)
    except DeniedError:
        return True
    return False


def is_suspended(node: Node, endpoint: Endpoint) -> bool:
    """Ask the server whether nothing at all may serve at an endpoint; who does not answer does not say so."""
    try:
        return node.quick.get(f"/api/v1/endpoints/{endpoint}").get("suspended") is True
    except LockgateError:
        return False


def stopped_of(told: Sequence[Holding], seconds: float) -> tuple[Stopped, ...]:
    """Wait a moment for the runs to say that nothing is left."""
    ends_at = time.monotonic() + seconds
    serving = [holding for holding in told if holding.serving]
    for holding in serving:
        holding.ended.wait(max(0.0, ends_at - time.monotonic()))
    return tuple(
        Stopped(holding.tag, holding.claim.release, holding.ended.is_set(), holding.seconds_left(boot_now()))
        for holding in serving
    )


def cut_of(cutting: "Future[Cut | None] | None") -> tuple[CutOff, datetime | None]:
    """Wait a moment for the gateway to say that nothing runs through it."""
    if cutting is None:
        return "none", None
    try:
        cut = cutting.result(PATIENCE_SECONDS)
    except (LockgateError, TimeoutError):
        return "unconfirmed", None
    return ("none", None) if cut is None else ("cut", cut.cut_at)


def _sever(node: Node, endpoint: Endpoint, told: Sequence[Holding]) -> Severing:
    """Begin to cut what the runs held; and all of the endpoint, if it is shut."""
    if is_shut(node, endpoint):
        return node.tethers.sever(Scope(endpoint))
    holders = tuple(sorted({holding.holder(node.host.node) for holding in told}))
    severing = node.tethers.sever(Scope(endpoint, holders))
    if node.tethers.all and is_suspended(node, endpoint):
        return node.tethers.sever(Scope(endpoint))
    return severing


def _follow(node: Node, halt: Halt, scope: Scope) -> None:
    """Tell again whenever it is another story with the bindings that were not proven to be cut."""
    while any(one.state != "cut" for one in halt.bindings or ()) and not node.ending.wait(_LOOK_SECONDS):
        newest = tuple(_newest(node.tethers, scope, one) for one in halt.bindings or ())
        if [one.state for one in newest] != [one.state for one in halt.bindings or ()]:
            halt = replace(halt, bindings=newest, at=datetime.now(UTC))
            _tell(node, halt)


def _newest(tethers: Tethers, scope: Scope, known: Severed) -> Severed:
    return tethers.all[known.name].told.get(scope, known)


def _tell(node: Node, halt: Halt) -> None:
    for _ in range(_TRIES):
        try:
            node.connection.post(HALTS, sign_halt(halt, node.host.key))
        except LockgateError:  # it knows that nothing is asked for; this only says when it was over
            if node.ending.wait(_AGAIN_SECONDS):
                return
        else:
            return
