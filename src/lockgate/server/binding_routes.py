"""What may an endpoint hold, what does it hold now, and where?"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from lockgate.app.take_ties import take_ties
from lockgate.core.binding import Bound
from lockgate.core.notice import kept_together
from lockgate.core.tie import Ties
from lockgate.formats.names import Endpoint, Name
from lockgate.server.endpoint_routes import Where
from lockgate.server.visit import Body, Here, answer


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the policy lets an endpoint hold, and what nodes said of it in the last half minute."""

    endpoint: Endpoint
    bindings: Mapping[Name, Bound]
    nodes: tuple[Ties, ...]
    now: datetime


def get_bindings(visit: Here, at: Where) -> Response:
    """Say what an endpoint may hold, and what it holds on which node."""
    rules = visit.installation.policy().document.rules_for(at)
    nodes = tuple(visit.desk.sightings.ties(at, visit.now))
    return answer(Holdings(at, rules.bindings or {}, nodes, visit.now))


def post_ties(visit: Here, body: Body) -> Response:
    """Hear what endpoints hold on a node, which must be the one of the session."""
    ties = take_ties(visit.installation, body, visit.session.actor, visit.now)
    if visit.desk.sightings.hold(ties, visit.now):
        for teller in visit.desk.tellers:
            teller.urge(kept_together(str(visit.installation.environment), ties))
    return Response(status_code=204)
