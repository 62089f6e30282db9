"""Which runs of this host answer at an endpoint, and how much does each of them get?

    stable here, candidate here ──▶ the candidate its weight, the stable one the rest
    stable alone                ──▶ everything: what is approved harms nobody
    candidate alone             ──▶ its weight; the rest is answered 503
    superseded                  ──▶ nothing new; what is under way goes on until its lease is over

Weights are those of the newest signed grants. Where two of them do not say the same, because one is older, the
candidate gets the least that either gives it. The header by which callers stay is that of the candidate's newest grant.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from lockgate.agent.holdings import Holding
from lockgate.core.report import NOTHING, Counted
from lockgate.core.traffic import WHOLE, Address, Route, Traffic
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.loader.lease_clock import Held


def traffic_of(running: Iterable[Holding], now_ns: int) -> tuple[Traffic, ...]:
    """Say what the gateway should show for the runs that serve, answer, and hold a lease that is not over."""
    places: defaultdict[Endpoint, dict[Digest, tuple[Holding, Held]]] = defaultdict(dict)
    taken: set[int] = set()
    for holding in sorted(running, key=lambda each: (each.superseded, each.since)):
        lease, port = holding.held, holding.port
        if lease is None or port is None or not (holding.serving and holding.answers) or port in taken:
            continue
        if not lease.sent_at_ns <= now_ns < holding.until_ns(lease) or holding.ended.is_set():
            continue
        if places[holding.claim.endpoint].setdefault(holding.claim.release, (holding, lease))[0] is holding:
            taken.add(port)
    return tuple(_traffic(endpoint, tuple(here.values())) for endpoint, here in sorted(places.items()))


def weighed(counted: Iterable[Counted], shown: Iterable[Traffic]) -> tuple[Counted, ...]:
    """Say of what was counted which share of new requests it gets now, and name what gets one and was not asked yet."""
    weights = {(one.endpoint, route.release): route.weight for one in shown for route in one.routes}
    known = tuple(replace(one, weight=weights.pop((one.endpoint, one.release), 0)) for one in counted)
    return (*(Counted(*place, NOTHING, weight) for place, weight in weights.items()), *known)


def _traffic(endpoint: Endpoint, here: Sequence[tuple[Holding, Held]]) -> Traffic:
    going_on = [each for each in here if not each[0].superseded]
    stable = _newest(each for each in going_on if not each[1].candidate)
    candidate = _newest(each for each in going_on if each[1].candidate)
    weights: dict[Digest, int] = {}
    if candidate is not None:
        weights[candidate[0].claim.release] = _least(candidate[1], stable[1] if stable else None)
    if stable is not None:
        weights[stable[0].claim.release] = WHOLE - sum(weights.values())
    routes = tuple(_route(*each, weights.get(each[0].claim.release, 0)) for each in here)
    sticky_by, rollout = (candidate[1].sticky_by, candidate[0].claim.epoch) if candidate else (None, None)
    return Traffic(endpoint, routes, stable[0].claim.release if stable else None, sticky_by, rollout)


def _newest(found: Iterable[tuple[Holding, Held]]) -> tuple[Holding, Held] | None:
    return max(found, key=lambda each: (each[1].sent_at_ns, each[0].claim.epoch), default=None)


def _least(candidate: Held, stable: Held | None) -> int:
    if stable is None or stable.sent_at_ns <= candidate.sent_at_ns:
        return candidate.weight
    return min(candidate.weight, WHOLE - stable.weight)


def _route(holding: Holding, lease: Held, weight: int) -> Route:
    assert holding.port is not None
    claim, address = holding.claim, _here(holding.port)
    return Route(claim.release, holding.tag, address, weight, holding.until_ns(lease), finishing=holding.superseded)


@lru_cache(maxsize=1 << 16)
def _here(port: int) -> Address:
    return Address("127.0.0.1", port)
