"""Does anybody ever talk to half of one release of an agent and half of another?

Two releases of the demo's desk, whole: model, adapter, guardrail, prompts, index, tools over MCP, memory in a real
PostgreSQL, a schema for each. The real gateway stands before them, and where new traffic goes changes all the while.
LOCKGATE_BENCH_CONVERSATIONS says how many are held: a hundred thousand take a quarter of an hour.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockgate.cli.demo.desk.desk_release import RELEASES, build
from lockgate.cli.demo.desk.parts import KINDS, digest_of
from lockgate.cli.demo.desk_story import answering, grant, start_surroundings
from lockgate.cli.demo.stage import Stage
from lockgate.cli.demo.wheels import default_cache
from lockgate.core.traffic import Address
from lockgate.drivers.envoy import open_gateway
from tests.calling import CANDIDATE, STABLE, free_address, split

CONVERSATIONS = int(os.environ.get("LOCKGATE_BENCH_CONVERSATIONS", "4000"))
SWITCHES, AGAIN_SECONDS = 200, 0.1
COMMAND = "LOCKGATE_BENCH_CONVERSATIONS=100000 python -m bench desk"


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a desk serves, and what it is made of."""

    address: Address
    parts: dict[str, str]


def rows() -> list[dict[str, object]]:
    """Measure: one row."""
    listen, switches = free_address(), 0
    with tempfile.TemporaryDirectory() as folder, _desks(Path(folder)) as (stable, candidate):
        known = Path(folder) / "known.json"
        known.write_text(json.dumps({str(STABLE): stable.parts, str(CANDIDATE): candidate.parts}))
        gateway = open_gateway(Path(folder) / "gateway", listen=listen, seconds=60)
        try:
            gateway.show([split(stable, candidate, 50)], fence=1)
            asked = [sys.executable, "-m", "bench.conversations", str(listen.port), str(CONVERSATIONS), str(known)]
            with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as callers:
                while callers.poll() is None:
                    switches += 1
                    gateway.show([split(stable, candidate, (100, 50, 0, 50)[switches % 4])], fence=switches + 1)
                    time.sleep(AGAIN_SECONDS)
                assert callers.stdout is not None
                whole, mixed, lost, *each = map(int, callers.stdout.read().split())
        finally:
            gateway.close()
    figure = f"{mixed} mixed, {lost} lost of {whole + mixed + lost:,} ({' and '.join(f'{n:,}' for n in each)} by each)"
    ok = mixed == lost == 0 and switches >= SWITCHES and whole >= CONVERSATIONS and min(each) > 0
    what = f"conversations of two requests with the desk of the demo, {switches} switches: of mixed releases"
    must = "0 of 100,000, 200 switches"
    return [{"what": what, "figure": figure, "must": must, "ok": ok, "command": COMMAND}]


@contextmanager
def _desks(folder: Path) -> Iterator[list[Serving]]:
    host = folder / "host"
    (host / "keys").mkdir(parents=True)
    build(default_cache(), folder / "desk", RELEASES)
    with Stage(folder / "stage", json_=True, keep=False) as stage, ExitStack() as open_:
        start_surroundings(stage, host)
        serving = []
        for number, made in enumerate(RELEASES):
            model = folder / "desk" / made.version
            url = open_.enter_context(answering(stage, model, grant(stage, f"release_{number}")))
            address = Address("127.0.0.1", int(url.rpartition(":")[2]))
            serving.append(Serving(address, {kind: digest_of(model / kind) for kind in KINDS}))
        yield serving
