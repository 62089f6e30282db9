"""What does the agent do with an order? Verify, stop and cut, keep, answer: in this order.

Stopping comes before keeping, because it is what the order is for; the receipt comes after both. It says of each
release that served whether it is gone, or how long its lease lets it run if the run itself does not answer, since when
nothing runs through the gateway, and of each binding whether somebody still gets in.
"""

from datetime import UTC, datetime

from lockgate.agent.halting import PATIENCE_SECONDS, cut_of, stopped_of
from lockgate.agent.node import Node
from lockgate.agent.tethers import Scope
from lockgate.core.order import Order, Receipt, open_order, sign_receipt
from lockgate.loader.control import Stop


def obey(node: Node, order: Order) -> bytes:
    """Carry out an order, and return the receipt; raise if it is none, or cannot be kept.

    Enforces: emergency_shutdown
    """
    host, now = node.host, datetime.now(UTC)
    shutdown = open_order(order, host.trust.document, now)
    kept = node.orders.take(shutdown, now)
    because = f": {order.reason}" if order.reason else ""
    told = node.holdings.stop(shutdown.endpoint, Stop((f"shut by order of {shutdown.by}{because}",), 0))
    cutting = node.routing.cutting(shutdown.endpoint) if node.routing else None
    severing = node.tethers.sever(Scope(shutdown.endpoint))
    node.tell(f"{shutdown.endpoint} is shut by order of {shutdown.by}{because}; {len(told)} runs were told to stop")
    node.orders.keep(kept)
    stopped = stopped_of(told, PATIENCE_SECONDS)
    cut = *cut_of(cutting), severing.result(node.tethers)
    if not told and any(one.state != "cut" for one in cut[2] or ()):
        node.holdings.stopped.put((shutdown.endpoint, ()))  # so that the server hears of it, and of how it ends
    receipt = Receipt(host.node, kept.digest, kept.endpoint, stopped, kept.kept_at, datetime.now(UTC), *cut)
    return sign_receipt(receipt, host.key)
