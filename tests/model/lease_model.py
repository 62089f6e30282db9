"""Can anything still serve once a shutdown was acknowledged and the longest lease has run out? Every way is tried.

    server   order or replace ─▶ write ─▶ anchor ─▶ acknowledge   crash, start, restore an old database, a lagging one
    network  asks and grants are delayed, lost (never taken), copied by an attacker and taken again
    host     ask ─▶ accept, or be told that it is superseded ─▶ serve ─▶ its deadline    suspend, resume, a slow clock
    time     a tick may pass before any other step

The property: in no state that can be reached does the host serve at `LIMIT` ticks or more after the acknowledgement,
and nothing begins at a host that was told that its release is superseded. `replace` lets another release take the place
of this one: the server then says so, where it says nothing after an order.
The search is breadth first, so a counterexample is a shortest one. Instants are kept as ages, so the states are finite.

Rules are switches; `KEPT_BY` names the module that keeps each one. To put an old database back is one step; to promote
a standby that lags is the same. `cut_off` is kept by the supervisor, which kills the whole model server at the
deadline; a check before each chunk comes with a data plane, and will keep the same rule beyond the supervisor's reach.

Left out: refusals (they only stop a host sooner, and can be lost), coming back into service, forged signatures, stolen
keys, a memory image of the host that is put back, and the grace that a policy may add to each deadline. A host that
wakes up looks at its clock before anything else here; the code takes up to 0.25 s (`lockgate.loader.pid_one`). Hosts
share nothing, so one is enough; server and database are one, so `start` is also each new connection to a database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

LIFETIME = 3  # T, in ticks: what the server grants
CHUNK = 1  # ε: what was begun before the deadline may take one tick to end
LIMIT = LIFETIME + CHUNK

KEPT_BY: Mapping[str, str] = {
    "nonce": "lockgate.core.lease",
    "from_sending": "lockgate.loader.leasing",
    "durable_first": "lockgate.drivers.postgres.connections",
    "primary_only": "lockgate.drivers.postgres.connections",
    "boot_clock": "lockgate.loader.run",
    "drift_budget": "lockgate.loader.lease_clock",
    "cut_off": "lockgate.loader.pid_one",
    "anchor": "lockgate.app.watch",
    "never_renewed": "lockgate.agent.holdings",
    "nothing_begins": "lockgate.drivers.envoy.topology",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules are kept; each name tells what happens when it is."""

    nonce: bool = True  # a grant answers the ask that is open, or nothing
    from_sending: bool = True  # the lease counts from the ask, not from the receipt
    durable_first: bool = True  # a shutdown is on the disk before it is acknowledged
    primary_only: bool = True  # no grant is read from a standby
    boot_clock: bool = True  # the host's clock goes on while it is suspended
    drift_budget: bool = True  # the host uses less than it was granted, because its clock may be slow
    cut_off: bool = True  # a response ends with the lease, one chunk later at most
    anchor: bool = True  # the log's head is kept outside before the acknowledgement, and compared at each start
    never_renewed: bool = True  # that a release is superseded is no lease, nor does any lease count after it
    nothing_begins: bool = True  # what is superseded gets no new request

    @property
    def deadline(self) -> int:
        """Say at which age on the host's clock a lease is over."""
        return LIFETIME - 1 if self.drift_budget else LIFETIME


class Response(IntEnum):
    """What the model server sends."""

    NONE = 0
    RUNNING = 1
    LAST_CHUNK = 2


class State(NamedTuple):
    """All that the future depends on. `True` for an endpoint means: active, as opposed to suspended."""

    up: bool = True  # the server
    memory: bool = True  # the endpoint, as the server sees it
    disk: bool = True  # the endpoint, as it will be after a crash
    standby: bool = True  # the endpoint, as a replica sees it
    anchored: bool = False  # the outside knows of the shutdown
    acknowledged: int | None = None  # age of the acknowledgement
    asked: int | None = None  # age of the open ask, on the host's clock
    granted: bool = False  # the open ask was granted; the answer is on its way
    old_grant: bool = False  # an attacker has an answer to an earlier ask
    lease: int | None = None  # age of the lease that the host holds, on the host's clock
    response: Response = Response.NONE
    suspended: bool = False  # the host
    steady: int = 0  # ticks before the host's clock may lose another one
    replaced: bool = False  # the endpoint is not active because another release took the place of this one
    word: bool = False  # the answer on its way says so, and is no grant
    finishing: bool = False  # the host was told so
    begun_late: bool = False  # something began after that


Step = tuple[str, State]


@dataclass(frozen=True, slots=True)
class Explored:
    """How many states were seen, and the shortest way to one that breaks the property."""

    states: int
    counterexample: Sequence[Step] | None


def serves(state: State) -> bool:
    """Ask whether anything leaves the host, or could at once."""
    return not state.suspended and (state.lease is not None or state.response is not Response.NONE)


def is_broken(state: State, limit: int = LIMIT) -> bool:
    """Ask whether the host serves later than it may, or began what it may not."""
    return state.begun_late or (state.acknowledged is not None and state.acknowledged >= limit and serves(state))


def steps(state: State, rules: Rules) -> Iterator[Step]:
    """List everything that may happen next."""
    yield from _time(state, rules)
    yield from _recovery(state, rules) if not state.up else _shutdown(state, rules)
    yield from _grants(state, rules)
    yield from _host(state, rules)


def search(rules: Rules) -> Sequence[Step] | None:
    """Find a shortest way to break the property, if there is any."""
    return explore(rules).counterexample


def explore(rules: Rules, *, limit: int = LIMIT, without: str = "") -> Explored:
    """Visit every state that can be reached, until one breaks the property; leave out the step named `without`."""
    start = State()
    came_from: dict[State, tuple[str, State] | None] = {start: None}
    edge = [start]
    while edge:
        beyond = []
        for state in edge:
            for name, after in steps(state, rules):
                if after in came_from or name == without:
                    continue
                came_from[after] = (name, state)
                if is_broken(after, limit):
                    return Explored(len(came_from), _way(after, came_from))
                beyond.append(after)
        edge = beyond
    return Explored(len(came_from), None)


def _way(state: State, came_from: Mapping[State, tuple[str, State] | None]) -> Sequence[Step]:
    way = []
    while (last := came_from[state]) is not None:
        way.append((last[0], state))
        state = last[1]
    return way[::-1]


def _time(state: State, rules: Rules) -> Iterator[Step]:
    """Let a tick pass. The host's clock loses at most one of any `LIFETIME` ticks."""
    stands = state.suspended and not rules.boot_clock
    yield "tick", _older(state._replace(steady=max(0, state.steady - 1)), rules, 0 if stands else 1)
    if state.steady == 0 and not stands:
        yield "slow tick", _older(state._replace(steady=LIFETIME - 1), rules, 0)


def _older(state: State, rules: Rules, on_the_host: int) -> State:
    aged = state._replace(
        acknowledged=_age(state.acknowledged, 1, LIMIT),
        asked=_age(state.asked, on_the_host, LIFETIME),
        lease=_age(state.lease, on_the_host, LIFETIME),
    )
    if state.suspended:
        return aged
    response = Response.NONE if state.response is Response.LAST_CHUNK else state.response
    return _held_to_its_lease(aged._replace(response=response), rules, Response.LAST_CHUNK)


def _age(age: int | None, ticks: int, most: int) -> int | None:
    return None if age is None else min(age + ticks, most)


def _held_to_its_lease(state: State, rules: Rules, then: Response) -> State:
    """Stop serving if the lease is over; what becomes of a response is `then`."""
    if state.lease is None or state.lease < rules.deadline:
        return state
    running = state.response is Response.RUNNING and rules.cut_off
    return state._replace(lease=None, response=then if running else state.response, finishing=False)


def _shutdown(state: State, rules: Rules) -> Iterator[Step]:
    yield "crash", state._replace(up=False, memory=state.disk, replaced=state.replaced and not state.disk)
    if state.memory:
        if state.acknowledged is None:
            yield "order", state._replace(memory=False)
            yield "replace", state._replace(memory=False, replaced=True)
        return
    if state.disk:
        yield "write", state._replace(disk=False)
    elif not state.anchored and rules.anchor:
        yield "anchor", state._replace(anchored=True)
    recorded = not state.disk and (state.anchored or not rules.anchor)
    if state.acknowledged is None and (recorded or not rules.durable_first):
        yield "acknowledge", state._replace(acknowledged=0)


def _recovery(state: State, rules: Rules) -> Iterator[Step]:
    if not state.disk:
        yield "restore", state._replace(disk=True, memory=True, replaced=False)
    if not (rules.anchor and state.anchored and state.disk):
        yield "start", state._replace(up=True, memory=state.disk)


def _grants(state: State, rules: Rules) -> Iterator[Step]:
    if not rules.primary_only and state.standby != state.disk:
        yield "replicate", state._replace(standby=state.disk)
    if state.asked is None or state.granted:
        return
    if state.up and state.memory:
        yield "grant", state._replace(granted=True)
    if state.up and state.replaced:
        yield "say superseded", state._replace(granted=True, word=True)
    if not rules.primary_only and state.standby:
        yield "grant from standby", state._replace(granted=True)


def _host(state: State, rules: Rules) -> Iterator[Step]:
    if state.suspended:
        yield "resume", _held_to_its_lease(_awake(state), rules, Response.NONE)
        return
    yield "suspend", state._replace(suspended=True)
    yield "ask", state._replace(asked=0, granted=False, word=False, old_grant=_kept(state))
    yield from _accepts(state, rules)
    if state.response is not Response.NONE:
        yield "end response", state._replace(response=Response.NONE)
    elif state.lease is not None and not (state.finishing and rules.nothing_begins):
        yield "begin response", state._replace(response=Response.RUNNING, begun_late=state.finishing)


def _awake(state: State) -> State:
    response = Response.NONE if state.response is Response.LAST_CHUNK else state.response
    return state._replace(suspended=False, response=response)


def _kept(state: State) -> bool:
    """Ask whether an attacker has a grant: what says superseded is none."""
    return state.old_grant or (state.granted and not state.word)


def _accepts(state: State, rules: Rules) -> Iterator[Step]:
    if state.asked is None:
        return
    if state.granted and state.word:
        told = state._replace(asked=None, granted=False, word=False, finishing=state.lease is not None)
        renewed = told if rules.never_renewed or state.lease is None else told._replace(lease=0)
        yield "hear superseded", renewed
        return
    if state.finishing and rules.never_renewed:
        return
    age = state.asked if rules.from_sending else 0
    if age >= rules.deadline:
        return
    lease = age if state.lease is None else min(age, state.lease)
    after = state._replace(asked=None, granted=False, lease=lease, old_grant=_kept(state))
    if state.granted:
        yield "accept", after
    if state.old_grant and not rules.nonce:
        yield "accept old", after
