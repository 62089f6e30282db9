"""A server process that can be killed at any point, and a client that goes on after each death."""

import multiprocessing
import socket
import time
from pathlib import Path

import uvicorn

from lockgate.app.installation import Installation, Keys
from lockgate.core.intent import sign_intent
from lockgate.drivers.local_store import LocalStore
from lockgate.drivers.local_vault import LocalVault
from lockgate.drivers.memory import MemoryHeads
from lockgate.drivers.postgres import Postgres
from lockgate.drivers.tuf_folder import TufFolder
from lockgate.errors import UnavailableError
from lockgate.formats.names import Name
from lockgate.loader.connection import Connection
from lockgate.server.asgi import build
from lockgate.settings import Settings
from lockgate.wiring import channels
from tests.world import key, trust

PURPOSES = ("vsa", "lease", "export", "updates")
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.live.warm"])


def serve(conninfo, port, blobs, notify=()):
    """Serve the installation of the tests until somebody kills this process."""
    postgres = Postgres(conninfo, trust().origin, connections=4)
    keys = Keys(*(key(f"prod-{purpose}") for purpose in PURPOSES))
    store = LocalStore(Path(blobs))
    vault = LocalVault(Path(blobs).parent / "vault")
    heads = MemoryHeads(trust().origin, key("prod-checkpoint"))
    log, updates = postgres, TufFolder(Path(blobs).with_name("tuf"))
    more = {"vault": vault, "heads": heads, "reads": log, "updates": updates}
    more |= {"reports": log, "presences": log, "controllers": log}
    installation = Installation(Name("prod"), log, log, log, log, store, keys, **more)
    settings = Settings(Path(blobs), Name("prod"), trust().origin, session_key=b"k" * 32, notify=notify)
    app = build(installation, settings, channels=channels(settings))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def start(conninfo, port, blobs, notify=()):
    """Start a server process and wait until it answers."""
    process = _PROCESSES.Process(target=serve, args=(conninfo, port, str(blobs), notify), daemon=True)
    process.start()
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return process
        except OSError:
            assert process.is_alive(), "the server ended by itself"
            time.sleep(0.01)
    raise AssertionError("the server did not start within a minute")


def speak(port, who):
    """Connect to the server of the tests as `who`."""
    signer = key(who)
    return Connection(f"http://127.0.0.1:{port}", Name(who), lambda intent: sign_intent(intent, signer))


def insist(act, stopped):
    """Do something again and again until the server has answered, or the test is over."""
    while not stopped.is_set():
        try:
            return act()
        except UnavailableError:
            time.sleep(0.005)
    return None
