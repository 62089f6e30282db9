"""When does the agent ask for leases? At a third of the shortest one, once for everything that runs on the host.

due, or woken ──▶ one request for all ──▶ granted: pushed to each run ── refused: that run stops at once
                                     ├──▶ superseded: nothing new begins there; it ends with the lease that it has
                                     └──▶ no answer: again in a moment; every lease runs on, and out

What is superseded is asked about as before: a shutdown ends it at once.
"""

from collections.abc import Iterator, Sequence

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node, boot_now
from lockgate.core.lease import MAX_WANTS, Superseded
from lockgate.errors import DeniedError, LockgateError
from lockgate.loader.control import Stop
from lockgate.loader.lease_clock import RETRY_SECONDS, Held
from lockgate.loader.leasing import Asker, Claim, ask_leases, superseded
from lockgate.loader.lessor import HAND_OVER, TERM_SECONDS

BREATH_SECONDS = 0.1  # between two requests, whoever calls for them


def renew_until_the_end(node: Node) -> None:
    """Renew what is due, until the agent ends."""
    while not node.ending.is_set():
        woken = node.wake.wait(node.holdings.pause(boot_now()))
        node.wake.clear()
        running = node.holdings.all()
        if not running or not (woken or any(holding.is_due(boot_now()) for holding in running)):
            continue
        try:
            renew(node, running)
            node.ending.wait(BREATH_SECONDS)
        except LockgateError as e:
            node.worry("server", f"no lease for now: {e}")
            node.ending.wait(min(RETRY_SECONDS, *(_half_a_third(holding) for holding in running)))
            if woken:  # what it was woken for is still to be asked
                node.wake.set()


def renew(node: Node, running: Sequence[Holding]) -> None:
    """Ask for the leases of `running`, and tell each what became of it; raise if nobody answers."""
    node.check_trusted_log()
    for claims in _batches(dict.fromkeys(holding.claim for holding in running)):
        for claim in [claim for claim in claims if _is_shut(node, claim)]:
            claims.remove(claim)
        if claims:
            ask(node, claims)


def ask(node: Node, claims: Sequence[Claim]) -> None:
    """Ask for leases once; hand them out, and stop what was refused."""
    found = ask_leases(asker_of(node), claims, node.quick)
    node.heard()
    for claim, answer in found.items():
        match answer:
            case Held():
                node.holdings.lease(claim, answer)
            case Superseded():
                _let_finish(node, claim, superseded(answer))
            case DeniedError():
                node.holdings.stop(claim.endpoint, Stop(answer.reasons, TERM_SECONDS), claim)


def _let_finish(node: Node, claim: Claim, why: DeniedError) -> None:
    """Let a gateway keep new requests away; without one a run cannot but stop."""
    try:
        if node.routing is None or node.routing.gateway is None:
            raise DeniedError("no gateway keeps new requests away")
        node.holdings.supersede(claim, boot_now())
    except DeniedError:
        node.holdings.stop(claim.endpoint, Stop(why.reasons, TERM_SECONDS), claim)


def asker_of(node: Node) -> Asker:
    """Ask as this host, with the address at which it takes orders."""
    return Asker(node.host, HAND_OVER, node.control)


def _is_shut(node: Node, claim: Claim) -> bool:
    """Stop what an order shuts; nothing is asked for it."""
    try:
        node.orders.check(claim.endpoint)
    except DeniedError as e:
        node.holdings.stop(claim.endpoint, Stop(e.reasons, 0))
        return True
    return False


def _batches(claims: dict[Claim, None]) -> Iterator[list[Claim]]:
    listed = list(claims)
    for first in range(0, len(listed), MAX_WANTS):
        yield listed[first : first + MAX_WANTS]


def _half_a_third(holding: Holding) -> float:
    return holding.claim.seconds / 6
