"""What does it cost a host to learn what is in force, and how soon is a revocation published?

A host asks a web server in another process; its memory is warm, so it asks for two files. The revocation is recorded in
memory and published into a folder on the disk, durably: from the moment it is recorded until the timestamp is there.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lockgate.app.publish_updates import publish_updates
from lockgate.drivers.tuf_folder import TufFolder
from lockgate.loader.feed import HttpFeed
from lockgate.loader.updates import refresh
from tests.world import World, key

COMMAND = "make bench ARGS=updates"
TURNS = 25
LISTED = 500  # entries of the deny-list, as somebody has after years
_FRESH = """
import sys, time
began = time.process_time()
from datetime import UTC, datetime
from pathlib import Path
from lockgate.core.trust import Root
from lockgate.formats import plain
from lockgate.loader.feed import HttpFeed
from lockgate.loader.updates import refresh
root = plain.decode(Root, Path(sys.argv[3]).read_bytes())
refresh(Path(sys.argv[1]), root, HttpFeed(sys.argv[2]), datetime.now(UTC))
print(time.process_time() - began)
"""


def rows():
    """Measure, and say whether that is good enough."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_refreshed(Path(folder)), *_published(Path(folder))]


def _refreshed(folder):
    world = _listed(World())
    world.feed(folder / "feed")
    from lockgate.formats import plain

    (folder / "root.json").write_bytes(plain.encode(world.trust.root))
    with _web(folder / "feed") as url:

        def once():
            began = time.process_time()
            refresh(folder / "memory", world.trust.root, HttpFeed(url), datetime.now(UTC))
            return time.process_time() - began

        once()
        warm = statistics.median(once() for _ in range(TURNS))
        command = [sys.executable, "-c", _FRESH, str(folder / "memory"), url, str(folder / "root.json")]
        whole = statistics.median(float(subprocess.check_output(command)) for _ in range(5))
    return [
        {
            "what": f"learn what is in force on a warm host, {LISTED} revocations listed: CPU",
            "figure": f"{warm * 1000:.1f} ms",
            "must": "at most 50 ms",
            "ok": warm <= 0.050,
            "command": COMMAND,
        },
        {
            "what": "the same in a new process: CPU, imports included",
            "figure": f"{whole * 1000:.0f} ms",
            "must": "",
            "ok": None,
            "command": COMMAND,
        },
    ]


def _published(folder):
    world = _listed(World())
    folder = folder / "published"
    installation = world.installation
    object.__setattr__(installation, "updates", TufFolder(folder))
    publish_updates(installation, datetime.now(UTC))
    took, used = [], []
    for number in range(TURNS):
        world.revoke(f"bench {number}")
        began, spent = time.perf_counter(), time.process_time()
        assert publish_updates(installation, datetime.now(UTC))
        took.append(time.perf_counter() - began)
        used.append(time.process_time() - spent)
    median, worst, cpu = statistics.median(took), max(took), statistics.median(used)
    figure = f"{median * 1000:.1f} ms, {cpu * 1000:.0f} ms of it CPU (slowest of {TURNS}: {worst * 1000:.0f} ms)"
    return [
        {
            "what": f"publish one revocation beside {LISTED} others, durably: wall clock, median",
            "figure": figure,
            "must": "at most 100 ms",
            "ok": median <= 0.100,
            "command": COMMAND,
        }
    ]


def _listed(world):
    """Revoke some hundred keys that nobody uses."""
    for number in range(LISTED):
        world.revoke(f"lost {number}")
    assert key("lost 0").public.key_id in world.installation.revocations([]).keys
    return world


@contextmanager
def _web(folder):
    """Serve a folder from another process, as any static web server does."""
    command = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen([*command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
                          env={"PYTHONUNBUFFERED": "1"}) as server:  # fmt: skip
        try:
            line = server.stdout.readline()
            yield f"http://127.0.0.1:{line.split('port ')[1].split()[0]}"
        finally:
            server.kill()
