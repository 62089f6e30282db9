"""Which outside systems do live tests share? One embedded PostgreSQL, a database of it for each test."""

import pytest

from lockgate.drivers.postgres import Postgres
from tests.contracts import cluster
from tests.contracts.samples import SOURCE, append, attested, denied, opened, registered, suspended

postgres_cluster, postgres_database = cluster.postgres_cluster, cluster.postgres_database


@pytest.fixture
def owner(postgres_database):
    return postgres_database[0]


@pytest.fixture
def app(postgres_database):
    return postgres_database[1]


@pytest.fixture
def log(app):
    postgres = Postgres(app, SOURCE, connections=4)
    yield postgres
    postgres.close()


@pytest.fixture
def stocked(log):
    """A log with something in each of its tables."""
    append(log, *[denied(str(n)) for n in range(256)])
    append(log, registered("a@1.0.0"), attested("a@1.0.0"), opened("x"), suspended("x"), keep=[b"a document"])
    size, root = log.root()
    log.publish("note\n", size, root)
    return log
