"""Do two `lockgate up` keep one installation, on one home, with a database and a signer that neither has started?"""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from tests.live.drill import wait_until
from tests.live.test_server import found_installation, free_port, wait_for
from tests.live.test_signer import running as signing

PATIENCE = 90


@pytest.fixture
def home(tmp_path):
    found_installation(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def elsewhere(postgres_database):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOCKGATE_")}
    owner, app = postgres_database
    return clean | {"LOCKGATE_DATABASE_URL": app, "LOCKGATE_DATABASE_OWNER_URL": owner}


@contextmanager
def up(home, environ):
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "lockgate", "up", "--home", str(home)]
    server = subprocess.Popen(command, env=environ | {"LOCKGATE_LISTEN": listen}, stderr=subprocess.PIPE, text=True)
    try:
        yield server, f"http://{listen}/readyz"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.slow
def test_when_one_is_killed_the_other_goes_on(home, elsewhere):
    with ExitStack() as stack:
        stack.enter_context(signing(home))
        shared = elsewhere | {"LOCKGATE_SIGNER": str(home / "signer.sock")}
        (first, at_first), (second, at_second) = (stack.enter_context(up(home, shared)) for _ in "ab")
        wait_for(at_first, first, 200)
        wait_for(at_second, second, 200)

        first.kill()
        first.wait(PATIENCE)
        wait_for(at_second, second, 200)


@pytest.mark.slow
def test_who_starts_the_signer_is_the_only_server_of_its_home(home, elsewhere):
    with ExitStack() as stack:
        servers = [stack.enter_context(up(home, elsewhere))[0] for _ in "ab"]
        wait_until(lambda: any(each.poll() is not None for each in servers), PATIENCE)
        ended = next(each for each in servers if each.poll() is not None)
        assert (ended.returncode, "is served by another process already" in ended.stderr.read()) == (5, True)
        assert [each.poll() for each in servers].count(None) == 1
