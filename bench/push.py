"""How soon has the last host heard of a shutdown? From the sending of the order to the word on every line.

A real server process with its signer, on its own PostgreSQL on the disk, and another process that holds all lines over
loopback. The order is signed before the clock runs; the clock includes its way, the commit, the signing of the head,
and the sending. Each host would ask for its lease next, which the figures of `leases` say.
"""

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.leases import _cpu, _prepare
from lockgate.drivers.embedded_postgres import EmbeddedPostgres
from tests.live.test_server import running, speak
from tests.world import PROD

COMMAND = "python -m bench push"
LINES, NODES = 1000, 125
ROUNDS = 20
MUST = 0.5


def rows():
    """Measure; each row says what was found, what it must be, and how to find it again."""
    home = Path(tempfile.mkdtemp(prefix="lockgate-push-"))
    home.chmod(0o755)
    try:
        _prepare(home / "home")
        with running(home / "home") as (url, server):
            return _measured(url, server.pid)
    finally:
        EmbeddedPostgres(home / "home").stop()
        shutil.rmtree(home, ignore_errors=True)


def _measured(url, pid):
    tokens = [speak(url, f"node-{number}").open_session() for number in range(NODES)]
    before = _memory(pid)
    command = [sys.executable, "-m", "bench.push", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listening:
        print(json.dumps(tokens), file=listening.stdin, flush=True)
        assert listening.stdout.readline() == "listening\n"
        grown = _memory(pid) - before
        cpu = _cpu(pid)
        time.sleep(10)
        idle = (_cpu(pid) - cpu) / 10
        cpu = _cpu(pid)
        found = [_round(url, listening) for _ in range(ROUNDS)]
        cost = (_cpu(pid) - cpu) / ROUNDS
        listening.stdin.close()
    last = [seconds for seconds, _ in found]
    told = f"median {statistics.median(last) * 1000:.0f} ms, at most {max(last) * 1000:.0f} ms in {ROUNDS} shutdowns"
    acked = statistics.median(seconds for _, seconds in found) * 1000
    told += f"; {cost * 1000:.0f} ms CPU of the server each, answered after {acked:.0f} ms"
    what = f"a shutdown until the last of {LINES:,} hosts has heard"
    return [
        {"what": what, "figure": told, "must": f"at most {MUST * 1000:.0f} ms in the median",
         "ok": statistics.median(last) <= MUST, "command": COMMAND},
        {"what": f"{LINES:,} hosts that listen, while nothing happens",
         "figure": f"{idle * 100:.1f} % of a core, {grown / LINES:.0f} KiB each", "must": "", "ok": None,
         "command": COMMAND},
    ]  # fmt: skip


def _round(url, listening):
    """Shut down once; say when the last one has heard, and when it was acknowledged."""
    dave = speak(url, "dave")
    dave.get("/api/v1/installation")
    said = dave.sign(dave.intend("endpoint.suspend", PROD))
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    dave.submit(f"/api/v1/endpoints/{PROD}/shutdown", said)
    acknowledged = time.clock_gettime(time.CLOCK_MONOTONIC)
    return float(listening.stdout.readline()) - started, acknowledged - started


def _memory(pid):
    """Say how many KiB of memory a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def _listen(url, tokens):
    """Hold all lines; print when the last one has heard, again and again."""
    host, port = url.removeprefix("http://").split(":")
    lines = []
    for number in range(LINES):
        reader, writer = await asyncio.open_connection(host, int(port))
        token = tokens[number % len(tokens)]
        head = f"GET /api/v1/news HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        lines.append((reader, writer))
    print("listening", flush=True)
    for _ in range(ROUNDS):
        await asyncio.gather(*(reader.readuntil(b"event: suspended\n") for reader, _ in lines))
        print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
    sys.stdin.read()
    for _, writer in lines:
        writer.close()


if __name__ == "__main__":
    if sys.argv[1:]:
        import uvloop

        uvloop.run(_listen(sys.argv[1], json.loads(sys.stdin.readline())))
    else:
        for found in rows():
            print(f"{'ok  ' if found['ok'] else 'MISS'} {found['what']}: {found['figure']} ({found['must']})")
