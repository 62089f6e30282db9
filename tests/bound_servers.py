"""Which database and which Redis do bindings use in tests? Real ones, with an administrator who has a password.

`with Database(folder) as database: database.driver()`; the same for `Redis`. Both let many in at once.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lockgate.drivers.embedded_postgres import OWNER, EmbeddedPostgres
from lockgate.formats.names import Name
from tests.contracts.cluster import run

PASSWORD = "an administrator's password"
GROUP = "desk_readers"
MOST = 500

_HBA = f"""
local all {OWNER} peer map=lockgate
local all all scram-sha-256
"""


class Database:
    """A cluster whose roles log in by password."""

    def __enter__(self):
        self.opened = []
        self.home = Path(tempfile.mkdtemp(prefix="lockgate-bound-"))
        self.home.chmod(0o755)
        self.server = EmbeddedPostgres(self.home)
        owner = self.server.start()
        hba = self.server.data / "bound_hba.conf"
        hba.write_text(_HBA)
        hba.chmod(0o644)
        for statement in (
            f"ALTER SYSTEM SET hba_file = '{hba}'",
            f"ALTER SYSTEM SET max_connections = {MOST}",
            "CREATE DATABASE desk",
            f"CREATE ROLE {GROUP}",
            f"CREATE ROLE binder LOGIN CREATEROLE PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'",
            f"GRANT {GROUP} TO binder WITH ADMIN OPTION",
            "GRANT CREATE ON DATABASE desk TO binder",
        ):
            run(owner, statement)
        self.server.stop()
        self.server.start()
        self.address = make_conninfo("", host=str(self.server.socket_dir), port="5432", dbname="desk")
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def driver(self, name="database"):
        from lockgate.drivers.postgres_role import Database as At
        from lockgate.drivers.postgres_role import PostgresRole

        return PostgresRole(Name(name), At(self.address, "binder", PASSWORD, GROUP))

    def hang_up(self):
        """Close every session of a model server."""
        while self.opened:
            self.opened.pop().close()

    def owner(self, query, params=None):
        return run(make_conninfo(self.server.conninfo(OWNER), dbname="desk"), query, params)

    def enter(self, granted):
        """Open a session as the model server would; give what goes on with it."""
        where = {name: granted[name] for name in ("host", "port", "dbname", "user", "password")}
        connection = psycopg.connect(**where, autocommit=True)
        self.opened.append(connection)
        return lambda: connection.execute("SELECT 1").fetchone()


class Redis:
    """A server with an ACL file, in which nobody is in by default."""

    def __enter__(self):
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not here: tools/system-packages")
        self.opened = []
        self.home = Path(tempfile.mkdtemp(prefix="lockgate-bound-"))
        self.users = self.home / "users.acl"
        self.users.write_text(f"user default off\nuser binder on #{digest(PASSWORD)} ~* &* +@all\n")
        from tests.live.serving import free_port

        self.port = free_port()
        self.start()
        return self

    def start(self):
        at = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        command = ["redis-server", *at, "--aclfile", str(self.users), "--maxclients", "2000", "--dir", str(self.home)]
        with (self.home / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        ends = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert time.monotonic() < ends and self.process.poll() is None
                time.sleep(0.02)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def admin(self):
        import redis

        return redis.Redis("127.0.0.1", self.port, username="binder", password=PASSWORD, decode_responses=True)

    def driver(self, name="memory"):
        from lockgate.drivers.redis_user import RedisUser, Server

        return RedisUser(Name(name), Server("127.0.0.1", self.port, "binder", PASSWORD))

    def enter(self, granted):
        """Open a connection as the model server would; give what goes on with it."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = redis.Redis(
            granted["host"], granted["port"], username=granted["user"], password=granted["password"],
            single_connection_client=True, retry=Retry(NoBackoff(), 0), decode_responses=True,
        )  # fmt: skip
        self.opened.append(client)
        line, key = client.connection, f"{granted['prefix']}x"
        client.set(key, "1")

        def go_on():
            line.send_command("GET", key, check_health=False)
            return line.read_response()

        return go_on

    hang_up = Database.hang_up


def digest(text):
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
