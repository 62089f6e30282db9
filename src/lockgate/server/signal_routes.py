"""What do nodes and detectors say of the traffic? Reports, which are measurement, and alerts, which are logged."""

from dataclasses import dataclass

from starlette.responses import Response

from lockgate.app.observe_provider import observe_provider
from lockgate.app.raise_alert import raise_alert
from lockgate.app.take_presence import take_presence
from lockgate.app.take_report import take_report
from lockgate.core.appearance import Appearances, Glimpse
from lockgate.core.detection import Alerts, read_alert
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import alerts_subject, appearances_subject
from lockgate.server.endpoint_routes import Where
from lockgate.server.visit import Body, Here, answer


@dataclass(frozen=True, slots=True)
class Taken:
    """How many releases a report was news about: 0 if a newer one was there already; of a presence, whether it was."""

    taken: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert as a CloudEvent in JSON, and who raises it."""

    event: object
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class Glimpsed:
    """What a provider shows, and who saw it."""

    glimpse: Glimpse
    intent: SignedIntent


def post_report(visit: Here, body: Body) -> Response:
    """Take what a node counted; the envelope is signed by the node, which must be the one of the session."""
    return answer(Taken(take_report(visit.installation, body, visit.session.actor, visit.now)))


def post_presence(visit: Here, body: Body) -> Response:
    """Take what runs on a node; the envelope is signed by the node, which must be the one of the session."""
    return answer(Taken(take_presence(visit.installation, body, visit.session.actor, visit.now)))


def post_alert(visit: Here, body: Body) -> Response:
    """Record an alert, once for each actor, source and id."""
    order = visit.order(Alarm, body)
    visit.desk.alerts.admit(visit.session.actor)
    receipt = raise_alert(visit.installation, order.event, order.intent, visit.now)
    visit.desk.breakers.wake()
    visit.desk.rollouts.wake()
    return visit.receipt(receipt, alerts_subject(read_alert(order.event).endpoint))


def post_appearance(visit: Here, body: Body) -> Response:
    """Record what a provider shows of a model that serves at an endpoint."""
    order = visit.order(Glimpsed, body)
    receipt = observe_provider(visit.installation, order.glimpse, order.intent, visit.now)
    visit.desk.breakers.wake()
    return visit.receipt(receipt, appearances_subject(order.glimpse.endpoint))


def get_appearances(visit: Here, at: Where) -> Response:
    """Say what is known of the provider models at an endpoint."""
    return answer(visit.find(Appearances, appearances_subject(at)))


def get_alerts(visit: Here, at: Where) -> Response:
    """List what detectors raised about an endpoint: the newest of each sort, and how often."""
    return answer(visit.find(Alerts, alerts_subject(at)))
