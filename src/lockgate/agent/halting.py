"""What does the agent say when nothing may serve at an endpoint any more? What it stopped and cut, to whoever asks.

Holdings.stop ──▶ nothing else serves there ──▶ wait for the runs, and for the gateway ──▶ POST /api/v1/halts
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from queue import Empty

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node, boot_now
from lockgate.core.halt import MAX_STOPPED, Halt, sign_halt
from lockgate.core.order import CutOff, Stopped
from lockgate.core.traffic import Cut
from lockgate.errors import LockgateError
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
        if any(holding.claim.endpoint == endpoint for holding in node.holdings.all()):
            continue  # the other release goes on
        _tell(node, halted(node, endpoint, told))


def halted(node: Node, endpoint: Endpoint, told: Sequence[Holding]) -> bytes:
    """Cut, wait for the runs to end, and sign what came of it."""
    cutting = node.routing.cutting(endpoint) if node.routing else None
    gateway, cut_at = cut_of(cutting)
    stopped = stopped_of(told[:MAX_STOPPED], _LONGEST_SECONDS)
    halt = Halt(node.host.node, endpoint, stopped, gateway, cut_at, datetime.now(UTC))
    return sign_halt(halt, node.host.key)


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


def _tell(node: Node, halt: bytes) -> None:
    for _ in range(_TRIES):
        try:
            node.connection.post(HALTS, halt)
        except LockgateError:  # it knows that nothing is asked for; this only says when it was over
            if node.ending.wait(_AGAIN_SECONDS):
                return
        else:
            return
