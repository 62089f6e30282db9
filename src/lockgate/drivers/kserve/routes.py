"""How is a cluster kept to what it was shown? Applied, confirmed by its gateway, watched; a foreign edit is drift.

    show ──apply──▶ route ──▶ the gateway says that it accepted this generation
    cut  ──apply──▶ route to nobody ── refused ──▶ the route is deleted: ending needs nobody's consent
    less ──apply──▶ fewer releases ─── refused ──▶ the same, and told; showing again makes it anew
    watch ────────▶ another generation than ours ──▶ drift, told; to show again raises the conflict, and forces nothing

A cluster goes on as it was told when we are silent: `fail_closed` is false, and that is the truth (decision 0031).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lockgate.core.traffic import Counting, Cut, Traffic, check_whole
from lockgate.drivers.kserve.api import MANAGER, Cluster, Object
from lockgate.drivers.kserve.route_form import MARKS, Place, endpoint_of, route_of, stop_of
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

Tell = Callable[[str], None]

_CONFIRM_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_AGAIN_SECONDS = 1.0
_REFUSALS = (ConflictError, DeniedError, VerificationError)


@dataclass(frozen=True, slots=True)
class Drift:
    """Somebody else changed a route of ours, or removed it."""

    endpoint: Endpoint
    seen_at: datetime
    by: tuple[str, ...]


@dataclass
class _Shown:
    """What an endpoint was shown, and which generation of which route that is."""

    traffic: Traffic
    generation: int
    uid: str
    drifted: bool = False


@dataclass
class Routes:
    """Port `Gateway`, by HTTPRoutes; `confirm` waits until a gateway of the cluster says that it follows."""

    cluster: Cluster
    place: Place
    tell: Tell = field(default=lambda _: None)
    confirm: bool = True
    drifts: list[Drift] = field(default_factory=list)
    fail_closed: bool = False
    _fence: int = 0
    _cut_at: int = 0
    _shown: dict[Endpoint, _Shown] = field(default_factory=dict)
    _before: set[Endpoint] = field(default_factory=set)
    _listed: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def show(self, traffic: Sequence[Traffic], *, fence: int) -> None:
        """Let exactly this be so (port `Gateway`); `ConflictError` also if somebody else holds a field of a route."""
        check_whole(traffic)
        wanted = {one.endpoint: one for one in traffic}
        for one in traffic:
            route_of(one, self.place)
        with self._lock:
            if fence < self._fence or fence <= self._cut_at:
                raise ConflictError(f"fence {fence} was decided before fence {max(self._fence, self._cut_at)}")
            self._fence = fence
            for endpoint in self._known() - wanted.keys():
                self._remove(endpoint)
            self._put_each(wanted)
            applied = {endpoint: self._shown[endpoint].generation for endpoint in wanted}
        self._confirm(applied)  # without the lock: a cut waits for no gateway that thinks

    def cut(self, endpoint: Endpoint, *, fence: int) -> Cut:
        """Leave nothing of an endpoint but a route to nobody (port `Gateway`).

        What runs ends when the gateway says so, or when KServe has stopped the pods: a cluster promises no instant.

        Enforces: emergency_shutdown
        """
        with self._lock:
            self._cut_at = max(self._cut_at, fence)
            before = self._shown.get(endpoint)
            applied = {}
            try:
                self._apply(endpoint, Traffic(endpoint, ()))
                applied = {endpoint: self._shown[endpoint].generation}
            except _REFUSALS as e:
                self.tell(f"{endpoint} is cut by deleting its route: {e}")
                self._remove(endpoint)
        at = datetime.now(UTC)
        for route in before.traffic.routes if before else ():
            self._stop(endpoint, route.release, stopped=True)
        self._confirm(applied)
        return Cut(endpoint, at)

    def counts(self) -> Counting:
        """Count nothing (port `Gateway`): in a cluster, Prometheus does."""
        raise UnavailableError("a cluster does not count for us: ask its Prometheus")

    def close(self) -> None:
        """Cut everything and end (port `Gateway`)."""
        if self._ended.is_set():
            return
        self._ended.set()
        with self._lock:
            for endpoint in self._known():
                self._remove(endpoint)

    def keep_until_the_end(self) -> None:
        """End each route with the lease that it rests on, as long as this program lives."""
        while not self._ended.wait(_LOOK_SECONDS):
            with self._lock:
                for endpoint, shown in list(self._shown.items()):
                    left = tuple(each for each in shown.traffic.routes if each.until_ns > _now())
                    if left != shown.traffic.routes:
                        with suppress(LockgateError):  # it is tried again at the next look
                            self._put(endpoint, _without(shown.traffic, left))

    def watch_until_the_end(self) -> None:
        """See what others do to our routes."""
        while not self._ended.is_set():
            try:
                self._watch()
            except LockgateError as e:
                self.tell(f"the routes are not watched: {e}")
                self._ended.wait(_AGAIN_SECONDS)

    def _watch(self) -> None:
        for event in self.cluster.watch(self.place.routes, self._compared()):
            if self._ended.is_set() or event.get("type") == "ERROR":
                return
            if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
                self._see(event.get("object"), gone=event["type"] == "DELETED")

    def _compared(self) -> str:
        """Compare all routes with what was shown, while nothing new is; return since when to watch."""
        with self._lock:
            listed = self.cluster.find(self.place.routes)
            if listed is None:
                raise UnavailableError("this cluster knows no HTTPRoute")
            found = _list(listed.get("items"))
            for each in found:
                self._see(each, gone=False)
            there = {endpoint_of(each) for each in found}
            for endpoint in [each for each in self._shown if each not in there]:
                self._drifted(endpoint, ())
        return str(_object(listed.get("metadata")).get("resourceVersion"))

    def _see(self, route: Json, *, gone: bool) -> None:
        endpoint, metadata = endpoint_of(route), _object(_object(route).get("metadata"))
        with self._lock:
            shown = self._shown.get(endpoint) if endpoint else None
            if endpoint is None or shown is None:
                return
            generation = metadata.get("generation")
            if isinstance(generation, int) and (
                generation > shown.generation or (gone and generation >= shown.generation)
            ):
                self._drifted(endpoint, _others(metadata))

    def _drifted(self, endpoint: Endpoint, by: tuple[str, ...]) -> None:
        self._shown[endpoint].drifted = True
        self.drifts.append(Drift(endpoint, datetime.now(UTC), by))
        self.tell(f"the route of {endpoint} was changed by {', '.join(by) or 'somebody else'}")

    def _put_each(self, wanted: Mapping[Endpoint, Traffic]) -> None:
        """Put all of them, whatever becomes of one; then raise what was wrong with the first."""
        refused: list[LockgateError] = []
        for endpoint, traffic in wanted.items():
            try:
                self._put(endpoint, traffic)
            except _REFUSALS as e:
                refused.append(e)
        if refused:
            raise refused[0]

    def _put(self, endpoint: Endpoint, traffic: Traffic) -> None:
        """Apply the route of an endpoint; one that would lead to what is gone is removed if that is refused."""
        try:
            self._apply(endpoint, traffic)
        except _REFUSALS as e:
            if self._may_lead_elsewhere(endpoint, traffic):
                self.tell(f"the route of {endpoint} is deleted, because less may serve there: {e}")
                self._remove(endpoint)
            raise

    def _may_lead_elsewhere(self, endpoint: Endpoint, traffic: Traffic) -> bool:
        """Tell whether the route, as it is, may lead to a release that is not wanted; what is unknown may."""
        shown = self._shown.get(endpoint)
        allowed = {each.release for each in traffic.routes}
        return shown is None or not {each.release for each in shown.traffic.routes} <= allowed

    def _apply(self, endpoint: Endpoint, traffic: Traffic) -> None:
        """Apply the route of an endpoint, if it is not so already."""
        shown = self._shown.get(endpoint)
        if shown is not None and not shown.drifted and shown.traffic.routes and _same(shown.traffic, traffic):
            shown.traffic = traffic
            return
        for route in traffic.routes:
            self._stop(endpoint, route.release, stopped=False)
        found = self.cluster.apply(self.place.path_of(endpoint), route_of(traffic, self.place))
        generation = _object(found.get("metadata")).get("generation")
        assert isinstance(generation, int)
        self._shown[endpoint] = _Shown(traffic, generation, str(_object(found.get("metadata")).get("uid")))

    def _confirm(self, applied: Mapping[Endpoint, int]) -> None:
        """Wait until the gateway of the cluster follows what was applied."""
        until = time.monotonic() + _CONFIRM_SECONDS
        waiting = dict(applied) if self.confirm else {}
        while waiting:
            for endpoint, generation in list(waiting.items()):
                found = self.cluster.find(self.place.path_of(endpoint))
                if found is not None and _accepted(found) >= generation:
                    del waiting[endpoint]
            if waiting and time.monotonic() > until:
                raise UnavailableError(f"no gateway of the cluster says that it follows {sorted(map(str, waiting))}")
            if waiting:
                time.sleep(_LOOK_SECONDS)

    def _known(self) -> set[Endpoint]:
        """Name the endpoints that have a route of ours: what this program showed, or another one before it."""
        if not self._listed:
            found = _list((self.cluster.find(self.place.routes) or {}).get("items"))
            ours = [each for each in found if _is_ours(_object(_object(each).get("metadata")))]
            self._before = {endpoint for endpoint in map(endpoint_of, ours) if endpoint is not None}
            self._listed = True
        return self._before | self._shown.keys()

    def _remove(self, endpoint: Endpoint) -> None:
        self.cluster.delete(self.place.path_of(endpoint))
        self._shown.pop(endpoint, None)
        self._before.discard(endpoint)

    def _stop(self, endpoint: Endpoint, release: Digest, *, stopped: bool) -> None:
        """Say on the InferenceService of a release, if it has one, whether KServe keeps pods for it."""
        if not self.place.kserve:
            return
        path = self.place.stop_path(endpoint, release)
        found = _object(_object(self.cluster.find(path) or {}).get("metadata"))
        uid = found.get("uid")
        if isinstance(uid, str) and (stopped or MANAGER in _managers(found)):
            self.cluster.apply(path, stop_of(endpoint, release, self.place, uid, stopped=stopped))


def open_gateway(cluster: Cluster, place: Place, tell: Tell = lambda _: None, *, confirm: bool = True) -> Routes:
    """Keep the routes of a cluster, and watch them."""
    routes = Routes(cluster, place, tell, confirm)
    for loop in (routes.keep_until_the_end, routes.watch_until_the_end):
        threading.Thread(target=loop, name="routes", daemon=True).start()
    return routes


def _without(traffic: Traffic, left: tuple[object, ...]) -> Traffic:
    routes = tuple(each for each in traffic.routes if each in left)
    stable = traffic.stable if any(each.release == traffic.stable for each in routes) else None
    return replace(traffic, routes=routes, stable=stable)


def _same(one: Traffic, other: Traffic) -> bool:
    """Tell whether two are the same to a route: until when they last is not written there."""
    return [(each.release, each.weight) for each in one.routes] == [
        (each.release, each.weight) for each in other.routes
    ]


def _accepted(route: Object) -> int:
    """Say which generation of a route every gateway that answers for it has accepted; -1 if none does."""
    parents = _object(route.get("status")).get("parents")
    seen = [
        _object(condition).get("observedGeneration", -1)
        for parent in (parents if isinstance(parents, list) else [])
        for condition in _list(_object(parent).get("conditions"))
        if (_object(condition).get("type"), _object(condition).get("status")) == ("Accepted", "True")
    ]
    return min((each for each in seen if isinstance(each, int)), default=-1)


def _is_ours(metadata: Mapping[str, Json]) -> bool:
    return MARKS.items() <= _object(metadata.get("labels")).items()


def _others(metadata: Mapping[str, Json]) -> tuple[str, ...]:
    return tuple(sorted(name for name in _managers(metadata) if name != MANAGER))


def _managers(metadata: Mapping[str, Json]) -> set[str]:
    """Name who holds fields of an object, but for what is only its status."""
    entries = [_object(each) for each in _list(metadata.get("managedFields"))]
    return {str(each.get("manager")) for each in entries if "f:status" not in _object(each.get("fieldsV1"))}


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else []


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
