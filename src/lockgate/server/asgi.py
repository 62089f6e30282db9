"""How does an installation become a server? Doors, behind the layer that denies by default, over TLS or on loopback."""

import logging
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import NoReturn

import anyio
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

import lockgate
from lockgate.app.installation import Installation
from lockgate.app.ports import Channel, Measurements
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.app.publish_updates import publish_updates
from lockgate.controllers.breakers import Breakers
from lockgate.controllers.concessions import Concessions
from lockgate.controllers.rollouts import Rollouts
from lockgate.controllers.targets import Targets
from lockgate.core.metadata import period_of
from lockgate.errors import LockgateError, UnavailableError
from lockgate.loader.tls import listening, server_context
from lockgate.server.blob_routes import UPLOADS
from lockgate.server.default_deny import DefaultDeny, Limits
from lockgate.server.doors import Gatehouse, hang
from lockgate.server.herald import Herald
from lockgate.server.lease_desk import LeaseDesk
from lockgate.server.lease_door import LeaseDoor
from lockgate.server.metrics import Meters
from lockgate.server.patience import Patient
from lockgate.server.problems import answer_errors
from lockgate.server.session import Sessions
from lockgate.server.sightings import Sightings
from lockgate.server.telling import tellers_of
from lockgate.server.visit import Desk
from lockgate.settings import Settings, settings
from lockgate.wiring import channels, measurements, running

_log = logging.getLogger(__name__)
_PULSE = 0.5  # seconds between looks at the log: it is signed within a second of a commit
_PARTING = 5  # seconds that open requests get when the server stops
STALLED = 120  # seconds without a sign that somebody takes what they are sent


def utc_now() -> datetime:
    """Read the clock."""
    return datetime.now(UTC)


def build(
    installation: Installation,
    chosen: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    channels: Sequence[Channel] = (),
    measurements: Measurements | None = None,
) -> ASGIApp:
    """Make the ASGI application of an installation, which tells `channels` what matters."""
    return house(furnish(installation, chosen, clock=clock, channels=channels, measurements=measurements), chosen)


def furnish(
    installation: Installation,
    chosen: Settings,
    *,
    clock: Callable[[], datetime] = utc_now,
    channels: Sequence[Channel] = (),
    measurements: Measurements | None = None,
) -> Desk:
    """Make what every route works with."""
    tellers = tellers_of(installation, channels, chosen.home, chosen.public_url)
    sessions = Sessions(installation, chosen.session_key)
    sightings = Sightings()
    leases = LeaseDesk(installation, clock, sightings.see)
    herald = Herald(installation.history, installation.environment)
    controllers = (
        Rollouts(installation, clock, measurements),
        Breakers(installation, clock),
        Concessions(installation, clock),
        Targets(installation, clock, timedelta(hours=chosen.prove_hours)),
    )
    life = chosen.updates_life
    return Desk(installation, sessions, Meters(), clock, leases, sightings, herald, *controllers, life, tellers)


def house(desk: Desk, chosen: Settings) -> ASGIApp:
    """Put doors around a desk, and before them the layer that denies by default."""
    app = Gatehouse(
        title="Lockgate",
        version=lockgate.__version__,
        openapi_url="/openapi.json",
        docs_url=None,  # its page loads programs from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_beside(desk),
    )
    app.state.desk = desk
    app.state.uploads = anyio.CapacityLimiter(UPLOADS)
    answer_errors(app)
    hang(app)
    return DefaultDeny(
        LeaseDoor(app, desk),
        lambda token: desk.sessions.find(token, desk.clock()),
        desk.meters.request,
        hosts=chosen.hosts,
        limits=Limits(blob=chosen.blob_limit),
    )


class Server(uvicorn.Server):
    """A server that lets its listeners go before it waits for what is still asked."""

    def __init__(self, chosen: uvicorn.Config, desk: Desk) -> None:
        super().__init__(chosen)
        self._desk = desk

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End (uvicorn)."""
        self._desk.herald.close()
        await super().shutdown(sockets)


def serve(home: Path) -> None:
    """Serve the installation in `home` until a signal ends it."""
    chosen = settings(home)
    host, port = listening(chosen.listen, secured=chosen.tls is not None)
    context = server_context(chosen.tls) if chosen.tls else None
    heard, asked = channels(chosen), measurements(chosen)
    signal.signal(signal.SIGTERM, _leave)  # uvicorn gives the signal back when it is done
    with suppress(KeyboardInterrupt), bound(host, port) as door, running(chosen) as installation:
        desk = furnish(installation, chosen, channels=heard, measurements=asked)
        Server(config(house(desk, chosen), context), desk).run(sockets=[door])


def config(app: ASGIApp, context: ssl.SSLContext | None) -> uvicorn.Config:
    """Say how `app` is served: over TLS if there is a context for it."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        http=Patient,
        ws="none",
        ssl_context_factory=None if context is None else lambda *_: context,
        timeout_graceful_shutdown=_PARTING,
    )


def bound(host: str, port: int) -> socket.socket:
    """Take the address before anything is started; nobody is let in before the server listens."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    door = socket.socket(family, kind, protocol)  # without it asyncio leaves Nagle's algorithm on: 40 ms an answer
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED * 1000)  # of every connection
        door.bind(address)
    except OSError as e:
        door.close()
        raise UnavailableError(f"cannot listen at {host}:{port}: {e.strerror}") from e
    return door


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _beside(desk: Desk) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Make what runs beside the requests: heads are signed, hosts learn and hear, people are told, rules act."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        ended = threading.Event()
        threads = [
            threading.Thread(target=keep_watch, args=(desk.installation, ended), name="watch", daemon=True),
            threading.Thread(target=desk.herald.follow, args=(ended,), name="herald", daemon=True),
            threading.Thread(target=desk.rollouts.follow, args=(ended,), name="rollouts", daemon=True),
            threading.Thread(target=desk.breakers.follow, args=(ended,), name="breakers", daemon=True),
            threading.Thread(target=desk.concessions.follow, args=(ended,), name="concessions", daemon=True),
            threading.Thread(target=desk.targets.follow, args=(ended,), name="targets", daemon=True),
            threading.Thread(target=keep_fresh, args=(desk, ended), name="updates", daemon=True),
            *(threading.Thread(target=teller.follow, args=(ended,), daemon=True) for teller in desk.tellers),
        ]
        for thread in threads:
            thread.start()
        yield
        ended.set()
        for thread in threads:
            thread.join(timeout=_PARTING)
        for teller in desk.tellers:
            teller.end()

    return lifespan


def keep_fresh(desk: Desk, ended: threading.Event) -> None:
    """Publish what hosts follow whenever the log has grown or half the life of the last timestamp is over."""
    installation, life = desk.installation, desk.updates_life
    published, complaint = None, ""
    while True:
        try:
            state = (installation.history.size(), period_of(utc_now(), life))
            if state != published:
                publish_updates(installation, utc_now(), life)
                desk.herald.published(state[0])
                published, complaint = state, ""
        except LockgateError as e:
            if str(e) != complaint:
                _log.warning("hosts are not told what is in force: %s", e)
            complaint = str(e)
        if ended.wait(_PULSE):
            return


def keep_watch(installation: Installation, ended: threading.Event) -> None:
    """Compare the log with what the signer remembers, and have it signed when it has grown, until `ended`."""
    signed, complaint = -1, ""
    while not ended.wait(_PULSE):
        try:
            size = installation.watch.look().size
            if size != signed:
                publish_checkpoint(installation)
                signed, complaint = size, ""
        except LockgateError as e:
            if str(e) != complaint and installation.watch.frozen is None:  # else the watch has said so
                _log.warning("no checkpoint: %s", e)
            complaint = str(e)
