"""Do two servers on one store see that the way back is damaged, write it once, and say that it is whole again?"""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.core.journal import read_fact
from lockgate.core.preservation import Examined
from lockgate.formats.digest import Digest
from tests.live import drill
from tests.live.drill import Stage, wait_until
from tests.live.serving import free_port, start
from tests.world import PROD, key

pytestmark = pytest.mark.slow
cluster = drill.cluster
PATIENCE = 120


@pytest.fixture
def stage(cluster, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        found = Stage(tmp_path, cluster.database()[1])
        found.world.now = datetime.now(UTC)
        found.world.serve("1.1.0")
        yield found
        found.end()


def prove(stage, port):
    """Have it looked at as ann; return the code and what was said."""
    path = stage.folder / "ann.pem"
    path.write_bytes(key("ann").pem)
    speaker = ["--server", f"http://127.0.0.1:{port}", "--as", "ann", "--key", str(path), "--json"]
    line = [sys.executable, "-m", "lockgate", "endpoint", "prove", str(PROD), *speaker]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, json.loads(done.stdout)["look"]["finding"]


def said(stage):
    facts = map(read_fact, stage.log.entries(0, stage.log.size()))
    return [event.finding for _, event in facts if isinstance(event, Examined)]


def test_a_flipped_byte_is_one_entry_of_two_servers_and_its_mending_another(stage):
    weights = Digest.of(b"weights 1.0.0").hex
    place = stage.folder / "blobs" / weights[:2] / weights[2:4] / weights
    whole = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    ports = [free_port(), free_port()]
    servers = [start(stage.conninfo, port, stage.folder / "blobs") for port in ports]
    try:
        wait_until(lambda: said(stage), PATIENCE)
        assert [prove(stage, port) for port in ports] == [(4, "damaged")] * 2
        assert said(stage) == ["damaged"]

        place.write_bytes(whole)
        servers[0].kill()
        assert prove(stage, ports[1]) == (0, "whole")
        assert said(stage) == ["damaged", "whole"]
    finally:
        for server in servers:
            server.kill()
            server.join()
