"""How much is asked here, and how is it answered? Counters in the Prometheus text format (version 0.0.4)."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS = {
    "lockgate_http_requests_total": "HTTP requests by route and status.",
    "lockgate_denials_total": "Requests that the rules refused, by act.",
    "lockgate_leases_total": "Leases asked for, by answer.",
}
_Labels = tuple[tuple[str, str], ...]


class Meters:
    """The counters of one server. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, _Labels]] = Counter()

    def request(self, method: str, route: str, status: int) -> None:
        """Count a request that was answered."""
        self._add("lockgate_http_requests_total", 1, method=method, route=route, status=str(status))

    def denial(self, act: str) -> None:
        """Count a denial."""
        self._add("lockgate_denials_total", 1, act=act)

    def leases(self, granted: int, refused: int) -> None:
        """Count what a lease request was answered."""
        self._add("lockgate_leases_total", granted, answer="granted")
        self._add("lockgate_leases_total", refused, answer="refused")

    def render(self, gauges: Mapping[str, tuple[str, int]]) -> str:
        """Write everything down: `gauges`, each with what it tells, and the counters."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines = []
        for name, (text, value) in gauges.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value}"]
        for name, text in _COUNTERS.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
            lines += _samples(name, counts)
        return "\n".join(lines) + "\n"

    def _add(self, name: str, count: int, **labels: str) -> None:
        with self._lock:
            self._counts[name, tuple(labels.items())] += count


def _samples(name: str, counts: list[tuple[tuple[str, _Labels], int]]) -> Iterator[str]:
    for (found, labels), count in counts:
        if found == name:
            written = ",".join(f'{label}="{_escape(value)}"' for label, value in labels)
            yield f"{name}{{{written}}} {count}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
