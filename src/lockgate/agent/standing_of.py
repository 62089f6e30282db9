"""How does the agent stand? What runs, on which lease, by which rules, and which orders are kept."""

from datetime import UTC, datetime

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node, boot_now
from lockgate.agent.routing import Routing
from lockgate.core.order import Kept
from lockgate.core.report import NOTHING, Counts
from lockgate.core.traffic import Route
from lockgate.formats.names import Endpoint
from lockgate.loader.order_book import Unreadable
from lockgate.loader.standing import AtGateway, Document, Routed, Running, Shut, Standing


def standing_of(node: Node) -> Standing:
    """Say how the agent stands now."""
    host = node.host
    trust, policy = host.trust.document, host.policy.document
    running = sorted(node.holdings.all(), key=lambda holding: (str(holding.claim.endpoint), holding.since))
    orders = [_shut(kept) for kept in node.orders.kept()]
    return Standing(
        node=host.node,
        environment=trust.environment,
        server=host.server,
        control=node.control,
        since=node.since,
        now=datetime.now(UTC),
        running=tuple(_running(holding) for holding in running),
        orders=(*orders, *(_unreadable(found) for found in node.orders.unreadable)),
        trust=Document(trust.version, trust.expires),
        policy=Document(policy.version, policy.expires),
        log_size=host.seen_size(),
        heard_at=node.heard_at,
        trouble=tuple(node.trouble.values()),
        gateway=_gateway(node.routing) if node.routing else None,
    )


def _gateway(routing: Routing) -> AtGateway:
    counted = {(one.endpoint, one.release): one.counts for one in routing.counted}
    routes = tuple(
        _routed(one.endpoint, route, counted.get((one.endpoint, route.release)))
        for one in routing.shown
        for route in one.routes
    )
    return AtGateway(routing.address, routing.gateway is not None and routing.gateway.fail_closed, routes)


def _routed(endpoint: Endpoint, route: Route, counts: Counts | None) -> Routed:
    answers = (counts or NOTHING).answers
    return Routed(endpoint, route.release, route.tag, route.weight, answers.total, answers.bad)


def _running(holding: Holding) -> Running:
    claim = holding.claim
    return Running(
        claim.endpoint,
        claim.release,
        holding.tag,
        claim.epoch,
        holding.serving,
        holding.since,
        claim.seconds,
        holding.seconds_left(boot_now()),
        holding.channel.pid,
    )


def _shut(kept: Kept) -> Shut:
    by, reason = kept.order.intent.intent.actor, kept.order.reason
    return Shut(str(kept.digest), kept.endpoint, by, reason, kept.kept_at, kept.recorded)


def _unreadable(found: Unreadable) -> Shut:
    return Shut(found.path.name, found.endpoint)
