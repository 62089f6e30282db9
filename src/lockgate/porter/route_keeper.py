"""How do the routes of a cluster follow what may serve? Judged, leased and shown, again and again.

    each look:  passports ──judge──▶ admissions ──leases──▶ weights ──show──▶ routes
                     └─ denied: cut          └─ refused: cut       nobody answers: what was shown ends with its lease

It remembers what it showed last, and nothing else. When it is gone the routes stay, because a cluster forgets nothing:
so it is kept alive by the cluster, and takes away what it has no lease for as soon as it is back (decision 0031),
also if nobody answers it, or nobody whom it believes.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from lockgate.app.ports import Gateway
from lockgate.core.passport import Admission
from lockgate.core.traffic import WHOLE, Address, Route, Traffic
from lockgate.errors import LockgateError, UnavailableError
from lockgate.formats.names import Endpoint
from lockgate.host_wiring import cluster_gateway
from lockgate.loader.connection import Connection
from lockgate.loader.host import Host, open_host
from lockgate.loader.lease_clock import NANOSECONDS, Held
from lockgate.loader.leasing import Asker, ask_leases, claim_of
from lockgate.loader.opening import connect, judge_endpoint

_LOOK_SECONDS = 2.0
_log = logging.getLogger(__name__)


@dataclass
class RouteKeeper:
    """The routes of some endpoints, and what they were shown last."""

    home: Path
    endpoints: Sequence[Endpoint]
    gateway: Gateway
    tell: Callable[[str], None]
    _shown: dict[Endpoint, Traffic] = field(default_factory=dict)
    _fences: "count[int]" = field(default_factory=lambda: count(1))

    def look(self) -> None:
        """Show what is true now; cut what is denied. Raises if the cluster does not do it."""
        fence = next(self._fences)
        wanted = {endpoint: self._kept(endpoint) for endpoint in self.endpoints}
        try:
            wanted |= self._true_now()
        except LockgateError as e:
            self.tell(f"nobody says what may serve: {e}")
        for endpoint, traffic in wanted.items():
            before = self._shown.get(endpoint)
            if before is not None and before.routes and not traffic.routes:
                self._cut(endpoint, fence)
                fence = next(self._fences)
        self._shown = wanted
        self.gateway.show(tuple(wanted.values()), fence=fence)

    def keep_until(self, ended: threading.Event) -> None:
        """Look again and again, whatever happens."""
        while not ended.is_set():
            try:
                self.look()
            except LockgateError as e:
                self.tell(f"the routes are not what they should be: {e}")
            ended.wait(_LOOK_SECONDS)

    def _cut(self, endpoint: Endpoint, fence: int) -> None:
        """Cut an endpoint; what fails there holds up no other, and is shown to end right after."""
        try:
            self.gateway.cut(endpoint, fence=fence)
        except LockgateError as e:
            self.tell(f"{endpoint} is not cut: {e}")

    def _kept(self, endpoint: Endpoint) -> Traffic:
        """Take what was shown, without what is over."""
        before = self._shown.get(endpoint, Traffic(endpoint, ()))
        left = tuple(each for each in before.routes if each.until_ns > time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        return Traffic(endpoint, left)

    def _true_now(self) -> Mapping[Endpoint, Traffic]:
        host = open_host(self.home, datetime.now(UTC))
        connection = connect(host)
        judged = [found for each in self.endpoints for found in self._judged(host, connection, each)]
        leases = ask_leases(Asker(host, "sealed"), [claim_of(each) for each in judged], connection) if judged else {}
        held: dict[Endpoint, list[tuple[Admission, Held]]] = {endpoint: [] for endpoint in self.endpoints}
        for admission in judged:
            lease = leases[claim_of(admission)]
            if isinstance(lease, Held):
                held[admission.permit.endpoint].append((admission, lease))
            else:  # refused, or something else serves there since it was judged: the next look judges that
                self.tell(f"{admission.permit.release.manifest.tag}: {lease}")
        places = count(1)
        return {endpoint: _traffic(endpoint, found, places) for endpoint, found in held.items()}

    def _judged(self, host: Host, connection: Connection, endpoint: Endpoint) -> list[Admission]:
        found = []
        for candidate in (False, True):
            try:
                found.append(judge_endpoint(host, endpoint, connection, candidate=candidate))
            except UnavailableError:
                raise
            except LockgateError as e:
                if not candidate:
                    self.tell(f"{endpoint}: {e}")
        return found


def _traffic(endpoint: Endpoint, found: Sequence[tuple[Admission, Held]], places: "count[int]") -> Traffic:
    """Give a candidate its weight, and the stable release the rest: by the smaller word, where two leases differ."""
    tried = min((lease.weight for _, lease in found if lease.candidate), default=0)
    usual = WHOLE - tried if any(lease.candidate for _, lease in found) else WHOLE
    routes = tuple(_route(admission, lease, tried if lease.candidate else usual, places) for admission, lease in found)
    return Traffic(endpoint, routes)


def _route(admission: Admission, lease: Held, weight: int, places: "count[int]") -> Route:
    """Write a route; in a cluster the name of a service stands for the address, which only has to differ."""
    release, grace = admission.permit.release, admission.permit.rules.lease.grace
    address = Address("127.0.0.1", next(places))
    return Route(release.digest, release.manifest.tag, address, weight, lease.deadline_ns + grace * NANOSECONDS)


def main() -> None:
    """Keep the routes of a cluster until a signal ends it; they are cut at the end."""
    parser = argparse.ArgumentParser(prog="lockgate.porter.route_keeper")
    parser.add_argument("home", type=Path)
    parser.add_argument("--endpoint", type=Endpoint.parse, action="append", required=True)
    for name in ("--api", "--gateway", "--models"):
        parser.add_argument(name, required=True)
    parser.add_argument("--account", type=Path, required=True)
    parser.add_argument("--kserve", action="store_true")
    wanted = parser.parse_args()
    logging.basicConfig(format="lockgate routes: %(message)s", level=logging.INFO)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    said: set[str] = set()

    def tell(line: str) -> None:
        if line not in said:
            _log.info("%s", line)
        said.add(line)

    gateway = cluster_gateway(wanted.api, wanted.account, wanted.models, wanted.gateway, tell, kserve=wanted.kserve)
    try:
        RouteKeeper(wanted.home, wanted.endpoint, gateway, tell).keep_until(ended)
    finally:
        gateway.close()


if __name__ == "__main__":
    try:
        main()
    except LockgateError as e:
        sys.stderr.write(f"the routes are not kept: {e}\n")
        sys.exit(e.exit_code)
