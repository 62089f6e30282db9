"""A company with a release in service over a real socket, and a host that may serve it: what does it need on a disk?"""

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from lockgate.core.release import Serve
from lockgate.errors import UnavailableError
from lockgate.formats.names import Name
from lockgate.loader.host import open_host
from lockgate.loader.tls import server_context
from lockgate.server.asgi import Server, config, furnish, house
from lockgate.settings import Settings
from tests.calling import PATIENCE
from tests.world import World, host_home

STAYS = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: exit(0))
print("serves", flush=True)
time.sleep(60)
"""
ENDS = "import time; time.sleep(0.5); raise SystemExit(7)"


@contextmanager
def serving(world, tls=None):
    """Serve a world over a real socket, as the server does; its clock is the real one."""
    chosen = Settings(Path("none"), Name("prod"), world.trust.origin, session_key=bytes(32))
    desk = furnish(world.installation, chosen)
    chosen_config = config(house(desk, chosen), server_context(tls) if tls else None)
    chosen_config.port = 0
    server = Server(chosen_config, desk)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"{'https' if tls else 'http'}://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


class Company:
    def __init__(self, path):
        self.path, self.world = path, World()

    def home(self, url):
        """Install a serving host that speaks to `url`."""
        return host_home(self.path / "host", url, more=f'writable = ["{self.path}"]')

    def host(self, url):
        """Install a host and let it learn what is in force, which the server may not have published yet."""
        home, end = self.home(url), time.monotonic() + PATIENCE
        while True:
            try:
                return open_host(home, datetime.now(UTC))
            except UnavailableError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def serve(self, program=STAYS):
        command = ("{python}", "-c", program, "{file:weights/model.onnx}", "{port}")
        return self.world.serve(serve=Serve(command, {}))

    def suspend_and_resume(self, release):
        self.world.shut_down()
        number = self.world.open(release, resumes=True)
        self.world.approve(number)
        self.world.activate(number)
