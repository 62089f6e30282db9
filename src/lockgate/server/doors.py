"""Which doors are there, and what does each one take? All of them, in one table: method, path, act, use, body, answer.

The act is looked up in the table of rights (`core.rights`) before anything else happens. A door without an act is open
to everyone, and `default_deny` must list it too: two places have to agree before a stranger gets in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.params import Depends as Dependency
from starlette.responses import Response
from starlette.routing import BaseRoute

from lockgate.core import endpoint as at_endpoint
from lockgate.core.appearance import Appearances
from lockgate.core.detection import Alerts
from lockgate.core.exhibit import Statements
from lockgate.core.order import Order
from lockgate.core.passport import Passport
from lockgate.core.proved import Logged
from lockgate.core.release import Record
from lockgate.core.revocation import Revocation
from lockgate.server import binding_routes as bindings
from lockgate.server import blob_routes as blobs
from lockgate.server import change_routes as changes
from lockgate.server import concession_routes as concessions
from lockgate.server import delegation_routes as delegations
from lockgate.server import endpoint_routes as endpoints
from lockgate.server import front_routes as front
from lockgate.server import log_routes as log
from lockgate.server import news_routes as news
from lockgate.server import release_routes as releases
from lockgate.server import rollout_routes as rollouts
from lockgate.server import rule_routes as rules
from lockgate.server import signal_routes as signals
from lockgate.server import trial_routes as trials
from lockgate.server import update_routes as updates
from lockgate.server.json_schema import Schema, schema_of
from lockgate.server.lease_door import LEASES, LeaseDoor
from lockgate.server.session import Opened
from lockgate.server.sightings import Halted, Sighting
from lockgate.server.visit import API, Said, enter, require_key

_Route = Callable[..., object]
_TELLS = {400: "malformed", 401: "no session", 403: "no right", 404: "not there", 409: "the rules say no"}
_TELLS |= {412: "the log moved: read again", 413: "too large", 415: "not JSON", 422: "not what it claims"}
_TELLS |= {500: "our fault", 503: "nothing was decided: try again"}


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one path. `takes` is the kind of its body; one with an intent needs an `Idempotency-Key`."""

    method: str
    path: str
    act: str | None
    route: _Route
    takes: object | None = None
    gives: object | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where the log holds what was done, what is true now, and when hosts could learn it: for the description."""

    first: int
    stop: int
    object: Mapping[str, object]
    published: str | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who asked for what, and who stopped what, and when: only for the description."""

    items: tuple[Sighting, ...]
    halts: tuple[Halted, ...]
    now: datetime


CHANGE = f"{API}/changes/{{number}}"
RELEASE = f"{API}/releases/{{name}}/{{version}}"
AT = f"{API}/endpoints/{{environment}}/{{name}}"

DOORS = (
    Door("GET", "/healthz", None, front.get_health),
    Door("GET", "/readyz", None, front.get_ready),
    Door("GET", "/log/checkpoint", None, log.get_checkpoint, gives=str),
    Door("GET", "/log/tile/{path:path}", None, log.get_tile, gives=bytes),
    Door("GET", "/metrics", "read", front.get_metrics, gives=str),
    Door("POST", f"{API}/sessions", None, front.post_session, Said, Opened),
    Door("GET", f"{API}/installation", "read", rules.get_installation, gives=rules.Overview),
    Door("GET", f"{API}/trust", "read", rules.get_trust),
    Door("GET", f"{API}/policy", "read", rules.get_policy),
    Door("POST", f"{API}/proposals", "rules.propose", rules.post_proposal, rules.Proposed, Receipt),
    Door("POST", f"{API}/simulations", "read", rules.post_simulation, rules.Question, rules.Simulation),
    Door("GET", f"{API}/rules", "read", rules.get_rules, gives=rules.Documents),
    Door("POST", f"{API}/rules", "rules.adopt", rules.post_rules, rules.Brought, Receipt),
    Door("GET", "/tuf/{path:path}", None, updates.get_update, gives=bytes),
    Door(
        "POST",
        f"{API}/keys/{{keyid}}/revocation",
        "key.revoke",
        updates.post_key_revocation,
        updates.Revoked,
        Receipt,
    ),
    Door(
        "POST",
        f"{API}/people/{{person}}/offboarding",
        "person.offboard",
        updates.post_offboarding,
        updates.Revoked,
        Receipt,
    ),
    Door(
        "GET",
        f"{API}/releases/{{name}}/{{version}}/revocation",
        "read",
        updates.get_release_revocation,
        gives=Revocation,
    ),
    Door(
        "POST",
        f"{API}/releases/{{name}}/{{version}}/revocation",
        "release.revoke",
        updates.post_release_revocation,
        updates.Revoked,
        Receipt,
    ),
    Door("PUT", f"{API}/blobs/{{digest}}", "blob.put", blobs.put_blob, bytes),
    Door("GET", f"{API}/blobs/{{digest}}", "read", blobs.get_blob, gives=bytes),
    Door("HEAD", f"{API}/blobs/{{digest}}", "read", blobs.head_blob),
    Door("GET", f"{API}/documents/{{digest}}", "read", blobs.get_document, gives=bytes),
    Door("POST", f"{API}/releases", "release.register", releases.post_release, releases.Registration, Receipt),
    Door("GET", f"{API}/releases", "read", releases.list_releases),
    Door("GET", f"{API}/releases/{{name}}/{{version}}", "read", releases.get_release, gives=Record),
    Door("GET", f"{API}/releases/{{name}}/{{version}}/passport", "read", releases.get_release_passport, gives=Passport),
    Door("GET", f"{API}/releases/{{name}}/{{version}}/export", "read", releases.get_export, gives=Passport),
    Door("GET", f"{RELEASE}/statements", "read", releases.get_statements, gives=Statements),
    Door("POST", f"{RELEASE}/evidence", "release.attest", releases.post_evidence, releases.Evidence, Receipt),
    Door(
        "POST",
        f"{API}/releases/{{name}}/{{version}}/keys",
        "release.open-keys",
        releases.post_keys,
        releases.KeysWanted,
        releases.KeysGiven,
    ),
    Door(
        "POST",
        f"{API}/releases/{{name}}/{{version}}/trials",
        "trial.begin",
        trials.post_trial,
        trials.Beginning,
        Receipt,
    ),
    Door("GET", f"{API}/releases/{{name}}/{{version}}/trials", "read", trials.list_trials, gives=trials.Trials),
    Door("POST", f"{API}/suites", "suite.add", trials.post_suite, trials.SuiteBrought, Receipt),
    Door("GET", f"{API}/suites", "read", trials.list_suites),
    Door("POST", f"{API}/changes", "change.open", changes.post_change, changes.Asked, Receipt),
    Door("GET", f"{API}/changes", "read", changes.list_changes),
    Door("GET", f"{CHANGE}", "read", changes.get_change, gives=changes.Described),
    Door("GET", f"{CHANGE}/assessment", "read", changes.get_assessment, gives=changes.Assessment),
    Door("POST", f"{CHANGE}/approvals", "change.approve", changes.post_approval, Said, Receipt),
    Door(
        "POST",
        f"{CHANGE}/approvals/in-place",
        "change.approve-in-place",
        delegations.post_approval_in_place,
        delegations.InPlace,
        Receipt,
    ),
    Door(
        "POST",
        f"{CHANGE}/approvals/emergency",
        "emergency.approve",
        concessions.post_emergency_approval,
        Said,
        Receipt,
    ),
    Door("POST", f"{CHANGE}/overrides", "change.override", concessions.post_override, concessions.Overrode, Receipt),
    Door("POST", f"{CHANGE}/reviews", "change.review", concessions.post_review, concessions.Viewed, Receipt),
    Door("GET", f"{API}/concessions", "read", concessions.list_concessions, gives=concessions.Conceded),
    Door("GET", f"{API}/waiting", "read", delegations.get_waiting, gives=delegations.Wanted),
    Door("GET", f"{API}/delegations", "read", delegations.list_delegations),
    Door("POST", f"{API}/delegations", "approval.delegate", delegations.post_delegation, Said, Receipt),
    Door("POST", f"{API}/delegations/recalls", "approval.recall", delegations.post_recall, Said, Receipt),
    Door("POST", f"{CHANGE}/rejections", "change.reject", changes.post_rejection, Said, Receipt),
    Door("POST", f"{CHANGE}/withdrawals", "change.withdraw", changes.post_withdrawal, Said, Receipt),
    Door("POST", f"{CHANGE}/activation", "change.activate", changes.post_activation, Said, Receipt),
    Door("GET", f"{API}/endpoints", "read", endpoints.list_endpoints),
    Door("GET", AT, "read", endpoints.get_endpoint, gives=at_endpoint.State),
    Door("GET", f"{AT}/passport", "read", endpoints.get_endpoint_passport, gives=Passport),
    Door("POST", f"{AT}/rollback", "endpoint.roll-back", endpoints.post_rollback, Said, Receipt),
    Door("GET", f"{AT}/restoration", "read", endpoints.get_restoration, gives=endpoints.Coming),
    Door("GET", f"{AT}/preservation", "read", endpoints.get_preservation, gives=endpoints.Kept),
    Door("POST", f"{AT}/preservation", "endpoint.prove", endpoints.post_preservation, gives=endpoints.Kept),
    Door("POST", f"{AT}/shutdown", "endpoint.suspend", endpoints.post_shutdown, endpoints.Stop, Receipt),
    Door("GET", f"{AT}/alerts", "read", signals.get_alerts, gives=Alerts),
    Door("GET", f"{AT}/appearances", "read", signals.get_appearances, gives=Appearances),
    Door("POST", f"{API}/appearances", "provider.observe", signals.post_appearance, signals.Glimpsed, Receipt),
    Door("POST", f"{API}/alerts", "alert.raise", signals.post_alert, signals.Alarm, Receipt),
    Door("POST", f"{API}/reports", "report.send", signals.post_report, Mapping[str, object], signals.Taken),
    Door("POST", f"{API}/presences", "report.send", signals.post_presence, Mapping[str, object], signals.Taken),
    Door("GET", f"{AT}/rollout", "read", rollouts.get_rollout, gives=rollouts.Progress),
    Door("POST", f"{AT}/rollout/pause", "rollout.pause", rollouts.post_pause, Said, Receipt),
    Door("POST", f"{AT}/rollout/resume", "rollout.resume", rollouts.post_resume, Said, Receipt),
    Door("POST", f"{AT}/rollout/step", "rollout.step", rollouts.post_step, rollouts.StepOn, Receipt),
    Door("POST", f"{AT}/rollout/promotion", "rollout.promote", rollouts.post_promotion, Said, Receipt),
    Door("POST", f"{AT}/rollout/abort", "rollout.abort", rollouts.post_abort, Said, Receipt),
    Door("POST", f"{API}/orders", "order.relay", endpoints.post_order, Order, Receipt),
    Door("GET", f"{API}/orders/{{digest}}", "read", endpoints.get_order, gives=Logged),
    Door("POST", LEASES, None, LeaseDoor, Mapping[str, object]),
    Door("GET", f"{API}/news", "news.follow", news.get_news, gives=news.Stream),
    Door("POST", f"{API}/halts", "halt.send", endpoints.post_halt, Mapping[str, object]),
    Door("POST", f"{API}/ties", "ties.send", bindings.post_ties, Mapping[str, object]),
    Door("GET", f"{AT}/bindings", "read", bindings.get_bindings, gives=bindings.Holdings),
    Door("GET", f"{API}/fleet", "read", endpoints.get_fleet, gives=Fleet),
    Door("GET", f"{API}/log/entries", "log.read", log.get_entries),
    Door("GET", f"{API}/log/proof/{{index}}", "read", log.get_proof, gives=str),
)


class Gatehouse(FastAPI):
    """An application with all doors, which it describes in OpenAPI 3.1 when it is asked."""

    kinds: dict[str, object]

    def openapi(self) -> dict[str, object]:
        """Describe all doors."""
        if self.openapi_schema is None:
            self.openapi_schema = _describe(self)
        return self.openapi_schema


def hang(app: Gatehouse) -> None:
    """Hang every door into `app`, but that of the leases, which stands before it."""
    routes, app.kinds = _made()
    app.router.routes.extend(routes)


@cache
def _made() -> tuple[Sequence[BaseRoute], dict[str, object]]:
    """Make the routes, and describe what they take and give: once, for none of it is of one installation."""
    kinds: dict[str, object] = {}
    hung = APIRouter(redirect_slashes=False)
    for door in DOORS:
        if door.route is LeaseDoor:
            continue
        hung.add_api_route(
            door.path,
            door.route,
            methods=[door.method],
            dependencies=_dependencies(door),
            operation_id=door.route.__name__,
            response_class=Response,
            response_model=None,
            responses=_answers(door, kinds),
            openapi_extra=_extra(door, kinds),
        )
    return hung.routes, kinds


def needs_key(door: Door) -> bool:
    """Tell whether requests must carry an `Idempotency-Key`: those with an intent that goes into the log."""
    return door.act is not None and "intent" in getattr(door.takes, "__dataclass_fields__", ())


def _dependencies(door: Door) -> list[Dependency]:
    if door.act is None:
        return []
    key: list[Dependency] = [Depends(require_key)] if needs_key(door) else []
    return [Depends(enter(door.act)), *key]


def _answers(door: Door, kinds: dict[str, object]) -> dict[int | str, dict[str, object]]:
    answers: dict[int | str, dict[str, object]] = {200: {"description": "done", "content": _content(door.gives, kinds)}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}}}
    for status, text in _TELLS.items():
        answers[status] = {"description": text, "content": problem}
    return answers


def _extra(door: Door, kinds: dict[str, object]) -> dict[str, object]:
    extra: dict[str, object] = {} if door.act is None else {"security": [{"session": []}], "x-act": door.act}
    if door.takes is not None:
        extra["requestBody"] = {"required": True, "content": _content(door.takes, kinds)}
    if needs_key(door):
        schema = {"type": "string", "minLength": 16, "maxLength": 256}
        extra["parameters"] = [{"name": "Idempotency-Key", "in": "header", "required": True, "schema": schema}]
    return extra


def _content(kind: object | None, kinds: dict[str, object]) -> dict[str, object]:
    if kind is bytes:
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if kind is news.Stream:
        return {"text/event-stream": {"schema": {"type": "string"}}}
    if kind is str:
        return {"text/plain": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": {} if kind is None else schema_of(kind, kinds)}}


def _describe(app: Gatehouse) -> dict[str, object]:
    problem: Schema = {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "reasons": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["type", "title", "status", "reasons"],
    }
    document = get_openapi(title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes)
    (lease,) = (door for door in DOORS if door.route is LeaseDoor)
    told: dict[str, object] = {"operationId": "post_lease", "summary": "Post Lease", "description": LeaseDoor.__doc__}
    told |= {"responses": _answers(lease, app.kinds), **_extra(lease, app.kinds)}
    document["paths"][lease.path] = {"post": told}
    components = document.setdefault("components", {})
    components["schemas"] = {**app.kinds, "problem": problem}
    components["securitySchemes"] = {"session": {"type": "http", "scheme": "bearer"}}
    return document
