"""Does a release go through the gate to a serving host, with real parts all the way, and nothing else?"""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from lockgate.cli.following import export, verified
from lockgate.core.change import Content
from lockgate.core.release import Release
from lockgate.drivers.postgres import Postgres
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.loader.host import open_host
from lockgate.loader.opening import ask_lease, connect, judge_endpoint, open_release
from tests.contracts.cluster import run
from tests.live.serving import free_port, speak, start
from tests.world import PROD, World, host_home, key, trust

AT = f"/api/v1/endpoints/{PROD}"


class Site:
    """An installation that is founded, then only spoken to over HTTP, and the serving host beside it."""

    def __init__(self, conninfo, folder):
        postgres = Postgres(conninfo, trust().origin)
        self.world, self.folder, self.port = World(log=postgres), folder, free_port()
        postgres.close()
        self.conninfo = conninfo
        self.start(conninfo)
        self.people = {who: speak(self.port, who) for who in ("alice", "bob", "carol", "dave", "olivia", "ann", "ci")}
        self.home = self.make_host()

    def start(self, conninfo):
        """Start the server on a database."""
        self.server = start(conninfo, self.port, self.folder / "blobs")

    def make_host(self):
        """Install a serving host: its key and its pinned root."""
        return host_home(self.folder / "host-1", f"http://127.0.0.1:{self.port}")

    def host(self):
        """Open the host, as each program that runs there does, and connect it."""
        host = open_host(self.home, datetime.now(UTC))
        return host, connect(host)

    def judge(self):
        """Judge what the server says should serve."""
        host, connection = self.host()
        return judge_endpoint(host, PROD, connection)

    def lease(self, admission):
        """Ask for a lease for what the host has judged."""
        host, connection = self.host()
        return ask_lease(host, admission, connection, "sealed")

    def act(self, who, path, act, object_, *, before=None, after=None, **body):
        """Sign an intent and have it done."""
        connection = self.people[who]
        return connection.act(path, connection.intend(act, object_, before=before, after=after), **body)

    def register(self, version, weights=b""):
        """Upload the files of a release and register it."""
        submission, manifest = self.world.submission(version, weights)
        for digest, content in self.world.files.items():
            self.people["alice"].upload(f"/api/v1/blobs/{digest}", [content], len(content))
        digest = Digest.of(plain.encode(manifest))
        self.act("alice", "/api/v1/releases", "release.register", manifest.tag, after=digest, submission=submission)
        return Release(manifest, digest, (key("components").public,))

    def attest(self, release):
        """Attest that a release was built and passed its tests."""
        self.world.now = datetime.now(UTC)
        tag = release.manifest.tag
        for happened in (self.world.built(), self.world.ran()):
            document = self.world.statement(release, happened)
            path = f"/api/v1/releases/{tag.name}/{tag.version}/evidence"
            self.act("ci", path, "release.attest", tag, after=Digest.of(document), statement=document.decode())

    def open(self, release):
        """Open a change that brings a release to the endpoint; return its number and content."""
        state = self.people["alice"].find(AT)
        before = Digest.parse(state["slots"][-1]["release"]) if state else None
        content = Content(
            kind="normal",
            endpoint=PROD,
            tag=release.manifest.tag,
            release=release.digest,
            before=before,
            epoch=state["epoch"] if state else -1,
            resumes=False,
            policy=Digest.of(plain.encode(self.world.policy)),
            reason="because",
        )
        opened = self.act(
            "alice", "/api/v1/changes", "change.open", PROD, before=before, after=content.digest, content=content
        )
        return opened["first"], content.digest

    def decide(self, who, verb, door, change):
        """Say something about a change."""
        number, content = change
        self.act(who, f"/api/v1/changes/{number}/{door}", f"change.{verb}", f"change/{number}", after=content)

    def serve(self, version, weights=b""):
        """Bring a release all the way to the endpoint."""
        release = self.register(version, weights)
        self.attest(release)
        change = self.open(release)
        for who in ("bob", "carol"):
            self.decide(who, "approve", "approvals", change)
        self.decide("dave", "activate", "activation", change)
        return release

    def export(self, name):
        """Take the log away; return where it is."""
        export(self.people["ann"], self.folder / name)
        return self.folder / name

    def end(self):
        """End the server, as `kill -9` does."""
        self.server.kill()
        self.server.join()


@pytest.fixture
def site(postgres_database, tmp_path):
    site = Site(postgres_database[1], tmp_path)
    yield site
    site.end()


def test_a_release_goes_through_the_gate_to_a_host_and_a_shutdown_takes_its_lease(site):
    release = site.serve("1.0.0")

    admission = site.judge()
    assert admission.permit.release.digest == release.digest
    assert admission.permit.approvers == (Name("bob"), Name("carol"))
    assert site.lease(admission).deadline_ns > 0
    site.act("olivia", f"{AT}/shutdown", "endpoint.suspend", PROD)
    with pytest.raises(DeniedError, match="suspended"):
        site.lease(admission)
    with pytest.raises(DeniedError, match="suspended"):
        site.judge()


def test_what_the_host_is_handed_is_what_was_uploaded(site):
    site.serve("1.0.0")
    host, connection = site.host()

    opened = open_release(host, PROD, connection=connection, mounts=None)

    found = {name: Path(path).read_bytes() for name, path in opened.files.paths.items()}
    opened.files.close()
    assert found == {"weights/model.onnx": b"weights 1.0.0", "config/config.json": b"{}"}


def test_neither_one_approval_nor_that_of_the_author_opens_the_gate(site):
    release = site.register("1.0.0")
    change = site.open(release)
    site.decide("bob", "approve", "approvals", change)

    with pytest.raises(DeniedError, match="alice"):
        site.decide("alice", "approve", "approvals", change)
    with pytest.raises(DeniedError) as denied:
        site.decide("dave", "activate", "activation", change)

    assert set(denied.value.reasons) >= {
        "the release has no provenance by a trusted signer",
        "suite file-types has no result by a trusted signer for this release",
    }
    assert any(reason.startswith("1 of 2 approvals") for reason in denied.value.reasons)
    with pytest.raises(DeniedError):
        site.judge()


def test_after_a_rollback_the_host_admits_the_former_release_and_leases_no_other(site):
    first, second = site.serve("1.0.0"), site.serve("1.1.0")
    former = site.judge()
    assert former.permit.release.digest == second.digest

    site.act("dave", f"{AT}/rollback", "endpoint.roll-back", PROD, before=second.digest, after=first.digest)

    admission = site.judge()
    assert admission.permit.release.digest == first.digest
    assert site.lease(admission).deadline_ns > 0
    with pytest.raises(DeniedError):
        site.lease(former)


@pytest.mark.parametrize(
    ("since", "why"),
    [
        pytest.param((), "it was set back", id="and stays there"),
        pytest.param(("1.2.0",), "root", id="and grows to the same size"),
        pytest.param(("1.2.0", "1.3.0"), "root", id="and grows further"),
    ],
)
def test_a_host_refuses_a_server_whose_log_was_set_back_to_a_backup(postgres_cluster, site, since, why):
    site.serve("1.0.0")
    assert site.judge()
    site.end()
    name = psycopg.conninfo.conninfo_to_dict(site.conninfo)["dbname"]
    backup = postgres_cluster.database(template=name)
    site.start(site.conninfo)
    site.serve("1.1.0")
    assert site.judge()
    site.end()

    site.start(backup[1])
    for version in since:
        site.serve(version)

    with pytest.raises(VerificationError, match=why):
        site.judge()
    site.end()
    postgres_cluster.drop(backup[0])


@pytest.mark.parametrize("file", ["checkpoint", "tile/entries/000.p/*"])
def test_an_exported_log_verifies_and_with_one_altered_byte_it_does_not(site, file):
    site.serve("1.0.0")
    log, trust = site.export("log"), site.host()[0].trust
    assert verified(log, trust).entries

    (path,) = log.glob(file)
    whole = path.read_bytes()
    in_an_id = whole.find(b'"id":"') + len('"id":"01234567-9abc-')  # a digit (RFC 9562 §5.4): still a good entry
    for place in (0, in_an_id, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(VerificationError):
            verified(log, trust)


@pytest.mark.parametrize("change", ["UPDATE entry SET body = ''", "DELETE FROM entry WHERE idx = 0"])
def test_the_role_of_the_server_cannot_change_the_log_behind_its_back(site, change):
    site.serve("1.0.0")
    before = verified(site.export("before"), site.host()[0].trust).entries

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(site.conninfo, change)

    assert verified(site.export("after"), site.host()[0].trust).entries == before
