"""What does the agent do when nobody asks? It listens, learns, judges again, looks at the log, and relays orders."""

import time
from datetime import UTC, datetime

from lockgate.agent.node import Node
from lockgate.core.news import News
from lockgate.core.order import Order, open_recorded
from lockgate.core.proved import Logged
from lockgate.errors import DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.loader.control import Stop
from lockgate.loader.hearing import hear
from lockgate.loader.rejudging import judge_again

LOOK_SECONDS = 30.0
RELAY_SECONDS = 2.0
REFUSED_SECONDS = 60.0
BREATH_SECONDS = 0.5  # between two looks, whoever calls for them

_TICK_SECONDS = 0.5


def attend_until_the_end(node: Node) -> None:
    """Do what is to be done now and then, until the agent ends."""
    look_at = relay_at = 0.0
    while not node.ending.wait(_TICK_SECONDS):
        now = time.monotonic()
        if now >= relay_at:
            relay_at = now + relay(node)
        if now >= look_at:
            look_at = now + look(node)


def learn_until_the_end(node: Node) -> None:
    """Learn what is in force and judge by it, until the agent ends; a feed that drips holds nothing else up."""
    learn_at = 0.0
    while not node.ending.is_set():
        if node.hint.wait(_TICK_SECONDS) or time.monotonic() >= learn_at:
            node.hint.clear()
            learn_at = time.monotonic() + learn(node)
            node.ending.wait(BREATH_SECONDS)
        judge_all_again(node)


def listen_until_the_end(node: Node) -> None:
    """Hear what the server says, until the agent ends."""

    def pause(seconds: float) -> None:
        node.ending.wait(seconds)

    def tell(why: str) -> None:
        node.worry("line", why)

    for news in hear(node.connection, ended=node.ending.is_set, pause=pause, tell=tell):
        node.fine("line")
        heed(node, news)


def heed(node: Node, news: News | None) -> None:
    """Ask at once for what a word is about; believe none of it."""
    match news:
        case News("rules"):
            node.hint.set()
        case News("suspended" | "replaced", about):
            if any(str(holding.claim.endpoint) == about for holding in node.holdings.all()):
                node.wake.set()
        case News("revoked"):
            node.wake.set()
        case _:
            node.hint.set()
            node.wake.set()


def look(node: Node) -> float:
    """Learn the newest head of the log; say in how many seconds to look again.

    A head that does not extend what this host has seen means that the server, or its database, was put back or stolen:
    no more leases are asked for until it shows the same log again.
    """
    try:
        node.host.look(node.connection, datetime.now(UTC))
    except VerificationError as e:
        node.worry("log", f"the log of the server is not the one that this host has seen: {e}")
        return RELAY_SECONDS
    except LockgateError:  # no answer, which the renewals tell
        return RELAY_SECONDS
    node.heard()
    node.fine("log")
    return LOOK_SECONDS


def learn(node: Node) -> float:
    """Learn what is in force, and stop what it does not admit; say in how many seconds to learn again."""
    learnt = node.learn()
    judge_all_again(node)
    return LOOK_SECONDS if learnt else RELAY_SECONDS


def judge_all_again(node: Node) -> None:
    """Judge what runs by the rules of now, if they are others than it was judged by; stop what they do not admit.

    Enforces: retirement_revocation
    """
    edition = node.edition
    for holding in node.holdings.all():
        if holding.edition == edition:
            continue
        claim, why = holding.claim, (holding.passport, holding.judged_at)
        try:
            admission = judge_again(node.host, claim, *why, node.connection, node.orders)
            node.tethers.check(admission.permit.rules.bindings)
        except DeniedError as e:
            node.tell(f"{holding.tag} at {claim.endpoint} is not admitted any more: {e}")
            node.holdings.stop(claim.endpoint, Stop(e.reasons, 0), claim)
        else:
            node.holdings.judged(holding, admission, edition)


def relay(node: Node) -> float:
    """Bring the server what the log does not hold yet; say in how many seconds to try again."""
    pause = RELAY_SECONDS
    for kept in node.orders.kept():
        if kept.recorded is not None:
            continue
        try:
            index = _recorded(node, kept.order)
            node.orders.record(kept.digest, index)
        except UnavailableError:
            return RELAY_SECONDS
        except LockgateError as e:
            node.worry("order", f"the order for {kept.endpoint} is not recorded: {e}")
            pause = REFUSED_SECONDS
            continue
        node.fine("order")
        node.tell(f"the order for {kept.endpoint} is entry {index} of the log")
    return pause


def _recorded(node: Node, order: Order) -> int:
    """Have the server record an order, and prove that it did."""
    signed = order.intent
    node.connection.submit("/api/v1/orders", signed, type=Order.type, reason=order.reason)
    logged = node.connection.fetch(f"/api/v1/orders/{signed.intent.digest}")
    return open_recorded(plain.decode(Logged, logged), order, node.host.trust.document, datetime.now(UTC))
