"""How soon does a cluster know what may serve, and how soon do we know that somebody else changed it?

Against a real API server and etcd, which `KUBE_APISERVER` and `ETCD` name. Nothing of the cluster but these two runs.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from lockgate.drivers.kserve import Place, open_gateway
from tests.calling import ENDPOINT, free_address, split, until
from tests.kube import API_SERVER, ETCD, ApiServer

COMMAND = "make bench ARGS=kserve, with KUBE_APISERVER and ETCD"
SHOWN, EDITED = 300, 20
AT_MOST_MS, DRIFT_SECONDS = 50, 10


class Usual:
    address = free_address()


class Tried:
    address = free_address()


def rows():
    if not (API_SERVER and ETCD):
        return [row("server-side apply to a real API server", "not measured: no API server here", "", ok=None)]
    with tempfile.TemporaryDirectory() as folder, ApiServer(Path(folder)) as server:
        server.install("models")
        place = Place("models", "gate", "ingress")
        routes = open_gateway(server.ours, place, confirm=False)
        applied = [measured(lambda n=n: routes.show([split(Usual, Tried, n % 101)], fence=n + 1)) for n in range(SHOWN)]
        cuts = []
        for number in range(EDITED):
            routes.show([split(Usual, Tried, 10)], fence=SHOWN + 2 * number + 1)
            cuts.append(measured(lambda n=number: routes.cut(ENDPOINT, fence=SHOWN + 2 * n + 2)))
        seen = [drift(server, routes, place, SHOWN + 2 * (EDITED + n) + 1) for n in range(EDITED)]
        routes.close()
    worst, edge = max(seen), quantiles(applied, n=100)[98]
    return [
        row(
            f"{SHOWN} changes of weight, each applied by server-side apply to a real API server",
            f"median {median(applied):.1f} ms, p99 {edge:.1f} ms, most {max(applied):.1f} ms",
            f"median at most {AT_MOST_MS} ms",
            ok=median(applied) <= AT_MOST_MS,
        ),
        row(
            f"{EDITED} cuts: a route to nobody stands at the API server",
            f"median {median(cuts):.1f} ms, most {max(cuts):.1f} ms",
            f"at most {AT_MOST_MS} ms",
            ok=max(cuts) <= AT_MOST_MS,
        ),
        row(
            f"{EDITED} foreign edits of a route: edited → seen as drift",
            f"median {median(seen):.1f} ms, most {worst:.1f} ms",
            f"at most {DRIFT_SECONDS} s",
            ok=worst <= DRIFT_SECONDS * 1000,
        ),
    ]


def drift(server, routes, place, fence):
    routes.cut(ENDPOINT, fence=fence)
    path = place.path_of(ENDPOINT)
    server.ours.delete(path)
    routes.show([split(Usual, Tried, 10)], fence=fence + 1)
    before, change = len(routes.drifts), json.dumps({"spec": {"hostnames": [f"x{fence}.example"]}})
    begun = time.monotonic()
    status, _ = server.ask("PATCH", path, change, "application/merge-patch+json")
    assert status == 200
    until(lambda: len(routes.drifts) > before)
    return (time.monotonic() - begun) * 1000


def measured(act):
    begun = time.monotonic()
    act()
    return (time.monotonic() - begun) * 1000


def row(what, figure, must, *, ok):
    return {"what": what, "figure": figure, "must": must, "ok": ok, "command": COMMAND}
