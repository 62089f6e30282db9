"""What does the agent of a host hold? Its key, its rules, its orders, its runs, and the way to the server.

Everything else in this package takes a `Node`: `renewing` asks for leases, `obeying` carries out orders, `attending`
does what is to be done now and then, `routing` feeds the gateway, `tethering` grants and cuts what runs may hold,
`control_socket` and `order_door` let others in.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lockgate.agent.grant_book import GrantBook
from lockgate.agent.holdings import Holdings
from lockgate.agent.routing import Routing
from lockgate.agent.tethers import Tethers
from lockgate.core.passport import Admission
from lockgate.errors import LockgateError, UnavailableError
from lockgate.formats.names import Endpoint
from lockgate.host_wiring import Site, open_bindings
from lockgate.loader.host import Host, open_host
from lockgate.loader.opening import connect, judge_endpoint
from lockgate.loader.order_book import OrderBook

QUICK_SECONDS = 3.0  # that a server may take for leases: after that it is asked again
_SETTINGS = ("host.toml", "root.json")


@dataclass
class Node:
    """The agent of one host."""

    home: Path
    tell: Callable[[str], None]
    control: str | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    holdings: Holdings = field(default_factory=Holdings)
    trouble: dict[str, str] = field(default_factory=dict)
    wake: threading.Event = field(default_factory=threading.Event)  # leases are to be asked for now
    hint: threading.Event = field(default_factory=threading.Event)  # and so is what is in force
    ending: threading.Event = field(default_factory=threading.Event)
    heard_at: datetime | None = None
    edition: int = 0  # counts how often the rules changed that this host judges by
    routing: Routing | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._settings = self._stamp()
        try:  # orders are to be obeyed at once, whether or not the server is there, and however long it takes
            self._host = open_host(self.home, datetime.now(UTC), asking=False)
        except UnavailableError:
            self._host = open_host(self.home, datetime.now(UTC))
        self.orders = OrderBook(self._host, datetime.now(UTC))
        known = open_bindings(Site(self.home, self._host.node, self._host.key))
        self.tethers = Tethers(known, GrantBook(self.home / "bindings"))
        self.connection = connect(self._host)
        self.quick = connect(self._host)
        self.quick.patience = QUICK_SECONDS

    @property
    def host(self) -> Host:
        """The host as its files say now; as they said before, with a word about it, if they say nothing good."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._settings:
                self._settings = stamp
                try:
                    self._judge_by(open_host(self.home, datetime.now(UTC), asking=False))
                    self.fine("settings")
                except LockgateError as e:
                    self.worry("settings", f"the settings were changed, and are not used: {e}")
            return self._host

    def learn(self) -> bool:
        """Learn what is in force and what is revoked; tell whether that could be learnt."""
        try:
            host = open_host(self.home, datetime.now(UTC))
        except LockgateError as e:
            self.worry("rules", f"what is in force cannot be learnt: {e}")
            return False
        with self._lock:
            self._judge_by(host)
        self.fine("rules")
        return True

    def judge(self, endpoint: Endpoint, *, candidate: bool = False) -> Admission:
        """Fetch and judge what should serve at an endpoint, or its candidate, while orders may shut it."""
        if self.host.update.fresh_until <= datetime.now(UTC):
            self.learn()
        return judge_endpoint(self.host, endpoint, self.connection, self.orders, candidate=candidate)

    def session(self) -> str:
        """Open a session with the server; return its token."""
        return self.connection.open_session()

    def check_trusted_log(self) -> None:
        """Raise `UnavailableError` while the server shows a log that is not the one that this host has seen."""
        if found := self.trouble.get("log"):
            raise UnavailableError(f"no lease is asked for: {found}")

    def heard(self) -> None:
        """Note that the server answers."""
        self.heard_at = datetime.now(UTC)
        self.fine("server")

    def worry(self, about: str, what: str) -> None:
        """Say once that something is wrong; it stands in the status until it is fine again."""
        if self.trouble.get(about) != what:
            self.trouble[about] = what
            self.tell(what)

    def fine(self, about: str) -> None:
        """Say that it is not wrong any more."""
        if self.trouble.pop(about, None) is not None:
            self.tell(f"{about}: fine again")

    def _judge_by(self, host: Host) -> None:
        if not host.update.says_the_same(self._host.update):
            self.edition += 1
        self._host = host

    def _stamp(self) -> Sequence[tuple[int, int, int]]:
        found = []
        for name in _SETTINGS:
            try:
                file = (self.home / name).stat()
            except OSError:
                continue
            found.append((file.st_ino, file.st_mtime_ns, file.st_size))
        return found


def boot_now() -> int:
    """Read CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
