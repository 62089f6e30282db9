"""Does `lockgate up` start the agent of a host on the same machine, with its gateway, and end both with itself?"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lockgate.core.ceremony import Ceremony
from lockgate.core.traffic import Address
from lockgate.drivers.ceremony_folder import write_ceremony
from lockgate.drivers.embedded_postgres import EmbeddedPostgres
from tests.calling import call
from tests.live.drill import wait_until
from tests.live.test_server import found_installation, free_port
from tests.world import carried, host_home, policy

pytestmark = pytest.mark.slow
PATIENCE = 90


class Machine:
    """A machine with an installation, and a serving host whose home lies in that of the installation, or elsewhere."""

    def __init__(self, folder, host):
        self.folder, self.home = folder, folder / "home"
        self.listen, self.gateway = (f"127.0.0.1:{free_port()}" for _ in range(2))
        document = found_installation(self.home)
        shutil.rmtree(self.home / "ceremony")
        write_ceremony(self.home / "ceremony", Ceremony(carried(document, policy()), None))
        self.host = host_home(folder / host, f"http://{self.listen}")
        with (self.host / "host.toml").open("a") as settings:
            settings.write(f'gateway = "{self.gateway}"\ncontrol = "127.0.0.1:{free_port()}"\n')
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
        self.environ = {**clean, "LOCKGATE_LISTEN": self.listen}

    def up(self, *words):
        command = [sys.executable, "-m", "lockgate", "up", "--home", str(self.home), *words]
        return subprocess.Popen(command, env=self.environ, stderr=subprocess.DEVNULL, start_new_session=True)

    def status(self):
        """Ask the agent by the home that `lockgate run` would be given."""
        home = self.home if self.host.is_relative_to(self.home) else self.host
        command = [sys.executable, "-m", "lockgate", "agent", "--home", str(home), "status", "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self.environ, timeout=60)

    def is_closed(self):
        """Ask whether the agent answers, and its gateway was seen to fail closed."""
        done = self.status()
        return done.returncode == 0 and json.loads(done.stdout)["gateway"]["fail_closed"]

    def programs(self):
        """Find whatever still runs for this host."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue
            if b"lockgate.agent\0" + os.fsencode(self.host) in words:
                found.append(int(path.parent.name))
        return found


@pytest.mark.parametrize(
    ("host", "words", "number"), [("home/host", (), signal.SIGTERM), ("other", ("--host", "other"), signal.SIGKILL)]
)
def test_the_agent_and_its_gateway_begin_and_end_with_the_server(tmp_path, monkeypatch, host, words, number):
    monkeypatch.chdir(tmp_path)
    machine = Machine(tmp_path, host)
    server = machine.up(*words)
    try:
        wait_until(machine.is_closed, PATIENCE)
        address = Address.parse(machine.gateway)
        assert call(address, "/prod/magika/x")[0] == 404

        server.send_signal(number)
        server.wait(PATIENCE)
        wait_until(lambda: not machine.programs(), PATIENCE)
        with pytest.raises(OSError, match="refused"):
            call(address, "/prod/magika/x")
    finally:
        if server.poll() is None:
            server.kill()
        EmbeddedPostgres(machine.home).stop()  # whoever was killed has left it
