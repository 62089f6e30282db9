"""Can a candidate serve too long, be promoted wrongly, or take a step twice? Every way is tried.

    log          suspend, revoke: acknowledged at once (how that lasts is the matter of `lease_model`)
    controllers  one is stopped between look, remember and act; the other one may die after it has remembered
    host         ask for the lease of the candidate ─▶ show a route ─▶ stand still, go on
    gateway      the route ends by itself, if nobody shows it again
    evidence     none, passed, failed, passed again
    time         a tick may pass before any other step

In no state that can be reached: the candidate is served `LIFETIME` ticks after its endpoint was suspended or it was
revoked; a step is taken twice; it becomes the stable release without data, after a controller wrote down that it
failed, or when it is revoked. The search is breadth first, so a counterexample is a shortest one.

Rules are switches; `KEPT_BY` names the module that keeps each one. The code has more locks than the model: the key that
a controller appends under, and a promotion that looks at the deny-list, are not needed for any of this. A refused lease
stops a host at once, which is left out: the refusal may be lost. So is the moment between the last look of a
controller at its clock and its commit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

LIFETIME = 2  # ticks that a lease lasts, from the ask
TTL = 2  # ticks that a route lasts at most when nobody shows it again
LAST_STEP = 2  # the step at which everything goes to the candidate

KEPT_BY: Mapping[str, str] = {
    "lease_from_state": "lockgate.core.endpoint",
    "lease_from_revocations": "lockgate.core.lease",
    "route_ends_with_lease": "lockgate.agent.shares",
    "gateway_ttl": "lockgate.drivers.envoy.delta_ads",
    "suspension_ends_rollout": "lockgate.app.shut_down",
    "revocation_ends_rollout": "lockgate.app.revoke",
    "at_version": "lockgate.app.roll_out",
    "fence": "lockgate.controllers.rollouts",
    "needs_data": "lockgate.core.rollout",
}

Evidence: TypeAlias = Literal["none", "passed", "failed"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules are kept; each name tells what happens when it is."""

    lease_from_state: bool = True  # only what the log lets serve at this moment gets a lease
    lease_from_revocations: bool = True  # what is revoked gets none
    route_ends_with_lease: bool = True  # each route carries the end of the lease that it rests on
    gateway_ttl: bool = True  # a route that nobody shows again ends by itself
    suspension_ends_rollout: bool = True  # in the same append
    revocation_ends_rollout: bool = True  # in the same append
    at_version: bool = True  # what is appended rests on the endpoint as it is
    fence: bool = True  # who was overtaken writes nothing down, and does nothing
    needs_data: bool = True  # nothing is promoted before it has passed


class Seen(NamedTuple):
    """What a controller saw of the endpoint: as long as nothing happened there, it is so."""

    phase: Literal["flying", "stable", "gone"] = "flying"
    step: int = 0
    suspended: bool = False


class Asleep(NamedTuple):
    """What the controller that is stopped again and again knows: what it saw, found, and how far it is with it."""

    seen: Seen
    found: Evidence
    written: bool = False
    overtaken: bool = False


class State(NamedTuple):
    """All that the future depends on."""

    endpoint: Seen = Seen()
    revoked: bool = False
    since: int | None = None  # age of the suspension or revocation, as far as it matters
    evidence: Evidence = "none"
    memo: Evidence = "none"
    failed: bool = False  # a controller wrote down that it failed
    asleep: Asleep | None = None
    lease: int | None = None  # age of the lease that the host holds
    route: int = 0  # ticks that the gateway goes on by itself
    still: bool = False  # the host's agent
    wrong: str = ""


Step = tuple[str, State]


@dataclass(frozen=True, slots=True)
class Explored:
    """How many states were seen, and the shortest way to one that breaks a property."""

    states: int
    counterexample: Sequence[Step] | None


def explore(rules: Rules) -> Explored:
    """Visit every state that can be reached, until one breaks a property."""
    came_from: dict[State, Step | None] = {State(): None}
    edge = [State()]
    while edge:
        beyond = []
        for state in edge:
            for name, after in steps(state, rules):
                if after not in came_from:
                    came_from[after] = (name, state)
                    if broken(after):
                        return Explored(len(came_from), _way(after, came_from))
                    beyond.append(after)
        edge = beyond
    return Explored(len(came_from), None)


def broken(state: State) -> str:
    """Say which property is broken, if one is."""
    too_late = state.route and state.since == LIFETIME
    return state.wrong or ("served too late" if too_late else "")


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """List everything that may happen next."""
    yield "tick", _older(state, rules)
    yield from _orders(state, rules)
    yield from _evidence(state)
    yield from _awake(state, rules)
    yield from _asleep(state, rules)
    yield from _host(state, rules)


def _way(state: State, came_from: Mapping[State, Step | None]) -> Sequence[Step]:
    way = []
    while (last := came_from[state]) is not None:
        way.append((last[0], state))
        state = last[1]
    return way[::-1]


def _older(state: State, rules: Rules) -> State:
    lease = None if state.lease is None or state.lease + 1 >= LIFETIME else state.lease + 1
    since = None if state.since is None else min(state.since + 1, LIFETIME)
    route = max(0, state.route - 1) if rules.gateway_ttl else state.route
    return state._replace(lease=lease, since=since, route=route)


def _orders(state: State, rules: Rules) -> Iterator[Step]:
    """Suspend or revoke, one of them, once."""
    if state.since is not None:
        return
    here = state.endpoint
    ended = "gone" if here.phase == "flying" else here.phase
    phase = ended if rules.suspension_ends_rollout else here.phase
    yield "suspend", state._replace(endpoint=Seen(phase, here.step, suspended=True), since=0)
    phase = ended if rules.revocation_ends_rollout else here.phase
    yield "revoke", state._replace(endpoint=here._replace(phase=phase), revoked=True, since=0)


def _evidence(state: State) -> Iterator[Step]:
    if state.endpoint.phase == "flying":
        if state.evidence != "passed":
            yield "it does well", state._replace(evidence="passed")
        if state.evidence == "passed":
            yield "it fails", state._replace(evidence="failed")


def _awake(state: State, rules: Rules) -> Iterator[Step]:
    """Let the other controller look; it may die when it has written down what it found."""
    if state.endpoint.phase != "flying":
        return
    found = _found(state)
    overtaken = state.asleep and state.asleep._replace(overtaken=True)
    written = _written(state._replace(asleep=overtaken), found)
    yield "the other remembers and dies", written
    yield "the other looks", _act(written, state.endpoint, found, rules)


def _asleep(state: State, rules: Rules) -> Iterator[Step]:
    """Let the controller that is stopped again and again do one thing."""
    me = state.asleep
    if me is None:
        if state.endpoint.phase == "flying":
            yield "look", state._replace(asleep=Asleep(state.endpoint, _found(state)))
    elif me.overtaken and rules.fence:
        yield "begin again", state._replace(asleep=None)
    elif not me.written:
        yield "remember", _written(state, me.found)._replace(asleep=me._replace(written=True))
    else:
        yield "act", _act(state._replace(asleep=None), me.seen, me.found, rules)


def _found(state: State) -> Evidence:
    return "failed" if state.memo == "failed" else state.evidence


def _written(state: State, found: Evidence) -> State:
    return state._replace(memo=found, failed=state.failed or found == "failed")


def _act(state: State, seen: Seen, found: Evidence, rules: Rules) -> State:
    """Append what follows from what was seen and found."""
    if rules.at_version and seen != state.endpoint:
        return state
    if found == "failed":
        return state._replace(endpoint=state.endpoint._replace(phase="gone"))
    if seen.step < LAST_STEP:
        twice = state.endpoint.step > seen.step
        wrong = "a step was taken twice" if twice else state.wrong
        return state._replace(endpoint=state.endpoint._replace(step=seen.step + 1), wrong=wrong)
    if found == "none" and rules.needs_data:
        return state
    return state._replace(endpoint=Seen("stable", LAST_STEP), wrong=_wrong_promotion(state))


def _wrong_promotion(state: State) -> str:
    if state.revoked:
        return "promoted though it is revoked"
    if state.failed:
        return "promoted though it failed"
    return "promoted without data" if state.evidence == "none" else state.wrong


def _host(state: State, rules: Rules) -> Iterator[Step]:
    if state.still:
        yield "go on", state._replace(still=False)
        return
    yield "stand still", state._replace(still=True)
    here = state.endpoint
    may = here.phase != "gone" and not here.suspended
    if (may or not rules.lease_from_state) and not (state.revoked and rules.lease_from_revocations):
        yield "renew", state._replace(lease=0)
    if state.lease is not None:
        yield "show", state._replace(route=min(TTL, LIFETIME - state.lease) if rules.route_ends_with_lease else TTL)
