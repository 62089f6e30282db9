"""Which drivers must keep the same promises? Memory, and what production uses."""

import pytest

from lockgate.drivers.local_store import LocalStore
from lockgate.drivers.memory import Memory, MemoryBlobs
from lockgate.drivers.postgres import Postgres
from tests.contracts import cluster
from tests.contracts.samples import SOURCE

postgres_cluster, postgres_database = cluster.postgres_cluster, cluster.postgres_database

KEEPERS = ["memory", pytest.param("postgres", marks=pytest.mark.live)]


@pytest.fixture(params=KEEPERS)
def log(request):
    """An empty log that fills the ports Ledger, Catalog, History and Checkpoints."""
    if request.param == "memory":
        yield Memory(SOURCE)
        return
    _, app = request.getfixturevalue("postgres_database")
    postgres = Postgres(app, SOURCE)
    yield postgres
    postgres.close()


@pytest.fixture(params=["memory", "local store"])
def blobs(request, tmp_path):
    """An empty store that fills the port Blobs."""
    return MemoryBlobs() if request.param == "memory" else LocalStore(tmp_path / "blobs")
