"""How does a `Traffic` become true on this host? Through an Envoy that we own, and that stops when we do.

    show ──▶ clusters, listeners ──▶ ACK ──▶ routes ──▶ ACK ──▶ what is gone is taken away ──▶ ACK
    cut  ──▶ the endpoint's listeners go ──▶ ACK ──▶ its routes ──▶ ACK

Only the endpoints that changed are written and sent; the routes of all are one message, joined of what was written
before. Nothing is routed to what is not there yet, and nothing is taken away that is still routed to. A cut waits for
no `show`, and undoes its part of one that is under way. Before the gateway is used, it shows once that Envoy drops what
nobody tells it to keep: without that, a gateway whose owner stands still would serve for ever.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from lockgate.core.report import NOTHING, Counted
from lockgate.core.traffic import Address, Counting, Cut, Traffic, check_whole
from lockgate.drivers.envoy.access_log import AccessLog, Written
from lockgate.drivers.envoy.admin_socket import AdminSocket
from lockgate.drivers.envoy.bootstrap import FEED_SOCKET, bootstrap
from lockgate.drivers.envoy.child import EnvoyChild
from lockgate.drivers.envoy.delta_ads import Feed, Goals, Resource
from lockgate.drivers.envoy.den import Den
from lockgate.drivers.envoy.judged_users import WATCHED, Judged, Users
from lockgate.drivers.envoy.topology import CLUSTER, GATEWAY, LISTENER, ROUTES, Piece, listener_to, piece_of, routes_of
from lockgate.drivers.envoy.totals import Totals
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.names import Endpoint

LISTEN = Address("127.0.0.1", 8421)
TTL = 3.0  # seconds that Envoy goes on alone

_PULSE = 0.02
_PROBE = "self-test"
_PROBE_NS = 1_000_000_000
_TRIES = 3

Pieces = Mapping[Endpoint, Piece | None]  # None for an endpoint that is known no more


class EnvoyGateway:
    """Port `Gateway`, by an Envoy on this host. Only the owner of `home` speaks to it."""

    def __init__(self, den: Den, listen: Address, ttl: float, patience: float, users: Users) -> None:
        self._den = den
        self._listen = listen
        self._patience = patience
        self._users, self._records = users, AccessLog(users)
        self._feed = Feed(f"unix:{den.folder / FEED_SOCKET}", ttl, self._records.handler())
        self._envoy = EnvoyChild(den.folder, json.dumps(bootstrap(listen)))
        self._admin = AdminSocket(den.folder)
        self._state = threading.Lock()
        self._showing = threading.Lock()
        self._counting = threading.Lock()
        self._totals = Totals()
        self._incarnation = secrets.token_hex(16)
        self._settled: dict[Endpoint, Traffic] = {}  # what is surely so
        self._there: dict[Endpoint, Piece] = {}  # what Envoy may have of each endpoint, by any show that was begun
        self._routes: dict[Endpoint, bytes] = {}
        self._least = 0
        self._turn = 0
        self._shown = 0  # the turn of the last show
        self.fail_closed = False

    def start(self, seconds: float) -> None:
        """Start Envoy, and see it drop what is not renewed; raise `UnavailableError` if it does neither in time."""
        until = time.monotonic() + seconds
        goals = self._put_routes({})
        self._feed.start()
        self._envoy.start()
        while not self._admin.is_ready():
            if self._envoy.lives > _TRIES or time.monotonic() > until:
                raise UnavailableError(f"Envoy does not start: {self._envoy.last_words() or 'it says nothing'}")
            time.sleep(_PULSE)
        self._feed.wait(goals, max(0.0, until - time.monotonic()))
        self._see_it_let_go(until)
        self.fail_closed = True

    def show(self, traffic: Sequence[Traffic], *, fence: int) -> None:
        """Let exactly this be so (port `Gateway`)."""
        check_whole(traffic)
        if self._listen in {route.address for one in traffic for route in one.routes}:
            raise VerificationError(f"{self._listen} is the gateway itself")
        with self._showing:
            wanted = {one.endpoint: one for one in traffic}
            turn, changed = self._begin(fence, wanted)
            self._users.close(wanted.get(name, Traffic(name, ())) for name in changed)
            pieces = {name: piece_of(wanted[name]) if name in wanted else None for name in changed}
            self._step(turn, lambda: self._put_runs(pieces))
            self._step(turn, lambda: self._put_routes(pieces))
            self._step(turn, lambda: self._leave_only(pieces))
            self._step(turn, lambda: self._settle(wanted, changed))

    def cut(self, endpoint: Endpoint, *, fence: int) -> Cut:
        """End all that runs at an endpoint, and let nothing begin (port `Gateway`)."""
        with self._state:
            self._least = max(self._least, fence + 1)
            if self._settled.get(endpoint) == Traffic(endpoint, ()):
                return Cut(endpoint, datetime.now(UTC))
            self._turn += 1
            turn = self._turn
            self._settled.pop(endpoint, None)
            self._users.close([Traffic(endpoint, ())])
            there = self._there.get(endpoint)
            goals = self._feed.put(LISTENER, {}, there.listeners if there else ())
        try:
            self._feed.wait(goals, self._patience)
        finally:
            self._close_routes(endpoint, turn)
        return Cut(endpoint, datetime.now(UTC))

    def counts(self) -> Counting:
        """Read what was answered so far (port `Gateway`)."""
        with self._counting:
            life = self._envoy.lives
            read = self._admin.counts()
            written = Written(life, *self._admin.records()) if self._users.is_needed else None
            if life != self._envoy.lives:
                raise UnavailableError("Envoy was started again meanwhile")
            judged = self._users.judge(self._records.known_ns(written) if written else 0)
            counted = self._totals.take(read, life)
            return Counting(self._incarnation, tuple(_with_users(judged, counted)), self._users.unjudged)

    def close(self) -> None:
        """Cut everything, and leave nothing behind but the log (port `Gateway`)."""
        self.fail_closed = False
        self._envoy.stop()
        self._feed.stop()
        self._den.leave()

    def _close_routes(self, endpoint: Endpoint, turn: int) -> None:
        """Send nobody to an endpoint that was cut, unless it was shown since.

        After its listeners are gone: Envoy takes its time with the routes of all, and ends no stream meanwhile.
        """
        nothing = Traffic(endpoint, ())
        pieces = {endpoint: piece_of(nothing)}
        with self._state:
            goals = self._put_routes(pieces) if self._shown < turn else {}
        self._feed.wait(goals, self._patience)
        with self._state:
            if self._shown < turn:
                self._leave_only(pieces)
                self._settled[endpoint] = nothing

    def _begin(self, fence: int, wanted: Mapping[Endpoint, Traffic]) -> tuple[int, Collection[Endpoint]]:
        """Take a turn; say which endpoints are not surely as they are wanted."""
        with self._state:
            if fence < self._least:
                raise ConflictError(f"this was decided before what is so now ({fence}, not {self._least} or later)")
            self._least = fence
            self._turn += 1
            self._shown = self._turn
            if self._feed.is_late():
                self._settled.clear()
            known = wanted.keys() | self._there.keys()
            changed = [name for name in known if name not in wanted or self._settled.get(name) != wanted[name]]
            for name in changed:
                self._settled.pop(name, None)
            return self._turn, changed

    def _step(self, turn: int, put: Callable[[], Goals]) -> None:
        with self._state:
            if turn != self._turn:
                raise ConflictError("an endpoint was cut meanwhile")
            goals = put()
        self._feed.wait(goals, self._patience)

    def _put_runs(self, pieces: Pieces) -> Goals:
        """Want the clusters and listeners of these, besides what is there."""
        clusters: dict[str, Resource] = {}
        listeners: dict[str, Resource] = {}
        for endpoint, piece in pieces.items():
            if piece is not None:
                clusters |= {name: Resource(body) for name, body in piece.clusters.items()}
                listeners |= {name: Resource(body, piece.until_ns[name]) for name, body in piece.listeners.items()}
                self._there[endpoint] = piece.beside(self._there.get(endpoint))
        return {**self._feed.put(CLUSTER, clusters), **self._feed.put(LISTENER, listeners)}

    def _put_routes(self, pieces: Pieces) -> Goals:
        for endpoint, piece in pieces.items():
            if piece is None:
                self._routes.pop(endpoint, None)
            else:
                self._routes[endpoint] = piece.routes
        joined = routes_of([self._routes[endpoint] for endpoint in sorted(self._routes)])
        return self._feed.put(ROUTES, {GATEWAY: Resource(joined)})

    def _leave_only(self, pieces: Pieces) -> Goals:
        """Want nothing else of these endpoints any more."""
        clusters: list[str] = []
        listeners: list[str] = []
        for endpoint, piece in pieces.items():
            was = self._there.pop(endpoint, None)
            if piece is not None:
                self._there[endpoint] = piece
            if was is not None:
                clusters += was.clusters.keys() - (piece.clusters.keys() if piece else ())
                listeners += was.listeners.keys() - (piece.listeners.keys() if piece else ())
        return {**self._feed.put(CLUSTER, {}, clusters), **self._feed.put(LISTENER, {}, listeners)}

    def _settle(self, wanted: Mapping[Endpoint, Traffic], changed: Collection[Endpoint]) -> Goals:
        """Take it for so, when Envoy has acknowledged all there is."""
        self._settled |= {name: wanted[name] for name in changed if name in wanted}
        self._users.open((wanted[name] for name in changed if name in wanted), time.time_ns())
        return self._feed.everything()

    def _see_it_let_go(self, until: float) -> None:
        """Give Envoy a listener for a second, and see it there, and gone."""
        for _ in range(_TRIES):
            probe = Resource(listener_to(_PROBE, "nothing"), lasts_ns=_PROBE_NS)
            self._feed.wait(self._feed.put(LISTENER, {_PROBE: probe}), max(0.0, until - time.monotonic()))
            was_there = False
            while _PROBE in self._admin.listeners():
                was_there = True
                if time.monotonic() > until:
                    raise UnavailableError("Envoy keeps what nobody renews: it would serve for ever")
                time.sleep(_PULSE)
            self._feed.wait(self._feed.put(LISTENER, {}, [_PROBE]), max(0.0, until - time.monotonic()))
            if was_there:
                return
        raise UnavailableError("Envoy could not be seen to drop what nobody renews")


def _with_users(judged: Judged, counted: Iterable[Counted]) -> Iterator[Counted]:
    """Add which users were judged; of a release that Envoy knows no more, too."""
    left = dict(judged)
    for one in counted:
        users = left.pop((one.endpoint, one.release), {})
        yield replace(one, counts=replace(one.counts, other={**one.counts.other, **users}))
    for place, users in left.items():
        yield Counted(*place, replace(NOTHING, other=users))


def open_gateway(
    home: Path,
    *,
    listen: Address = LISTEN,
    ttl: float = TTL,
    patience: float = 5.0,
    seconds: float = 30,
    watched: float = WATCHED,
) -> EnvoyGateway:
    """Start an Envoy in `home`, and see it drop what is not renewed; raise `UnavailableError` if it does not.

    Args:
        home: Where its private folder is made.
        listen: The one address that it opens.
        ttl: Seconds that Envoy goes on alone, when we stand still or are gone.
        patience: Seconds that Envoy has to acknowledge something.
        seconds: How long it may take to start.
        watched: Seconds that a user is watched in a round.
    """
    gateway = EnvoyGateway(Den.enter(home / "gateway"), listen, ttl, patience, Users(watched))
    try:
        gateway.start(seconds)
    except BaseException:
        gateway.close()
        raise
    return gateway
