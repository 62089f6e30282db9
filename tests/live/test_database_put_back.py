"""What does a server do on a database from before a shutdown? It grants nothing, signs nothing, and says why.

The database is a real one, copied while it is stopped, and copied back; the server and its signer are processes.
"""

import shutil
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import urllib3

from lockgate.core.ceremony import Ceremony
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.trust import Purpose, TrustedSigner
from lockgate.drivers.anchor_file import begin_memory
from lockgate.drivers.ceremony_folder import write_ceremony
from lockgate.drivers.embedded_postgres import OWNER, EmbeddedPostgres
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.keyring import server_key
from lockgate.tlog.merkle import CompactRange, Hash
from lockgate.wiring import create
from tests.live.test_server import found_installation, publish_policy, running, speak
from tests.live.test_signer import running as signer_running
from tests.world import PROD, carried, key, policy, trust

POOL = urllib3.PoolManager(retries=False, timeout=10)
RELEASE = Digest.of(b"release")


class Site:
    """An installation that can be stopped, copied and put back."""

    def __init__(self, home):
        self.home = home
        self.trust = found_installation(home)
        self.data = home / "postgres" / "data"

    def copy(self, name):
        EmbeddedPostgres(self.home).stop()
        shutil.copytree(self.data, self.home / name, symlinks=True)

    def put_back(self, name):
        """Stop the database and start it on a copy, whoever is connected."""
        EmbeddedPostgres(self.home).stop()
        shutil.rmtree(self.data)
        shutil.copytree(self.home / name, self.data, symlinks=True)
        EmbeddedPostgres(self.home).start()


@pytest.fixture
def site(tmp_path):
    found = Site(tmp_path / "home")
    yield found
    EmbeddedPostgres(found.home).stop()


def adopt_policy(url):
    publish_policy(url, replace(policy(), expires=datetime.now(UTC) + timedelta(days=1)))


def ask(url, trust):
    """Ask for a lease as a host does."""
    request = Request(Name("host-1"), "0123456789abcdef", (Want(PROD, RELEASE),), "sealed")
    answer = speak(url, "host-1").post("/api/v1/leases", sign_request(request, key("host-1")))
    return open_grant(answer, request, trust, datetime.now(UTC))


def shut_down(url, name=PROD):
    dave = speak(url, "dave")
    return dave.act(f"/api/v1/endpoints/{name}/shutdown", dave.intend("endpoint.suspend", name))


def readiness(url):
    answer = POOL.request("GET", f"{url}/readyz")
    return answer.status, answer.json().get("detail", "")


def wait_for(url, status):
    for _ in range(150):
        found = readiness(url)
        if found[0] == status:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"not {status}: {found}")


@contextmanager
def frozen(url, trust):
    """See that nothing is granted and nothing is signed, whatever one tries."""
    checkpoint = POOL.request("GET", f"{url}/log/checkpoint").data
    with pytest.raises(UnavailableError, match="the log is frozen: "):
        ask(url, trust)
    yield
    alice = speak(url, "alice")
    for path in ("/api/v1/log/proof/0", "/api/v1/installation"):
        with pytest.raises(UnavailableError, match="frozen"):
            alice.fetch(path)
    assert POOL.request("GET", f"{url}/log/checkpoint").data == checkpoint
    assert "lockgate_log_frozen 1" in alice.fetch("/metrics").decode()


def test_started_on_a_database_from_before_a_shutdown(site, capfd):
    with running(site.home) as (url, _):
        adopt_policy(url)
    site.copy("before")
    with running(site.home) as (url, _):
        assert shut_down(url)["anchored"] is True
        assert ask(url, site.trust).refused[0].reason.startswith("prod/magika is suspended")
    site.copy("after")
    site.put_back("before")

    with running(site.home, ready=503) as (url, _):
        assert "the database has 2 entries, but 3 were signed" in wait_for(url, 503)
        with frozen(url, site.trust):
            assert shut_down(url)["anchored"] is False
    assert "the log is frozen, nothing is granted and nothing is signed" in capfd.readouterr().err

    site.put_back("after")
    with running(site.home) as (url, _):
        assert ask(url, site.trust).refused
        assert shut_down(url)["anchored"] is True


def test_put_back_underneath(site):
    with running(site.home) as (url, process):
        adopt_policy(url)
        site.copy("before")
        EmbeddedPostgres(site.home).start()
        wait_for(url, 200)
        assert shut_down(url)["anchored"] is True
        site.copy("after")

        site.put_back("before")

        with frozen(url, site.trust):
            assert "3 were signed" in wait_for(url, 503)
        for _ in range(3):  # growing past what was signed does not help
            assert shut_down(url, "prod/other")["anchored"] is False
        time.sleep(1.5)
        assert "consistency proof" in wait_for(url, 503)
        site.put_back("after")
        wait_for(url, 200)
        assert ask(url, site.trust).refused[0].reason.startswith("prod/magika is suspended")
        assert process.poll() is None


def test_an_owner_of_the_database_who_rewrites_the_log_freezes_it(site):
    with running(site.home) as (url, _):
        adopt_policy(url)
        assert shut_down(url)["anchored"] is True
        with psycopg.connect(EmbeddedPostgres(site.home).conninfo(OWNER)) as owner:
            for table in ("entry", "head", "checkpoint"):
                owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            owner.execute("DELETE FROM entry WHERE idx = 2")
            owner.execute("DELETE FROM checkpoint WHERE size > 2")
            rows = owner.execute("SELECT leaf_hash FROM entry ORDER BY idx").fetchall()
            tree = CompactRange().extend([Hash(leaf) for (leaf,) in rows])
            owner.execute("UPDATE head SET size = 2, peaks = %s", (b"".join(tree.peaks),))
            owner.execute("UPDATE object SET state = replace(convert_from(state, 'UTF8'), '\"suspended\":true',"
                          " '\"suspended\":false')::bytea WHERE kind = 'endpoint'")  # fmt: skip

        with frozen(url, site.trust):
            assert "the database has 2 entries, but 3 were signed" in wait_for(url, 503)


def test_a_database_that_was_emptied_is_not_founded_anew(site):
    with running(site.home) as (url, _):
        adopt_policy(url)
        time.sleep(1)
    shutil.rmtree(site.data)

    with running(site.home, ready=503) as (url, _):
        assert "the database has 0 entries, but 2 were signed" in wait_for(url, 503)
        assert POOL.request("GET", f"{url}/healthz").status == 200


def test_a_signer_of_another_user_is_named_by_its_socket(tmp_path):
    where = tmp_path / "signer"
    begin_memory(where, "prod.example/changes")
    public = {"checkpoint": server_key(where, "checkpoint").public}
    home = tmp_path / "home"
    public |= create(home, Name("prod"), "prod.example/changes", where / "signer.sock")
    assert not (home / "keys" / "checkpoint.pem").exists()
    held = trust()
    made = {Purpose.VSA: "vsa", Purpose.LEASE: "lease", Purpose.CHECKPOINT: "checkpoint", Purpose.UPDATES: "tuf-online"}
    signers = tuple(
        TrustedSigner(one.name, one.purpose, one.scope, public[made[one.purpose]]) if one.purpose in made else one
        for one in held.signers
    )
    document = replace(held, signers=signers, expires=datetime.now(UTC) + timedelta(days=1))
    write_ceremony(home / "ceremony", Ceremony(carried(document, None), None))

    with signer_running(where), running(home) as (url, _):
        adopt_policy(url)
        assert shut_down(url)["anchored"] is True
        assert ask(url, document).refused
    EmbeddedPostgres(home).stop()
