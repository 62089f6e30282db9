"""Which PostgreSQL do tests use? One embedded server for the whole run, and in it a new database for each test.

Another conftest takes the fixtures over:

    from tests.contracts import cluster

    postgres_cluster, postgres_database = cluster.postgres_cluster, cluster.postgres_database
"""

import os
import shutil
import tempfile
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lockgate.drivers.embedded_postgres import APP, OWNER, EmbeddedPostgres
from lockgate.drivers.postgres import migrate

TEMPLATE = "migrated"
ROOM = 512 << 20

_numbers = count()


class Cluster:
    """An embedded server with one migrated database, and any number of copies of it."""

    def __init__(self, home):
        self.home = home
        self.server = EmbeddedPostgres(home)
        self.owner = self.server.start()
        run(self.owner, f"CREATE DATABASE {TEMPLATE}")
        migrate(make_conninfo(self.owner, dbname=TEMPLATE))

    def database(self, template=TEMPLATE):
        """Make a database; return how its owner and how the server connect to it."""
        name = f"test_{next(_numbers)}"
        run(self.owner, f"CREATE DATABASE {name} TEMPLATE {template}")
        return tuple(make_conninfo(self.server.conninfo(role), dbname=name) for role in (OWNER, APP))

    def drop(self, owner_conninfo):
        name = psycopg.conninfo.conninfo_to_dict(owner_conninfo)["dbname"]
        run(self.owner, f"DROP DATABASE {name} WITH (FORCE)")

    def remove(self):
        self.server.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def run(conninfo, query, params=None):
    """Execute one statement; return its rows, if it has any."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        done = connection.execute(query, params)
        return done.fetchall() if done.description else []


def new_cluster(*, on_disk=False):
    """Start a server: in memory, where fsync costs nothing, or on the disk. It is the same PostgreSQL."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    home = Path(tempfile.mkdtemp(prefix="lockgate-pg-", dir=memory if roomy and not on_disk else "/tmp"))
    home.chmod(0o755)
    return Cluster(home)


@cache
def _shared():
    return new_cluster()


@pytest.fixture(scope="session")
def postgres_cluster():
    """The server that all tests of a run share. Do not kill it: start one of your own."""
    yield _shared()
    _shared().remove()


@pytest.fixture
def postgres_database(postgres_cluster):
    """A migrated database of the test's own: (conninfo of the owner, conninfo of the server)."""
    database = postgres_cluster.database()
    yield database
    postgres_cluster.drop(database[0])
