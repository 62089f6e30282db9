"""Who types commands in tests? The people of `World`, to an installation in memory that a real server serves."""

import json
import threading
import time
from datetime import UTC, datetime

import click
import uvicorn
from click.testing import CliRunner

from lockgate.cli.main import cli
from lockgate.errors import LockgateError
from tests.live.serving import free_port
from tests.server.served import Served
from tests.world import key


class Spoken(Served):
    """A world behind a server that listens, and everybody's key in a file."""

    def __init__(self, folder, **settings):
        super().__init__(**settings)
        self.world.now = datetime.now(UTC)
        self.folder, self.port = folder, free_port()
        self.server = uvicorn.Server(uvicorn.Config(self.app, port=self.port, log_level="critical"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        ends = time.monotonic() + 30
        while not self.server.started:
            assert time.monotonic() < ends and self.thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(30)

    def key(self, name):
        """Say where the private key of `name` lies, with its public half beside it."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(key(name).pem)
        (self.folder / f"{name}.pem.pub").write_bytes(key(name).public.pem)
        return path

    def type(self, who, *words, **more):
        """Type a command as `who`; return its exit code and what it said."""
        named = {"LOCKGATE_SERVER": f"http://127.0.0.1:{self.port}", "LOCKGATE_ACTOR": who}
        environment = {**named, "LOCKGATE_KEY": str(self.key(who))}
        done = CliRunner().invoke(cli, [str(word) for word in words], env=environment, standalone_mode=False, **more)
        if isinstance(done.exception, LockgateError):
            return done.exception.exit_code, done.output + str(done.exception)
        if isinstance(done.exception, click.Abort | click.ClickException):
            return getattr(done.exception, "exit_code", 1), done.output
        if done.exception is not None:
            raise done.exception
        return done.return_value or 0, done.output

    def answer(self, who, *words):
        """Type a command that must succeed; return its JSON."""
        code, said = self.type(who, *words, "--json")
        assert code == 0, said
        return json.loads(said.strip().splitlines()[-1])
