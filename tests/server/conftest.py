import pytest
from anyio.from_thread import start_blocking_portal

from tests.server.served import Served


@pytest.fixture(scope="session", autouse=True)
def one_loop():
    """Let all requests of all tests share one event loop and its threads."""
    with start_blocking_portal() as portal:
        Served.portal = portal
        yield
        Served.portal = None


@pytest.fixture
def served():
    """An installation in memory behind its server; whatever a test did to it, its log proves its state."""
    found = Served()
    yield found
    _check(found)


@pytest.fixture(scope="module")
def shut():
    """One installation for a whole module that only knocks."""
    found = Served()
    yield found
    _check(found)


def _check(found):
    found.database.down = found.database.full = False
    found.world.check()
