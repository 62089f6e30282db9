"""What does an attacker get who owns the server, the wire, the source of the files, or the other end of a signal?"""

import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import tests.world
from lockgate.core.intent import sign_intent
from lockgate.core.lease import Grant, sign_grant
from lockgate.core.policy import Lease
from lockgate.core.release import Serve
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import canonical, dsse, plain
from lockgate.formats.names import Name
from lockgate.loader.connection import MAX_ANSWER, Connection
from lockgate.loader.control import Ended
from lockgate.loader.hand_over import Handed
from lockgate.loader.host import open_host
from lockgate.loader.lease_clock import Held
from lockgate.loader.opening import ask_lease, connect, installed_distributions, judge_endpoint, open_release
from lockgate.loader.run import command_line, serve_release
from tests.live.company import ENDS, Company, serving
from tests.live.test_server import found_installation, running
from tests.rogue import Rogue, listening
from tests.world import PROD, host_home, key


@pytest.fixture
def company(tmp_path, monkeypatch):
    """A world of today with a release in service, and a host that may serve it."""
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    rules = replace(tests.world.rules(), lease=Lease(6, "stop"))
    monkeypatch.setattr(tests.world, "rules", lambda: rules)
    return Company(tmp_path)


def test_a_release_that_was_stopped_and_came_back_is_judged_again_before_it_gets_a_lease(company):
    release = company.serve()
    with serving(company.world) as url:
        host = company.host(url)
        connection = connect(host)
        admission = judge_endpoint(host, PROD, connection)
        assert ask_lease(host, admission, connection, "sealed")

        company.suspend_and_resume(release)

        with pytest.raises(DeniedError, match="has moved on: the lease is for entry"):
            ask_lease(host, admission, connection, "sealed")
        assert ask_lease(host, judge_endpoint(host, PROD, connection), connection, "sealed")


@pytest.fixture
def judged(company):
    """A host, and what it has judged."""
    company.serve()
    with serving(company.world) as url:
        host = company.host(url)
        yield host, judge_endpoint(host, PROD, connect(host))


class Thief(Rogue):
    """A server whose lease key was stolen: it grants whatever `change` makes of what was asked."""

    def __init__(self, change, signer="prod-lease"):
        super().__init__()
        self.change, self.signer = change, signer

    def answer(self, body):
        asked = canonical.parse_object(dsse.parse(body).payload)
        want = asked["wants"][0]
        given = {"epoch": 0, "seconds": 30, **want}
        grant = {"type": "lease/v1", "node": asked["node"], "nonce": asked["nonce"], "granted": [given], "refused": []}
        self.change(grant)
        return sign_grant(plain.from_plain(Grant, grant), key(self.signer))


def ask(judged, thief):
    host, admission = judged
    with listening(thief):
        return ask_lease(
            host, admission, Connection(thief.url, host.node, lambda i: sign_intent(i, host.key)), "sealed"
        )


def granting(judged, **members):
    return lambda grant: grant["granted"][0].update({"epoch": judged[1].epoch, **members})


def test_a_lease_lasts_no_longer_than_the_hosts_own_policy_says(judged):
    sent = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    lease = ask(judged, Thief(granting(judged, seconds=3600)))
    assert lease.deadline_ns - sent < 7 * 10**9


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda grant: grant.update(nonce="n" * 32), VerificationError),
        (lambda grant: grant.update(node="host-2"), VerificationError),
        (lambda grant: grant["granted"][0].update(endpoint="prod/other"), VerificationError),
        (lambda grant: grant["granted"][0].update(release="sha256:" + "0" * 64), VerificationError),
        (lambda grant: grant["granted"][0].update(epoch=10**9), DeniedError),
        (lambda grant: grant["granted"][0].update(seconds=3601), VerificationError),
        (lambda grant: grant["granted"][0].update(seconds=1), VerificationError),
        (lambda grant: grant.update(granted=[]), DeniedError),
        (lambda grant: grant.update(granted=grant["granted"] * 2), VerificationError),
        (
            lambda grant: grant.update(
                refused=[{"endpoint": "prod/magika", "release": grant["granted"][0]["release"], "reason": "no"}]
            ),
            DeniedError,
        ),
    ],
)
def test_a_grant_that_answers_something_else_is_none(judged, change, error):
    both = lambda grant: (granting(judged)(grant), change(grant))  # noqa: E731
    with pytest.raises(error):
        ask(judged, Thief(both))


def test_a_grant_by_another_key_is_none(judged):
    for signer in ("prod-vsa", "prod-checkpoint", "host-1", "mallory"):
        with pytest.raises(VerificationError):
            ask(judged, Thief(granting(judged), signer))
    assert ask(judged, Thief(granting(judged)))


def opened_for(company, host, connection, **changes):
    return replace(open_release(host, PROD, connection=connection, mounts=None), **changes)


def test_a_lease_that_ran_out_while_files_were_copied_is_renewed_before_the_server_starts(company):
    company.serve(ENDS)
    with serving(company.world) as url:
        host = company.host(url)
        connection = connect(host)
        opened = opened_for(company, host, connection, lease=Held(1, 2, 3))
        try:
            assert serve_release(host, opened, connection, 8500, print) == Ended(7, "the server ended")
        finally:
            opened.files.close()


def test_nothing_starts_when_the_endpoint_was_stopped_while_files_were_copied(company, tmp_path):
    company.serve(f"open({str(tmp_path / 'started')!r}, 'w')")
    with serving(company.world) as url:
        host = company.host(url)
        connection = connect(host)
        opened = opened_for(company, host, connection, lease=Held(1, 2, 3))
        company.world.shut_down()
        with pytest.raises(DeniedError, match="suspended"):
            serve_release(host, opened, connection, 8500, print)
        opened.files.close()
    assert not (tmp_path / "started").exists()


PATHS = {"a/x": "/proc/self/fd/3", "a/{port}": "/proc/self/fd/4", "a/y": "/tmp/{file:a/x}"}


@pytest.mark.parametrize(
    ("word", "filled"),
    [
        ("{port}", "1"), ("--port={port}", "1"), ("{python}", sys.executable), ("{file:a/x}", "/proc/self/fd/3"),
        ("{file:a/y}", "/tmp/{file:a/x}"), ('{"a": 1}', '{"a": 1}'), ("{}", "{}"), ("{other}", "{other}"),
    ],
)  # fmt: skip
def test_a_placeholder_is_filled_once(word, filled):
    files = Handed("memfd", PATHS, None, ())
    assert command_line(Serve((word,), {}), files, 1)[0].endswith(filled)


def test_a_placeholder_that_means_nothing_here_is_an_error():
    files = Handed("memfd", PATHS, None, ())
    with pytest.raises(VerificationError, match="no component has that file"):
        command_line(Serve(("{file:a/z}",), {}), files, 1)
    with pytest.raises(UnavailableError, match="no private mounts"):
        command_line(Serve(("{model}/x",), {}), files, 1)


@pytest.mark.parametrize(
    "serve", [Serve(("a\0b",), {}), Serve(("a",), {"A": "\0"}), Serve(("a",), {"A=B": "c"}), Serve(("a",), {"": "c"})]
)
def test_words_that_no_program_can_be_given_start_nothing(company, serve):
    company.world.serve(serve=serve)
    with serving(company.world) as url:
        host = company.host(url)
        connection = connect(host)
        opened = opened_for(company, host, connection)
        with pytest.raises(VerificationError):
            serve_release(host, opened, connection, 8500, print)
        opened.files.close()


def test_of_two_distributions_with_one_name_the_one_that_is_imported_counts(tmp_path, monkeypatch):
    for place, version in (("first", "2"), ("second", "1")):
        folder = tmp_path / place / f"a__b-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: a__b\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert installed_distributions() == {"a-b": "2"}


class Flood(BaseHTTPRequestHandler):
    """Say what is asked for with `/KIND`, for ever."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        if self.path == "/chunks":
            self.send_header("transfer-encoding", "chunked")
        if self.path == "/zipped":
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        piece = b"10000\r\n" + bytes(65536) + b"\r\n" if self.path == "/chunks" else bytes(65536)
        self.close_connection = True
        try:
            while True:
                self.wfile.write(piece)
        except OSError:
            pass

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.parametrize("kind", ["/chunks", "/plain", "/zipped"])
def test_an_endless_answer_is_cut_off(kind):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Flood)
    with listening(server):
        connection = Connection(f"http://127.0.0.1:{server.server_port}", Name("a"), lambda i: sign_intent(i, key("a")))
        connection.token = "t"
        tracemalloc.start()
        with pytest.raises(VerificationError, match="more than"):
            connection.fetch(kind)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 3 * MAX_ANSWER


def test_a_host_refuses_a_log_that_was_set_back_or_rewritten_and_a_memory_that_is_spoiled(company):
    company.serve()
    with serving(company.world) as url:
        host = company.host(url)
        judge_endpoint(host, PROD, connect(host))
        seen = canonical.parse_object((host.home / "seen.json").read_bytes())
        judge_endpoint(host, PROD, connect(host))
        for spoiled, says in [
            ({"size": seen["size"] + 1}, "set back"),
            ({"root": "sha256:" + "0" * 64}, "two roots"),
            ({"size": seen["size"] - 1}, "consistency proof"),
            ({"size": 0}, "consistency proof"),
            ({"size": -1}, "consistency proof"),
        ]:
            (host.home / "seen.json").write_bytes(canonical.encode({**seen, **spoiled}))
            with pytest.raises(VerificationError, match=says):
                judge_endpoint(host, PROD, connect(host))
        (host.home / "seen.json").write_bytes(b"{")
        with pytest.raises(VerificationError):
            judge_endpoint(host, PROD, connect(host))


def test_what_a_host_has_judged_by_is_not_forgotten_by_one_with_older_documents(company):
    company.serve()
    with serving(company.world) as url:
        host = company.host(url)
        judge_endpoint(host, PROD, connect(host))
        seen = canonical.parse_object((host.home / "seen.json").read_bytes())
        (host.home / "seen.json").write_bytes(canonical.encode({**seen, "trust": 7, "policy": 8}))
        judge_endpoint(host, PROD, connect(host))  # it was started before the documents were renewed
        after = canonical.parse_object((host.home / "seen.json").read_bytes())
        assert (after["trust"], after["policy"]) == (7, 8)
        with pytest.raises(VerificationError, match="older"):
            company.host(url)


def test_two_at_one_home_learn_of_log_heads_one_after_the_other(company):
    home = host_home(company.path / "host", updates=company.world.feed(company.path / "feed"))
    host = open_host(home, datetime.now(UTC))
    order = []

    def learn(name, seconds):
        with host.looking():
            order.append(name)
            time.sleep(seconds)
            order.append(name)

    threads = [threading.Thread(target=learn, args=(name, 0.1)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[::2] == order[1::2]


@contextmanager
def lockgate(*words):
    command = [sys.executable, "-m", "lockgate", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def wait_for(program, text):
    for line in program.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended without saying {text}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_host_that_follows_and_the_server_that_it_runs(company, number):
    company.serve()
    with serving(company.world) as url:
        home = company.home(url)
        with lockgate("run", "--home", home, "--endpoint", PROD, "--follow") as program:
            wait_for(program, "started")
            wait_for(program, "serves")
            program.send_signal(number)
            assert program.wait(10) == 128 + number


def test_a_host_that_follows_judges_again_what_came_back(company):
    release = company.serve()
    with serving(company.world) as url:
        home = company.home(url)
        with lockgate("run", "--home", home, "--endpoint", PROD, "--follow") as program:
            wait_for(program, "serves")
            company.suspend_and_resume(release)
            wait_for(program, "has moved on")
            wait_for(program, "serves")
            program.send_signal(signal.SIGTERM)
            assert program.wait(10) == 128 + signal.SIGTERM


def test_a_second_server_at_one_home_is_refused_and_does_not_stop_the_first(tmp_path):
    home = tmp_path / "home"
    found_installation(home)
    with running(home) as (url, process):
        listen = url.removeprefix("http://")
        for place, code in ((listen, 6), ("127.0.0.1:1", 6 if os.getuid() else 5)):
            second = subprocess.run(
                [sys.executable, "-m", "lockgate", "up", "--home", str(home)],
                env={**os.environ, "LOCKGATE_LISTEN": place},
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert (second.returncode, "Traceback" in second.stderr) == (code, False), second.stderr
        connection = Connection(url, Name("ann"), lambda intent: sign_intent(intent, key("ann")))
        assert connection.get("/api/v1/installation")["environment"] == "prod"
        assert process.poll() is None


STORM = """
import os, pathlib, signal, sys, threading, time
from lockgate.loader.supervise import Child, forwarding

deaf = "import signal, time; signal.signal(signal.SIGUSR1, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
child = Child([sys.executable, "-c", deaf], dict(os.environ), pathlib.Path("/"))
time.sleep(0.5)
ends = time.monotonic() + 1

def storm():
    while time.monotonic() < ends:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.0005)

with forwarding(child):
    thread = threading.Thread(target=storm)
    thread.start()
    while thread.is_alive():
        child.allow_until(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 60 * 10**9)
    child.stop(1)
"""


def test_a_signal_that_comes_while_a_lease_is_handed_on_hangs_nothing():
    subprocess.run([sys.executable, "-c", STORM], check=True, timeout=20)
