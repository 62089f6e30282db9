"""How many hosts can one server process keep serving? Lease renewals a second, and what one costs.

A real server process (`python -m lockgate.server`) with its signer, on its own PostgreSQL on the disk. The load comes
from another process over loopback, over connections that are kept: requests that different nodes have signed before,
each with a nonce of its own. Every answer is read; some are verified afterwards, with the clock stopped. The rates
are those of a shared machine; the CPU seconds of the server process say more.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.rights import Role
from lockgate.drivers.embedded_postgres import APP, EmbeddedPostgres
from lockgate.drivers.postgres import Postgres, migrate
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.wiring import create
from tests import world as worlds
from tests.live.test_server import running

COMMAND = "python -m bench leases"
NODES = 128
CONNECTIONS = 64
SECONDS = float(os.environ.get("LOCKGATE_BENCH_SECONDS", "4"))
BATCHES = (1, 16, 200)
MUST = 1500
TICKS = os.sysconf("SC_CLK_TCK")


def rows():
    """Measure; each row says what was found, what it must be, and how to find it again."""
    home = Path(tempfile.mkdtemp(prefix="lockgate-leases-"))
    home.chmod(0o755)
    try:
        trust, wants = _prepare(home / "home")
        with running(home / "home") as (url, server):
            return [row for count in BATCHES for row in _measured(url, server.pid, trust, wants[:count])]
    finally:
        EmbeddedPostgres(home / "home").stop()
        shutil.rmtree(home, ignore_errors=True)


def _prepare(home):
    """Make an installation of many nodes with one release that serves, and others that nobody may."""
    worlds.PEOPLE.update({f"node-{number}": (Role.AGENT,) for number in range(NODES)})
    create(home, Name("prod"), worlds.trust().origin)
    for name in ("vsa", "lease", "export", "checkpoint"):
        (home / "keys" / f"{name}.pem").write_bytes(worlds.key(f"prod-{name}").pem)
    (home / "keys" / "tuf-online.pem").write_bytes(worlds.key("prod-updates").pem)
    postgres = EmbeddedPostgres(home)
    migrate(postgres.start())
    log = Postgres(postgres.conninfo(APP), worlds.trust().origin)
    world = worlds.World(log=log)
    world.now = datetime.now(UTC)
    release = world.serve()
    log.close()
    others = (Want(Endpoint.parse(f"prod/e{number}"), Digest.of(b"x")) for number in range(max(BATCHES)))
    return world.trust, (Want(worlds.PROD, release.digest), *others)


def _measured(url, pid, trust, wants):
    requests = [_request(number, wants) for number in range(NODES * 8)]
    with _load(url, requests, wants) as told:
        before = _cpu(pid)
        started = time.perf_counter()
        answers, seconds = told()
        assert time.perf_counter() - started >= SECONDS
        cpu = _cpu(pid) - before
    for place, document in answers["sample"]:
        grant = open_grant(document.encode(), requests[place][0], trust, datetime.now(UTC))
        assert len(grant.granted) == 1 and len(grant.refused) == len(wants) - 1
    count = answers["count"]
    rate, cost = count / seconds, cpu / count * 1e6
    what = "one want a request" if len(wants) == 1 else f"{len(wants)} wants a request"
    figure = f"{rate * len(wants):,.0f} renewals/s, {rate:,.0f} requests/s; {cost:,.0f} µs CPU a request"
    figure += f", {cost / len(wants):,.1f} µs a renewal: one core holds {1e6 / cost * len(wants):,.0f}/s"
    must = f"at least {MUST:,} renewals/s"
    return [{"what": f"lease renewals, {what}", "figure": figure, "must": must, "ok": rate * len(wants) >= MUST,
             "command": COMMAND}]  # fmt: skip


def _request(number, wants):
    name = f"node-{number % NODES}"
    request = Request(Name(name), f"{number:032x}", wants, "sealed")
    return request, sign_request(request, worlds.key(name))


def _cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def _load(url, requests, wants):
    """Start the process that makes the load; give what lets it begin and returns what it found."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([document.decode() for _, document in requests], file)
        file.flush()
        command = [sys.executable, "-m", "bench.leases", url, file.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdout.readline() == "ready\n"

            def told():
                started = time.perf_counter()
                load.stdin.write("go\n")
                load.stdin.flush()
                return json.loads(load.stdout.readline()), time.perf_counter() - started

            yield told


async def _drive(url, documents):
    """Keep every connection busy until the time is over."""
    host, port = url.removeprefix("http://").split(":")
    open_ones = [await asyncio.open_connection(host, int(port)) for _ in range(CONNECTIONS)]
    heads = [
        f"POST /api/v1/leases HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(document)}\r\n\r\n".encode()
        + document.encode()
        for document in documents
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    ends = time.perf_counter() + SECONDS
    sample, counts = [], [0] * CONNECTIONS

    async def caller(number):
        reader, writer = open_ones[number]
        place = number
        while time.perf_counter() < ends:
            writer.write(heads[place])
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if len(sample) < 500:
                sample.append((place, body.decode()))
            counts[number] += 1
            place = (place + CONNECTIONS) % len(heads)

    await asyncio.gather(*(caller(number) for number in range(CONNECTIONS)))
    print(json.dumps({"count": sum(counts), "sample": sample}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        import uvloop

        uvloop.run(_drive(sys.argv[1], json.loads(Path(sys.argv[2]).read_text())))
    else:
        for found in rows():
            print(f"{'ok  ' if found['ok'] else 'MISS'} {found['what']}: {found['figure']} ({found['must']})")
