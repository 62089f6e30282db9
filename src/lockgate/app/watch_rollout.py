"""What is known of a rollout now? Everything that a decision about it rests on, read without changing anything."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Measured, Memo
from lockgate.core.analysis import Unanswered, Value
from lockgate.core.analysis.counter import Reading
from lockgate.core.detection import Alerts, Raised
from lockgate.core.endpoint import State
from lockgate.core.journal import alerts_subject, endpoint_subject, revocation_subject
from lockgate.core.observation import Grounds, Look, Shown, Watch, due, grounds_of, read_watch, watch_anew
from lockgate.core.report import NOTHING, Counts
from lockgate.core.restoration import HEARD
from lockgate.core.revocation import Revocation
from lockgate.core.rollout import Rollout
from lockgate.core.slot import Slot
from lockgate.core.strategy import Metric, Strategy, open_strategy
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Flight:
    """A rollout in flight, and what is said of it at this moment."""

    endpoint: Endpoint
    rollout: Rollout
    strategy: Strategy
    stable: Slot
    nodes: Mapping[Name, Shown]
    alerts: tuple[Raised, ...]
    revoked: bool
    stable_revoked: bool
    at: datetime

    @property
    def candidate(self) -> Slot:
        """The release that is rolled out."""
        return self.rollout.candidate

    def known(self, memo: Memo | None) -> Watch:
        """Return what was known of this rollout; what this version cannot read is begun anew, and says so.

        Then nothing is promoted before it is shown again.
        """
        because = None
        try:
            known = None if memo is None else read_watch(memo.document, self.strategy, self.rollout)
        except VerificationError as e:
            known, because = None, f"what was known could not be read: {str(e)[:200]}"
        return known or watch_anew(self.strategy, self.rollout, self.look({}), because)

    def due(self, watch: Watch) -> tuple[Metric, ...]:
        """List the metrics that are to be looked at now."""
        return due(watch, self.strategy, self.at)

    def look(self, answers: Mapping[Name, Mapping[Name, Reading] | Value | Unanswered | None]) -> Look:
        """Put together what nodes show and what others answer."""
        return Look(self.at, self.nodes, answers)

    def grounds(self, watch: Watch) -> Grounds:
        """Write down what is known."""
        found = grounds_of(watch, self.strategy, self.rollout, self.alerts, revoked=self.revoked, now=self.at)
        return replace(found, stable_revoked=self.stable_revoked or None)


def all_endpoints(installation: Installation) -> Iterator[State]:
    """List all endpoints, as they are."""
    after = ""
    while page := installation.catalog.listing("endpoint", after=after, limit=_PAGE):
        states = [state for state in page if isinstance(state, State)]
        yield from states
        after = str(states[-1].endpoint)


def in_flight(installation: Installation) -> Iterator[State]:
    """List the endpoints at which something is rolled out, as they are."""
    yield from (state for state in all_endpoints(installation) if state.rollout is not None)


def look_at(installation: Installation, endpoint: Endpoint, now: datetime) -> Flight | None:
    """Read what is said of the rollout at `endpoint`; None if none is in flight."""
    catalog = installation.catalog
    state = catalog.find(endpoint_subject(endpoint))
    if not isinstance(state, State) or state.rollout is None or state.stable is None:
        return None
    rollout = state.rollout
    candidate = rollout.candidate
    strategy = open_strategy(catalog.document(rollout.strategy), rollout.strategy)
    raised = catalog.find(alerts_subject(endpoint))
    alerts = raised.since(candidate.index, candidate.release) if isinstance(raised, Alerts) else ()
    nodes = _shown(installation.reports.measured(endpoint), candidate.release, state.stable.release)
    revoked, stable_revoked = (
        isinstance(catalog.find(revocation_subject(slot.release)), Revocation) for slot in (candidate, state.stable)
    )
    return Flight(endpoint, rollout, strategy, state.stable, nodes, alerts, revoked, stable_revoked, now)


def name_of_watch(endpoint: Endpoint) -> str:
    """Name a rollout among what controllers look after."""
    return f"rollout/{endpoint}"


def grounds_at(installation: Installation, endpoint: Endpoint, now: datetime) -> Grounds | None:
    """Say on which numbers a decision would rest now; None if nothing is rolled out."""
    flight = look_at(installation, endpoint, now)
    if flight is None:
        return None
    return flight.grounds(flight.known(installation.controllers.recall(name_of_watch(endpoint))))


def _shown(measured: Sequence[Measured], candidate: Digest, stable: Digest) -> dict[Name, Shown]:
    """Put the newest totals of both releases together, for each node that was heard lately."""
    newest = {one.node: one.incarnation for one in measured}  # the newest incarnation of a node is last
    found: dict[Name, dict[Digest, Counts]] = {}
    for one in measured:
        if one.incarnation == newest[one.node] and one.age <= HEARD:
            found.setdefault(one.node, {})[one.counted.release] = one.counted.counts
    return {
        node: Shown(newest[node], counts.get(candidate, NOTHING), counts.get(stable, NOTHING))
        for node, counts in found.items()
    }
