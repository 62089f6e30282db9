"""What does Envoy say of itself? Its counters and its listeners, read at a socket that only we can reach.

Requests and failures are those of the host that answered, whichever cluster was asked. Latencies are those of the
cluster that was asked: Envoy has no others. A release has up to two of each: by itself, and while it is tried.
"""

import http.client
import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lockgate.core.report import BOUNDS, BUCKETS, Counts
from lockgate.drivers.envoy.bootstrap import ADMIN_SOCKET
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

_PATIENCE = 5.0
_HOSTS = re.compile(r"([a-z0-9-]+/[a-z0-9-]+)/([0-9a-f]{64})(?:/(try|named))?")
_TIMES = re.compile(r"cluster\.([a-z0-9-]+)\.([a-z0-9-]+)\.([0-9a-f]{64})(\.or-stable)?\.upstream_rq_time")
_TIMES_FILTER = r"^cluster\.[^.]+\.[^.]+\.[0-9a-f]{64}(\.or-stable)?\.upstream_rq_time$"
_RECORDS = "access_logs.grpc_access_log"
_RECORDS_FILTER = rf"^{_RECORDS}\."
_RECORD_STATS = ("logs_written", "logs_dropped", "grpc_entries_flush_failed")

_NONE = (0,) * BUCKETS
TRY, BY_NAME = "try", "named"

Key = tuple[Endpoint, Digest, str]  # how it was asked: by its share, or `named`; or `try`, and stable stands in


@dataclass(frozen=True, slots=True)
class AdminSocket:
    """The admin interface of the Envoy in `folder`."""

    folder: Path

    def is_ready(self) -> bool:
        """Ask whether it has begun to listen."""
        try:
            return self._get("/ready").strip() == b"LIVE"
        except UnavailableError:
            return False

    def listeners(self) -> set[str]:
        """Name the listeners that it has."""
        said = json.loads(self._get("/listeners?format=json"))
        return {status["name"] for status in said.get("listener_statuses", [])}

    def counts(self) -> dict[Key, Counts]:
        """Read what every release has answered since this Envoy, or its place in it, began."""
        answered = dict(_answered(json.loads(self._get("/clusters?format=json"))))
        asked = f"/stats?format=json&histogram_buckets=disjoint&type=Histograms&filter={quote(_TIMES_FILTER, safe='')}"
        took = dict(_took(json.loads(self._get(asked))))
        return {key: Counts(*both, took.get(key, _NONE), {}) for key, both in answered.items()}

    def records(self) -> tuple[int, int]:
        """Read how many records of answers it has written, and how many of them it has lost."""
        said = json.loads(self._get(f"/stats?format=json&filter={quote(_RECORDS_FILTER, safe='')}"))
        stats = {str(stat.get("name")): int(str(stat.get("value", 0))) for stat in _listed(said, "stats")}
        written, *lost = (stats.get(f"{_RECORDS}.{name}", 0) for name in _RECORD_STATS)
        return written, sum(lost)

    def _get(self, path: str) -> bytes:
        caller = _Connection(self.folder / ADMIN_SOCKET)
        try:
            caller.request("GET", path, headers={"host": "envoy"})
            answer = caller.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise UnavailableError(f"Envoy does not tell about itself: {e}") from e
        finally:
            caller.close()
        if answer.status != http.HTTPStatus.OK and path != "/ready":
            raise UnavailableError(f"Envoy does not tell about itself: status {answer.status}")
        return said


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE)
        self.sock.connect(str(self._path))


def _answered(said: Mapping[str, object]) -> Iterator[tuple[Key, tuple[int, int]]]:
    """Find requests and failures."""
    for cluster in _listed(said, "cluster_statuses"):
        found = _HOSTS.fullmatch(str(cluster.get("name")))
        for host in _listed(cluster, "host_statuses") if found else ():
            assert found is not None
            stats = {str(stat.get("name")): int(str(stat.get("value", 0))) for stat in _listed(host, "stats")}
            well, badly = stats.get("rq_success", 0), stats.get("rq_error", 0)
            yield (Endpoint.parse(found[1]), Digest(found[2]), found[3] or ""), (well + badly, badly)


def _took(said: Mapping[str, object]) -> Iterator[tuple[Key, tuple[int, ...]]]:
    """Find latencies; Envoy does not tell how many took longer than the last bound."""
    histograms = (each for stat in _listed(said, "stats") for each in _listed(stat, "histograms"))
    for histogram in histograms:
        if found := _TIMES.fullmatch(str(histogram.get("name"))):
            buckets = _listed(histogram, "buckets")
            by_bound = {round(1000 * float(str(each["upper_bound"]))): int(str(each["cumulative"])) for each in buckets}
            key = (Endpoint.parse(f"{found[1]}/{found[2]}"), Digest(found[3]), TRY if found[4] else "")
            yield key, (*(by_bound.get(bound, 0) for bound in BOUNDS), 0)


def _listed(said: Mapping[str, object], name: str) -> Iterator[Mapping[str, object]]:
    found = said.get(name)
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, dict))
