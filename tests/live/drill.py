"""A server, an agent and a run, each a process of its own, and a model server that says when it was last alive."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tests.world
from lockgate.core.policy import Lease
from lockgate.core.release import Serve
from lockgate.drivers.local_store import LocalStore
from lockgate.drivers.local_vault import LocalVault
from lockgate.drivers.postgres import Postgres
from tests.contracts.cluster import Cluster
from tests.live.serving import free_port, start
from tests.live.wire import Wire
from tests.world import PROD, World, host_home, trust

SECONDS = 4
SLACK = 0.7  # what was under way when the lease ended, on a machine that is busy

BEATS = """
import sys, time
with open(sys.argv[1], "a") as beats:
    while True:
        print(time.clock_gettime(time.CLOCK_BOOTTIME), file=beats, flush=True)
        time.sleep(0.02)
"""


def boot_now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("drills", numbered=True) / "postgres")
    yield cluster
    cluster.remove()


@pytest.fixture(scope="module")
def theatre(cluster, tmp_path_factory):
    """One installation for all drills: a company with a release in service, of today and with short leases."""
    yield from played(Stage, cluster, tmp_path_factory)


def played(kind, cluster, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
        short_leases(patch)
        stage = kind(tmp_path_factory.mktemp("stage"), cluster.database()[1])
        yield stage
        stage.end()


def short_leases(patch, seconds=SECONDS):
    rules = replace(tests.world.rules(), lease=Lease(seconds, "stop"))
    patch.setattr(tests.world, "rules", lambda: rules)


@pytest.fixture
def stage(theatre):
    theatre.wire.mode, theatre.wire.delay = "passes", 0.0
    theatre.serve()
    yield theatre
    theatre.dismiss()


class Stage:
    """Who takes part in a drill. The world must be of today, and its leases short, before one is made."""

    def __init__(self, folder, conninfo, program=BEATS, environment=None):
        self.folder, self.conninfo = folder, conninfo
        self.port, self.control = free_port(), free_port()
        self.wire = Wire(self.port)
        self.log = Postgres(conninfo, trust().origin, connections=2)
        self.world = World(log=self.log)
        self.world.installation = replace(
            self.world.installation, blobs=LocalStore(folder / "blobs"), vault=LocalVault(folder / "vault")
        )
        self.home = self._home()
        self.server, self.programs = None, []
        command = ("{python}", "-c", program, str(folder / "beats"), "{file:weights/model.onnx}", "{port}")
        self.release = self.world.serve(serve=Serve(command, environment or {}))

    def serve(self):
        """Start the server unless it runs."""
        if self.server is None or not self.server.is_alive():
            self.server = start(self.conninfo, self.port, self.folder / "blobs")

    def kill_server(self):
        self.server.kill()
        self.server.join()

    def _home(self):
        home = host_home(self.folder / "host", f"http://127.0.0.1:{self.wire.port}", more=self.scratch())
        with (home / "host.toml").open("a") as settings:
            settings.write(f'control = "127.0.0.1:{self.control}"\n')
        return home

    def scratch(self):
        """Say in host.toml where model servers may write: their beats."""
        return f'writable = ["{self.folder}"]'

    def program(self, *words, **more):
        """Start `lockgate …`; what it says goes into a file."""
        path = self.folder / f"{words[0]}-{time.monotonic_ns()}.txt"
        with path.open("w") as said:
            command = [*more.pop("before", []), sys.executable, "-m", *_module(words)]
            program = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True, **more)
        program.said = path
        self.programs.append(program)
        return program

    def agent(self, **more):
        """Start the agent, and wait until it is ready."""
        agent = self.program("agent", self.home, "--insecure", **more)
        wait_for_text(agent, "is ready")
        return agent

    def run(self, *words, **more):
        """Start a run, and wait until its model server is alive."""
        run = self.program("run", "--home", self.home, "--endpoint", PROD, *words, **more)
        wait_until(self.is_serving, 60, run)
        return run

    def status(self):
        command = [sys.executable, "-m", "lockgate", "agent", "--home", str(self.home), "status", "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def last_beat(self):
        """Say when the model server was last alive, on the boot clock."""
        with suppress(OSError, IndexError, ValueError), (self.folder / "beats").open("rb") as beats:
            beats.seek(max(0, beats.seek(0, os.SEEK_END) - 100))
            return float(beats.read().split(b"\n")[-2])
        return 0.0

    def is_serving(self):
        return self.last_beat() > boot_now() - 0.3

    def silence(self, within):
        """Wait until the model server is silent, and stays so; say when it was last alive."""
        wait_until(lambda: not self.is_serving(), within)
        last = self.last_beat()
        time.sleep(0.5)
        assert self.last_beat() == last, "it was only slow"
        return last

    def check_ends_with_its_lease(self, since):
        """See that it goes on for as long as its lease lasts that was in force at `since`, and no longer."""
        last = self.silence(SECONDS + 5)
        assert SECONDS * 0.4 < last - since < SECONDS + SLACK

    def check_goes_on(self, seconds=SECONDS * 2):
        """See that it serves all the time, longer than any lease lasts."""
        ends = boot_now() + seconds
        while boot_now() < ends:
            assert self.is_serving()
            time.sleep(0.1)

    @contextmanager
    def cast(self, *, agent=True, follow=False, **more):
        """Have a run play, with an agent or without; whoever was started is gone afterwards."""
        (self.folder / "beats").unlink(missing_ok=True)
        try:
            attending = self.agent(**more) if agent else None
            yield attending, self.run(*(["--follow"] if follow else []), **more)
        finally:
            self.dismiss()

    def dismiss(self):
        for program in self.programs:
            for number in (signal.SIGCONT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(program.pid, number)  # a run that follows has a run of its own
            program.wait()
        self.programs.clear()

    def end(self):
        self.dismiss()
        self.wire.close()
        if self.server is not None:
            self.kill_server()
        self.log.close()


def _module(words):
    """Start the agent without the command in between: it must be back before a short lease is over."""
    name, *rest = map(str, words)
    return ["lockgate.agent", *rest] if name == "agent" else ["lockgate", name, *rest]


def wait_until(happened, within, program=None):
    ends = time.monotonic() + within
    while not happened():
        assert program is None or program.poll() is None, Path(program.said).read_text()
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


def wait_for_text(program, text, within=60):
    wait_until(lambda: text in program.said.read_text(), within, program)
