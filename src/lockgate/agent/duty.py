"""How does the agent of a host begin and end its duty? One for each home; a signal ends it.

    host.toml    control = "127.0.0.1:8422"      where it takes orders; "" for nowhere
                 control_url = "https://…"       how others reach that, if not by the same address
                 tls_clients = "clients.pem"     who may give orders at all, besides being known by an intent
                 runner = "models"               the user that runs models here, if not the agent's own
                 gateway = "127.0.0.1:8421"      where requests to endpoints come in; "" for no gateway
                 report_seconds = 1              how often the server is told what was counted there

Runs go on when it ends: each has its deadline, and hands itself over to the agent that is started next. The gateway
does not: what goes through it is cut.
"""

import fcntl
import os
import resource
import signal
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lockgate.agent import control_socket
from lockgate.agent.attending import attend_until_the_end, learn_until_the_end, listen_until_the_end
from lockgate.agent.halting import halt_until_the_end
from lockgate.agent.node import Node
from lockgate.agent.obeying import obey
from lockgate.agent.order_door import OrderDoor
from lockgate.agent.presences import tell_presence_until_the_end
from lockgate.agent.renewing import renew_until_the_end
from lockgate.agent.reporting import report_until_the_end
from lockgate.agent.routing import Routing
from lockgate.agent.tethering import duties as binding_duties
from lockgate.agent.tethering import let_go
from lockgate.agent.tying import tell_ties_until_the_end
from lockgate.core.lease import check_control
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.one_line import one_line
from lockgate.host_wiring import check_gateway, open_gateway
from lockgate.loader.tls import Tls, listening, server_context

CONTROL = "127.0.0.1:8422"
REPORT_SECONDS, LONGEST_REPORT_SECONDS = 1, 60
_TEXTS = ("control", "control_url", "runner", "tls_clients", "gateway")
_LOOK_SECONDS = 0.25
_PULSE_SECONDS = 60
_SWITCH_SECONDS = 0.0005  # who cuts waits for no thread that counts


@dataclass(frozen=True, slots=True)
class Settings:
    """What host.toml says of the agent."""

    control: str = CONTROL
    control_url: str | None = None
    runner: str | None = None
    tls_clients: str | None = None
    gateway: str | None = None
    report_seconds: int = REPORT_SECONDS


def serve(home: Path, *, insecure: bool, gateway: str | None = None, tied: bool = False) -> None:
    """Be the agent of `home` until a signal comes, or `tied`, until whoever holds standard input is gone.

    With a `gateway` at this address, unless host.toml says where, or that there is none.
    """
    chosen = read_settings(home)
    chosen = replace(chosen, gateway=gateway if chosen.gateway is None else chosen.gateway)
    ending = _ending(tied=tied)
    with ExitStack() as leaving:
        leaving.enter_context(_alone(home))
        node = Node(home, tell, ending=ending)
        threading.stack_size(512 << 10)  # one thread for each run, and none goes deep
        _have_descriptors()
        sys.setswitchinterval(_SWITCH_SECONDS)
        _take_orders(node, chosen, leaving, insecure=insecure)
        duties = _have_gateway(node, chosen, leaving)
        leaving.callback(node.tethers.close)
        let_go(node)
        door = leaving.enter_context(control_socket.opened(node, chosen.runner))
        for duty in (
            partial(renew_until_the_end, node),
            partial(attend_until_the_end, node),
            partial(halt_until_the_end, node),
            partial(learn_until_the_end, node),
            partial(listen_until_the_end, node),
            partial(control_socket.let_in, node, door, chosen.runner),
            *duties,
            *binding_duties(node),
            partial(tell_ties_until_the_end, node),
            partial(tell_presence_until_the_end, node),
        ):
            threading.Thread(target=_whole, args=(node, duty), daemon=True).start()
        tell(f"the agent of {node.host.node} for {node.host.trust.document.environment} is ready")
        while not ending.wait(_PULSE_SECONDS):
            continue
        leaving.callback(tell, "ended; what runs goes on until its lease is over")


def _ending(*, tied: bool) -> threading.Event:
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    if tied:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us

        def watch() -> None:
            while os.read(sys.stdin.fileno(), 1):
                continue
            ending.set()

        threading.Thread(target=watch, name="tie", daemon=True).start()
    return ending


def read_settings(home: Path) -> Settings:
    """Read what host.toml says of the agent."""
    try:
        chosen = tomllib.loads((home / "host.toml").read_text())
    except OSError as e:
        raise UnavailableError(f"this is no serving host yet: {e.filename}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VerificationError(f"{home / 'host.toml'} is not TOML: {e}") from e
    found = {name: chosen[name] for name in _TEXTS if name in chosen}
    for name, value in found.items():
        if not isinstance(value, str):
            raise VerificationError(f"{home / 'host.toml'}: {name} is not text")
    seconds = chosen.get("report_seconds", REPORT_SECONDS)
    if type(seconds) is not int or not 1 <= seconds <= LONGEST_REPORT_SECONDS:
        raise VerificationError(f"{home / 'host.toml'}: report_seconds is 1 to {LONGEST_REPORT_SECONDS}")
    settings = Settings(**found, report_seconds=seconds)
    check_control(settings.control_url)
    return settings


def tell(line: str) -> None:
    """Say what happened, one line each."""
    sys.stderr.write(f"lockgate agent: {one_line(line)}\n")
    sys.stderr.flush()


def _have_descriptors() -> None:
    """Take as many descriptors as there may be: all doors of the agent share them with its way to the server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _take_orders(node: Node, chosen: Settings, leaving: ExitStack, *, insecure: bool) -> None:
    """Open the control address, if it is to be open; say so if it is not."""
    if not chosen.control:
        tell("takes no orders: control is empty, so a shutdown reaches this host by way of the server only")
        return
    tls = _answering(node, chosen)
    if tls is None and not insecure:
        tell("takes no orders: that needs tls_certificate and tls_key, or --insecure on a loopback address")
        return
    at = listening(chosen.control, secured=tls is not None)
    door = leaving.enter_context(OrderDoor(at, partial(obey, node), server_context(tls) if tls else None))
    leaving.callback(door.shutdown)
    node.control = chosen.control_url or f"{'https' if tls else 'http'}://{chosen.control}"
    threading.Thread(target=door.serve_forever, args=(_LOOK_SECONDS,), name="orders", daemon=True).start()
    tell(f"takes orders at {node.control}")


def _have_gateway(node: Node, chosen: Settings, leaving: ExitStack) -> tuple[partial[None], ...]:
    """Make ready for the gateway, if there is to be one; return the duties that come with it."""
    if not chosen.gateway:
        return ()
    address = check_gateway(chosen.gateway)
    node.routing = Routing(node, str(address), partial(open_gateway, node.home, address))
    leaving.callback(node.routing.close)
    return (partial(node.routing.route_until_the_end), partial(report_until_the_end, node, chosen.report_seconds))


def _answering(node: Node, chosen: Settings) -> Tls | None:
    """Answer with the certificate that the host shows everywhere; with `tls_clients`, only to whom they vouch for."""
    shown = node.host.tls
    if shown is None or shown.certificate is None:
        return None
    return Tls(shown.certificate, shown.key, node.home / chosen.tls_clients if chosen.tls_clients else None)


def _whole(node: Node, duty: partial[None]) -> None:
    """Do a duty; an agent that lost one of them ends, rather than seem to be whole."""
    try:
        duty()
    finally:
        if not node.ending.is_set():
            tell("a duty ended by itself: so does the agent")
            os._exit(1)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Be the only agent of this home."""
    try:
        lock = os.open(home / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise UnavailableError(f"no agent can live in {home}: {e.strerror}") from e
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as e:
        raise ConflictError(f"{home} has an agent already") from e
    finally:
        os.close(lock)
