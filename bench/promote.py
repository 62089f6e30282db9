"""What does a promotion through the gate cost, beside a bare alias in MLflow, both over HTTP on this machine?

Ours: a real server on its own PostgreSQL takes a signed order and a session; the gate judges components, provenance,
test result and two approvals again; decision and three entries are committed. MLflow 3: `set_registered_model_alias`,
no login, SQLite, one worker, and no second process beside it. In turns, so that both meet the same disk and neighbours.
Opening and approving are not timed; signing is. A turn of reading is five requests; the first of them, which finds the
caches of the processor full of somebody else's things, is also reported by itself.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3

from lockgate.core.change import Content
from lockgate.drivers.postgres import Postgres
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.wiring import KEYS, create
from tests.contracts.cluster import new_cluster
from tests.live import serving
from tests.stock import UV
from tests.world import PROD, World, key, trust

COMMAND = "python -m bench promote"
ROUNDS = 40
WARM = 5
PACKAGE = "mlflow==3.17.2"
FOLDER = Path(os.environ.get("LOCKGATE_CACHE", Path.home() / ".cache" / "lockgate")) / "mlflow"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # no second process beside the one that is measured
}
READS = 5
MUST = {
    "promotion through the gate ÷ MLflow 3 set alias": 1.0,
    "get endpoint ÷ MLflow 3 get by alias": 1 / 3,
    "the same, only the first request of a turn": None,
}


def rows():
    """Measure; each row says what was found, what it must be, and how to find it again."""
    with ExitStack() as leaving:
        folder = Path(tempfile.mkdtemp(prefix="lockgate-promote-"))
        leaving.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            peer = leaving.enter_context(_mlflow(folder))
        except (OSError, AssertionError, subprocess.SubprocessError, urllib3.exceptions.HTTPError) as e:
            why = str(getattr(e, "stderr", "") or e).strip().splitlines()[-1:]
            return [_row(what, f"not measured: no MLflow here: {''.join(why)}", None) for what in MUST]
        ours = leaving.enter_context(_lockgate(folder))
        turns = ((peer.promote, 1), (ours.promote, 1), (peer.read, READS), (ours.read, READS))
        set_alias, promotion, by_alias, get = _in_turns(turns, between=ours.prepare)
    pairs = ((promotion, set_alias), (get, by_alias), (get[::READS], by_alias[::READS]))
    return [_compared(what, *pair) for what, pair in zip(MUST, pairs, strict=True)]


def _in_turns(turns, between):
    times = [[] for _ in turns]
    for number in range(WARM + ROUNDS):
        between()
        for place in sorted(range(len(turns)), reverse=number % 2 == 1):  # nobody always comes first
            act, repeated = turns[place]
            for _ in range(repeated):
                started = time.perf_counter()
                act()
                times[place].append(time.perf_counter() - started)
    return [found[WARM * repeated :] for found, (_, repeated) in zip(times, turns, strict=True)]


class Client:
    """The same plain client for both: connections are kept, an answer is read as JSON."""

    def __init__(self, url, headers=None):
        self.url, self.headers = url, headers or {}
        self.pool = urllib3.PoolManager(retries=False, timeout=60)

    def ask(self, method, path, body=None, **headers):
        """Send one request and read its answer."""
        headers |= self.headers | ({"content-type": "application/json"} if body else {})
        answer = self.pool.request(method, self.url + path, body=body, headers=headers)
        assert answer.status == 200, f"{answer.status} to {path}: {answer.data[:200]!a}"
        return answer.json()


class Lockgate:
    """A server with two attested releases, to whose endpoint one after the other is promoted."""

    def __init__(self, world, port):
        self.world = world
        self.people = {who: serving.speak(port, who) for who in ("alice", "bob", "carol", "dave")}
        self.releases = [world.serve("1.0.0"), world.register("1.1.0")]
        world.attest(self.releases[1])
        self.change, self.content, self.serves = 0, None, self.releases[0]
        self.get()  # opens dave's session
        token = {"authorization": f"Bearer {self.people['dave'].token}"}
        self.client = Client(f"http://127.0.0.1:{port}/api/v1", token)

    def prepare(self, approvers=("bob", "carol")):
        """Open a change that brings the other release, and have it approved."""
        state, alice = self.get(), self.people["alice"]
        before, self.serves = self.serves, self.releases[self.serves is self.releases[0]]
        content = Content(
            kind="normal",
            endpoint=PROD,
            tag=self.serves.manifest.tag,
            release=self.serves.digest,
            before=before.digest,
            epoch=state["epoch"],
            resumes=False,
            policy=Digest.of(plain.encode(self.world.policy)),
            reason="because",
        )
        self.content = content.digest
        intent = alice.intend("change.open", PROD, before=before.digest, after=content.digest)
        self.change = alice.act("/api/v1/changes", intent, content=content)["first"]
        for who in approvers:
            self.act(who, "approve", "approvals")

    def promote(self):
        """Sign the order to carry the change out, and send it."""
        dave = self.people["dave"]
        intent = dave.intend("change.activate", f"change/{self.change}", after=self.content)
        body = plain.encode({"intent": dave.sign(intent)})
        self.client.ask("POST", f"/changes/{self.change}/activation", body, **{"idempotency-key": intent.nonce})

    def read(self):
        """Ask what serves, as `promote` does."""
        self.client.ask("GET", f"/endpoints/{PROD}")

    def act(self, who, verb, door):
        """Sign an order about the change, and send it."""
        intent = self.people[who].intend(f"change.{verb}", f"change/{self.change}", after=self.content)
        return self.people[who].act(f"/api/v1/changes/{self.change}/{door}", intent)

    def get(self):
        """Ask what serves, and check the answer."""
        return self.people["dave"].get(f"/api/v1/endpoints/{PROD}")

    def check_gate(self):
        """Make sure that the gate is there: one approval is not enough."""
        self.prepare(approvers=("bob",))
        with pytest.raises(DeniedError, match="1 of 2 approvals"):
            self.act("dave", "activate", "activation")
        self.act("carol", "approve", "approvals")
        self.promote()


@contextmanager
def _lockgate(folder):
    with ExitStack() as leaving:
        cluster = new_cluster(on_disk=True)
        leaving.callback(cluster.remove)
        owner, app = cluster.database()
        postgres = Postgres(app, trust().origin, connections=2)
        leaving.callback(postgres.close)
        world, port = World(log=postgres), serving.free_port()
        world.now = datetime.now(UTC)
        settings = _settle(folder / "prod", owner, app, port)
        leaving.enter_context(
            _running([sys.executable, "-m", "lockgate", "up"], folder, settings, f"http://127.0.0.1:{port}/readyz")
        )
        ours = Lockgate(world, port)
        ours.check_gate()
        yield ours
        found = ours.get()
        assert found["slots"][-1]["release"] == str(ours.serves.digest), "the last promotion was not carried out"
        world.now = datetime.now(UTC) + timedelta(seconds=1)
        world.check()


def _settle(home, owner, app, port):
    """Make the home of an installation that has the keys of the world; return its settings."""
    (home / "keys").mkdir(parents=True)
    for name in KEYS:
        (home / "keys" / f"{name}.pem").write_bytes(key(f"prod-{name}").pem)
    create(home, PROD.environment, trust().origin)
    return {
        "LOCKGATE_HOME": str(home),
        "LOCKGATE_LISTEN": f"127.0.0.1:{port}",
        "LOCKGATE_DATABASE_URL": app,
        "LOCKGATE_DATABASE_OWNER_URL": owner,
    }


class Mlflow:
    """A server with two versions of a model, to which one alias points in turn."""

    def __init__(self, port):
        self.client, self.version = Client(f"http://127.0.0.1:{port}/api/2.0/mlflow"), 1
        self.post("registered-models/create", name="magika")
        for _ in range(2):
            self.post("model-versions/create", name="magika", source="s3://bucket/magika")

    def post(self, path, **body):
        """Do something."""
        return self.client.ask("POST", f"/{path}", json.dumps(body).encode())

    def promote(self):
        """Point the alias at the other version."""
        self.version = 3 - self.version
        self.post("registered-models/alias", name="magika", alias="prod", version=str(self.version))

    def read(self):
        """Ask where the alias points."""
        found = self.client.ask("GET", "/registered-models/alias?name=magika&alias=prod")
        assert found["model_version"]["version"] == str(self.version)


@contextmanager
def _mlflow(folder):
    program, port = _installed(), serving.free_port()
    command = [program, "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"]
    command += ["--default-artifact-root", folder / "artifacts", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, folder, QUIET, f"http://127.0.0.1:{port}/health"):
        peer = Mlflow(port)
        peer.promote()
        yield peer


@contextmanager
def _running(command, folder, settings, url):
    """Run a server in `folder` until it is left; it is there when `url` says so."""
    said = folder / f"{len(list(folder.iterdir()))}.log"
    with said.open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await(server, url, said)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _await(server, url, said):
    ends = time.monotonic() + 180
    while time.monotonic() < ends:
        assert server.poll() is None, f"{server.args[0]} ended by itself: {said.read_text().strip()[-300:]}"
        with suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=5).status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"{server.args[0]} did not start within three minutes")


def _installed():
    """Give the path of the program, installing it first into an environment of its own."""
    program = FOLDER / "bin" / "mlflow"
    if not program.exists():
        uv = str(UV) if UV.exists() else shutil.which("uv") or "uv"
        for command in (
            [uv, "venv", "--clear", FOLDER],
            [uv, "pip", "install", "--python", FOLDER / "bin" / "python", PACKAGE],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return program


def _compared(what, ours, theirs):
    us, them = (1000 * statistics.median(times) for times in (ours, theirs))
    return _row(what, f"{us:.2f} ms beside {them:.2f} ms: {us / them:.2f}", us / them)


def _row(what, figure, ratio):
    most = MUST[what]
    must = "no limit" if most is None else f"at most {most:.2f}"
    ok = ratio is not None and (most is None or ratio <= most)
    return {"what": what, "figure": figure, "must": must, "ok": ok, "command": COMMAND}


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']} ({row['must']})")
