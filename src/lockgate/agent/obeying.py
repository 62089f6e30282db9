"""What does the agent do with an order? Verify, stop, keep, answer: in this order.

Stopping comes before keeping, because it is what the order is for; the receipt comes after both. It says of each
release that served whether it is gone, or how long its lease lets it run if the run itself does not answer.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node, boot_now
from lockgate.core.order import Order, Receipt, Stopped, open_order, sign_receipt
from lockgate.loader.control import Stop

PATIENCE_SECONDS = 2.0


def obey(node: Node, order: Order) -> bytes:
    """Carry out an order, and return the receipt; raise if it is none, or cannot be kept.

    Enforces: emergency_shutdown
    """
    host, now = node.host, datetime.now(UTC)
    shutdown = open_order(order, host.trust.document, now)
    kept = node.orders.take(shutdown, now)
    because = f": {order.reason}" if order.reason else ""
    told = node.holdings.stop(shutdown.endpoint, Stop((f"shut by order of {shutdown.by}{because}",), 0))
    node.tell(f"{shutdown.endpoint} is shut by order of {shutdown.by}{because}; {len(told)} runs were told to stop")
    node.orders.keep(kept)
    stopped = _stopped(told)
    receipt = Receipt(host.node, kept.digest, kept.endpoint, stopped, kept.kept_at, datetime.now(UTC))
    return sign_receipt(receipt, host.key)


def _stopped(told: Sequence[Holding]) -> tuple[Stopped, ...]:
    """Wait a moment for the runs to say that nothing is left."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    serving = [holding for holding in told if holding.serving]
    for holding in serving:
        holding.ended.wait(max(0.0, ends_at - time.monotonic()))
    return tuple(
        Stopped(holding.tag, holding.claim.release, holding.ended.is_set(), holding.seconds_left(boot_now()))
        for holding in serving
    )
