"""Does a cluster get an answer about a pod, over TLS, and is the answer no whenever something is missing?"""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

import tests.world
from lockgate.core.pod import Terms, Wanted, pod_of
from lockgate.core.release import Serve
from lockgate.formats.digest import Digest
from lockgate.loader.narrow_door import MAX_CALLERS
from lockgate.loader.tls import client_context, server_context
from lockgate.porter.judging import Porter
from lockgate.porter.review_door import ReviewDoor
from tests.calling import free_address, until
from tests.core.test_admission import asked
from tests.live.company import Company, serving
from tests.live.tls_files import Files
from tests.world import PROD

TERMS = Terms(f"registry.example/lockgate@{Digest.of(b'lockgate')}")
SERVE = Serve(("python3", "serve.py"), {"LANG": "C"}, Digest.of(b"image"))


@pytest.fixture
def company(tmp_path, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    return Company(tmp_path)


def served(company, version="1.0.0"):
    """Bring a release into service; return the review of a pod that serves it."""
    release = company.world.serve(version, serve=SERVE)
    return asked(pod_of(Wanted(PROD, release.digest, release.manifest.serve), "registry.example/m", TERMS)).encode()


def porter(company, url):
    return Porter(company.home(url), TERMS, lambda: datetime.now(UTC))


def test_what_is_admitted_follows_what_serves_now(company):
    first = served(company)
    with serving(company.world) as url:
        judge = porter(company, url)
        assert judge.answer(first).reasons == ()

        second = served(company, "1.1.0")
        assert judge.answer(second).reasons == ()
        assert "which nothing lets serve at prod/magika" in judge.answer(first).reasons[0]

        company.world.shut_down()
        assert any("suspended" in reason for reason in judge.answer(second).reasons)


def test_a_revoked_release_starts_no_pod(company):
    review = served(company)
    with serving(company.world) as url:
        judge = porter(company, url)
        assert judge.answer(review).reasons == ()

        company.world.revoke("magika@1.0.0")

        assert any("revoked" in reason for reason in judge.answer(review).reasons)


def test_a_server_that_does_not_answer_is_a_no(company):
    review = served(company)
    with serving(company.world) as url:
        judge = porter(company, url)
        assert judge.answer(review).reasons == ()

    assert judge.answer(review).reasons


@contextmanager
def door(answer, tls=None):
    address = free_address()
    with ReviewDoor((address.host, address.port), answer, tls) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield address
        found.shutdown()


def ask(address, document, path="/review?timeout=10s", context=None):
    plain = http.client.HTTPConnection(address.host, address.port, timeout=20)
    caller = http.client.HTTPSConnection(address.host, address.port, timeout=20, context=context) if context else plain
    try:
        caller.request("POST", path, document, {"Content-Type": "application/json"})
        answer = caller.getresponse()
        return answer.status, answer.read()
    finally:
        caller.close()


def test_the_cluster_is_answered_over_tls_and_only_there(company, tmp_path):
    review, files = served(company), Files(tmp_path)
    believed = client_context(files.believing(files.company))
    with (
        serving(company.world) as url,
        door(porter(company, url).answer, server_context(files.shown(files.server()))) as address,
    ):
        status, answer = ask(address, review, context=believed)

        assert (status, json.loads(answer)["response"]["allowed"]) == (200, True)
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(address, review)
        with pytest.raises(ssl.SSLError):
            ask(address, review, context=client_context(files.believing(files.other)))


@pytest.mark.parametrize(
    ("document", "path", "status"),
    [(b"{}", "/review", 400), (b"", "/review", 400), (b"x" * 100, "/other", 404), (b"[" * 50_000, "/review", 400)],
)
def test_what_is_no_question_gets_no_verdict(tmp_path, document, path, status):
    with door(Porter(tmp_path, TERMS, lambda: datetime.now(UTC)).answer) as address:
        assert ask(address, document, path) == (status, b"")


def test_a_review_that_is_too_large_is_not_read(tmp_path):
    with (
        door(Porter(tmp_path, TERMS, lambda: datetime.now(UTC)).answer) as address,
        socket.create_connection((address.host, address.port), 20) as caller,
    ):
        caller.sendall(b"POST /review HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")

        assert b" 400 " in caller.recv(100)


def test_callers_who_say_nothing_keep_nobody_out(tmp_path):
    with door(Porter(tmp_path, TERMS, lambda: datetime.now(UTC)).answer) as address:
        silent = [socket.create_connection((address.host, address.port), 20) for _ in range(3 * MAX_CALLERS)]
        assert ask(address, b"{}")[0] == 400
        assert silent[0].recv(1) == b""
        for caller in silent:
            caller.close()


def test_a_person_starts_the_porter_and_ends_it(company):
    review, address = served(company), free_address()
    with serving(company.world) as url:
        command = [sys.executable, "-m", "lockgate", "kubernetes", "admit", "--home", str(company.home(url))]
        command += ["--loader", TERMS.loader, "--listen", str(address)]
        program = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"LOCKGATE_HOME": "/nowhere"})
        try:
            until(lambda: program.poll() is not None or _listens(address))
            assert json.loads(ask(address, review)[1])["response"]["allowed"] is True
            other = review.replace(b"serve.py", b"other.py")
            answer = json.loads(ask(address, other)[1])["response"]
            assert answer["allowed"] is False and "not that of the passport" in answer["status"]["message"]
        finally:
            program.send_signal(signal.SIGTERM)
            said = program.communicate(timeout=20)[1]
    assert program.returncode == 0 and b"refused 1-2" in said


def _listens(address):
    try:
        socket.create_connection((address.host, address.port), 1).close()
    except OSError:
        return False
    return True
