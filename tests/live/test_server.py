"""A server in a process of its own, on its own PostgreSQL, spoken to over a real socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import urllib3

from lockgate.core.ceremony import Ceremony
from lockgate.core.endpoint import State
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.journal import endpoint_subject, replay
from lockgate.core.metadata import Carried
from lockgate.core.trust import Purpose, Trust
from lockgate.drivers.ceremony_folder import write_ceremony
from lockgate.drivers.embedded_postgres import EmbeddedPostgres
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.segments import encrypted_size
from lockgate.loader.connection import Connection
from lockgate.tlog.checkpoint import open_checkpoint
from lockgate.tlog.note import NoteVerifier
from lockgate.wiring import create
from tests.world import PROD, carried, key, policy, trust

SERVE = "import sys, pathlib; from lockgate.server.asgi import serve; serve(pathlib.Path(sys.argv[1]))"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def found_installation(home):
    """Make an installation whose trust document names the keys that it has just made."""
    public = create(home, Name("prod"), "prod.example/changes")
    held = trust()
    made = {Purpose.VSA: "vsa", Purpose.LEASE: "lease", Purpose.CHECKPOINT: "checkpoint", Purpose.UPDATES: "tuf-online"}
    renewed = tuple(
        replace(signer, key=public[made[signer.purpose]]) if signer.purpose in made else signer
        for signer in held.signers
    )
    document = replace(held, signers=renewed, expires=datetime.now(UTC) + timedelta(days=1))
    write_ceremony(home / "ceremony", Ceremony(carried(document, None), None))
    return document


@contextmanager
def running(home, *, ready=200, **environ):
    """Serve `home` until the block ends; give its URL and its process. Wait until it says that it is `ready`."""
    listen = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(home)], env={**os.environ, "LOCKGATE_LISTEN": listen, **environ}
    )
    try:
        wait_for(f"http://{listen}/readyz", process, ready)
        yield f"http://{listen}", process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url, process, status=200):
    pool = urllib3.PoolManager(retries=False, timeout=5)
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            if pool.request("GET", url).status == status:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server does not come up")


def speak(url, who):
    return Connection(url, Name(who), lambda intent: sign_intent(intent, key(who)))


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    home = tmp_path_factory.mktemp("installation") / "home"
    document = found_installation(home)
    with running(home) as (url, _):
        yield url, home, document
    assert not (home / "postgres" / "data" / "postmaster.pid").exists(), "the database was left running"


def publish_policy(url, wanted):
    """Hold a ceremony for a policy, and publish what was signed."""
    ann = speak(url, "ann")
    held, before = ann.get("/api/v1/rules"), ann.get("/api/v1/installation")["rules"]
    policy_held = held["policy"].encode() if held["policy"] else None
    was = Carried(held["trust"].encode(), policy_held, held["root"].encode(), held["targets"].encode())
    trusted = plain.decode(Trust, dsse.parse(was.trust).payload)
    signed = carried(trusted, wanted, held=was)
    intent = ann.intend("rules.adopt", "prod", before=Digest.parse(before), after=Digest.of(signed.targets))
    documents = {name: getattr(signed, name).decode() for name in ("trust", "policy", "root", "targets")}
    return ann.act("/api/v1/rules", intent, documents=documents)


def test_a_new_installation_adopts_its_trust_and_a_policy(founded):
    url, _, document = founded
    ann = speak(url, "ann")
    overview = ann.get("/api/v1/installation")
    assert overview["trust"] == {"digest": str(Digest.of(plain.encode(document))), "version": 1}
    assert overview["policy"] is None

    wanted = replace(policy(), expires=datetime.now(UTC) + timedelta(days=1))
    digest = Digest.of(plain.encode(wanted))
    receipt = publish_policy(url, wanted)

    assert (receipt["first"], receipt["stop"]) == (1, 2)
    assert receipt["published"]
    assert ann.get("/api/v1/installation")["policy"] == {"digest": str(digest), "version": 1}


def test_a_head_is_signed_within_a_second_of_a_commit(founded):
    url, _, document = founded
    dave = speak(url, "dave")
    verifier = NoteVerifier(document.origin, next(s.key.raw for s in document.signers if s.purpose == "checkpoint"))
    stop = dave.act(f"/api/v1/endpoints/{PROD}/shutdown", dave.intend("endpoint.suspend", PROD))["stop"]

    time.sleep(1)

    assert open_checkpoint(dave.fetch("/log/checkpoint"), [verifier]).size >= stop


def test_a_blob_goes_up_and_comes_down_in_pieces(founded):
    url, home, _ = founded
    alice = speak(url, "alice")
    content = os.urandom(1 << 20) * 40
    digest = Digest.of(content)
    where = f"/api/v1/blobs/{digest}"
    assert not alice.has(where)

    alice.upload(where, (content[at : at + 100_000] for at in range(0, len(content), 100_000)), len(content))

    assert alice.has(where)
    assert len(alice.stream(where).read()) == encrypted_size(len(content))
    assert list((home / "blobs" / "growing").iterdir()) == []


def test_a_broken_upload_leaves_nothing(founded):
    url, home, _ = founded
    alice = speak(url, "alice")
    where = f"/api/v1/blobs/{Digest.of(b'x' * 10_000_000)}"
    alice.has(where)  # opens the session
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        head = f"PUT {where} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {alice.token}\r\n"
        raw.sendall(head.encode() + b"Content-Length: 10000000\r\n\r\n" + b"x" * 5_000_000)
        time.sleep(0.3)

    for _ in range(50):
        if not list((home / "blobs" / "growing").iterdir()):
            break
        time.sleep(0.1)

    assert list((home / "blobs" / "growing").iterdir()) == []
    assert not alice.has(where)


def test_shutdown_is_answered_while_slow_uploads_wait(founded):
    url, _, _ = founded
    dave = speak(url, "dave")
    alice = speak(url, "alice")
    dave.get("/api/v1/installation")
    alice.get("/api/v1/installation")
    host, port = url.removeprefix("http://").split(":")
    where = f"/api/v1/blobs/{Digest.of(b'slow')}"
    head = f"PUT {where} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {alice.token}\r\nContent-Length: 9\r\n\r\n"
    slow = [socket.create_connection((host, int(port))) for _ in range(60)]
    for each in slow:
        each.sendall(head.encode())
    time.sleep(0.5)

    started = time.monotonic()
    dave.act(f"/api/v1/endpoints/{PROD}/shutdown", dave.intend("endpoint.suspend", PROD))
    took = time.monotonic() - started

    for each in slow:
        each.close()
    assert took < 5


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    home = tmp_path / "home"
    found_installation(home)
    with running(home) as (url, process):
        dave = speak(url, "dave")
        intent = dave.intend("endpoint.suspend", PROD)
        receipt = dave.act(f"/api/v1/endpoints/{PROD}/shutdown", intent)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    with running(home) as (url, _):
        again, ann = speak(url, "dave"), speak(url, "ann")
        assert again.act(f"/api/v1/endpoints/{PROD}/shutdown", intent)["first"] == receipt["first"]
        entries = [str(entry).encode() for entry in ann.get("/api/v1/log/entries")["items"]]

    state = replay(entries)[endpoint_subject(PROD)]
    assert isinstance(state, State)
    assert state.suspended


def test_without_a_database(tmp_path):
    home = tmp_path / "home"
    found_installation(home)
    with running(home) as (url, process):
        dave = speak(url, "dave")
        before = dave.get("/api/v1/installation")["checkpoint"]
        EmbeddedPostgres(home).stop()

        with pytest.raises(UnavailableError):
            dave.act(f"/api/v1/endpoints/{PROD}/shutdown", dave.intend("endpoint.suspend", PROD))
        pool = urllib3.PoolManager(retries=False, timeout=10)
        assert pool.request("GET", f"{url}/readyz").status == 503
        assert pool.request("GET", f"{url}/healthz").status == 200

        EmbeddedPostgres(home).start()
        wait_for(f"{url}/readyz", process)
        assert dave.get("/api/v1/installation")["checkpoint"] == before


def test_an_actor_without_the_right_is_denied_and_that_is_logged(founded):
    url, _, _ = founded
    bob, ann = speak(url, "bob"), speak(url, "ann")
    with pytest.raises(DeniedError, match="no right to endpoint"):
        bob.act(f"/api/v1/endpoints/{PROD}/shutdown", bob.intend("endpoint.suspend", PROD))

    entries = [str(entry) for entry in ann.get("/api/v1/log/entries")["items"]]

    assert any('"actor":"bob"' in entry and '"denied/v1"' in entry for entry in entries)


def test_an_intent_of_somebody_else_is_refused(founded):
    url, _, _ = founded
    dave = speak(url, "dave")
    dave.get("/api/v1/installation")
    said = Intent("endpoint.suspend", str(PROD), None, None, Name("olivia"), "n" * 32, datetime.now(UTC) + timedelta(1))

    with pytest.raises(DeniedError, match="the intent is of olivia, the session of dave"):
        Connection(url, Name("dave"), lambda intent: sign_intent(intent, key("olivia")), token=dave.token).act(
            f"/api/v1/endpoints/{PROD}/shutdown", said
        )


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_own_headers(tmp_path):
    found_installation(tmp_path)
    client = urllib3.PoolManager(retries=False)
    seconds = []
    with running(tmp_path) as (url, _):
        for _ in range(20):
            started = time.perf_counter()
            assert client.request("GET", f"{url}/healthz").status == 200
            seconds.append(time.perf_counter() - started)

    assert min(seconds[10:]) < 0.03, "Nagle's algorithm waits for an acknowledgement that is delayed by 40 ms"
