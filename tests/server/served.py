"""Who speaks to the server in tests? The people of `World`, over HTTP, to an installation in memory."""

from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal
from starlette.testclient import TestClient

from lockgate.app.installation import Installation
from lockgate.core.intent import SignedIntent
from lockgate.errors import UnavailableError
from lockgate.formats import plain
from lockgate.formats.names import Name
from lockgate.server.asgi import build
from lockgate.settings import Settings
from tests.server.one_call import OneCall
from tests.world import World

API = "/api/v1"


class Database:
    """The database of a world. `down`: it does not answer. `full`: it reads, but takes no entry."""

    def __init__(self, memory):
        self.memory = memory
        self.down = False
        self.full = False

    def __getattr__(self, name):
        if self.down:
            raise UnavailableError("the database does not answer")
        return getattr(self.memory, name)

    @contextmanager
    def transaction(self):
        if self.down:
            raise UnavailableError("the database does not answer")
        with self.memory.transaction() as act:
            yield Full(act) if self.full else act


class Full:
    """A transaction on a full disk."""

    def __init__(self, act):
        self.act = act

    def __getattr__(self, name):
        return getattr(self.act, name)

    def append(self, *_args, **_more):
        raise UnavailableError("the log cannot be written")


class Served:
    """A world behind its server. It makes requests in the name of a person, all of them in one event loop."""

    portal: BlockingPortal | None = None  # without it each request has a loop, and threads, of its own

    def __init__(self, **settings):
        self.world = World()
        self.database = Database(self.world.memory)
        made = self.world.installation
        port: Any = self.database
        self.installation = Installation(
            made.environment,
            port,
            port,
            port,
            port,
            made.blobs,
            made.keys,
            vault=made.vault,
            heads=made.heads,
            reads=port,
            reports=port,
            presences=port,
            controllers=port,
            updates=made.updates,
        )
        self.settings = Settings(Path("none"), Name("prod"), "prod.example", session_key=bytes(range(32)), **settings)
        self.app = build(self.installation, self.settings, clock=lambda: self.world.now)
        self.client = self.caller()
        self.tokens = {}

    def caller(self, **options):
        client = TestClient(self.app, base_url="http://localhost", **options)
        if self.portal:
            raises = options.get("raise_server_exceptions", True)
            client._transport = OneCall(self.app, self.portal, client._transport, raises=raises)
        return client

    def sign_in(self, who):
        """Ask for a session with a fresh intent."""
        said = self.world.say(who, "session.open", "prod", lasts=timedelta(minutes=5))
        return self.client.post(f"{API}/sessions", json={"intent": plain.to_plain(said)})

    def bearer(self, who):
        """Give the header of a session of `who`."""
        if who not in self.tokens:
            self.tokens[who] = self.sign_in(who).json()["token"]
        return {"authorization": f"Bearer {self.tokens[who]}"}

    def get(self, who, path, **more):
        """Read as `who`."""
        return self.client.get(path if path.startswith("/") else f"{API}/{path}", headers=self.bearer(who), **more)

    def post(self, who, path, said: SignedIntent, **body):
        """Bring an order as `who`."""
        headers = self.bearer(who) | {"idempotency-key": said.intent.nonce}
        return self.client.post(f"{API}/{path}", json=plain.to_plain({"intent": said, **body}), headers=headers)

    def send(self, who, method, path, content=b"", **headers):
        """Send any bytes as `who`, as JSON if nothing else is said."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = self.bearer(who) | {"content-type": "application/json", "idempotency-key": "n" * 16} | headers
        return self.client.request(method, path, content=content, headers=headers)
