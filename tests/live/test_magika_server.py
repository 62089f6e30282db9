"""Against the published wheels of Magika, fetched into `$LOCKGATE_CACHE` by the pip that is configured."""

import hashlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import onnxruntime
import pytest

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.magika_server import MAX_BODY, classify, read_settings
from lockgate.cli.demo.samples import SAMPLES

pytestmark = pytest.mark.live
VERSIONS = [release.version for release in magika.RELEASES]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    into = tmp_path_factory.mktemp("magika")
    magika.build(magika.fetch(wheels.default_cache()), into)
    return into


@contextmanager
def serving(release):
    command = [sys.executable, "-m", "lockgate.cli.demo.magika_server", "--model", str(release), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline().split()
            yield child, line, int(line[-1].rpartition(":")[2])
        finally:
            child.kill()


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, document


@pytest.mark.parametrize("release", magika.RELEASES, ids=lambda release: release.version)
def test_every_release_serves_and_names_every_sample(built, release):
    weights = (built / release.version / "weights" / "model.onnx").read_bytes()
    model = release.generation.model

    with serving(built / release.version) as (_, line, port):
        answers = {name: ask(port, "POST", "/classify", each.content()) for name, each in SAMPLES.items()}
        health = ask(port, "GET", "/healthz")

    assert line == ["serving", model, "on", f"http://127.0.0.1:{port}"]
    assert health == (200, {"model": model, "weights": f"sha256:{hashlib.sha256(weights).hexdigest()}"})
    assert {status for status, _ in answers.values()} == {200}
    assert {document["model"] for _, document in answers.values()} == {model}
    expected = {name: each.expected(release.version) for name, each in SAMPLES.items()}
    assert {name: document["label"] for name, (_, document) in answers.items()} == expected


def test_a_stopped_server_is_gone_within_a_second_even_with_a_request_in_flight(built):
    with serving(built / "1.1.0") as (child, _, port):
        slow = http.client.HTTPConnection("127.0.0.1", port)
        slow.putrequest("POST", "/classify")
        slow.putheader("Content-Length", "1000")
        slow.endheaders(b"only a part")
        assert ask(port, "GET", "/healthz")[0] == 200
        started = time.monotonic()
        child.send_signal(signal.SIGTERM)

        assert child.wait(5) == 0
        assert time.monotonic() - started < 1
        slow.close()


def test_what_is_no_file_to_classify_is_refused_and_the_server_goes_on(built):
    def lengths(stated):
        return "POST", "/classify", None, {"Content-Length": stated}

    refusals = [
        (404, ("GET", "/")),
        (404, ("GET", "/classify")),
        (404, ("POST", "/", b"x")),
        (411, ("POST", "/classify", iter([b"x"]), {"Transfer-Encoding": "chunked"})),
        *((411, lengths(stated)) for stated in ("-1", "", "9" * 5000, "\u00b2", "0x10", "1_0")),
        (413, lengths(str(MAX_BODY + 1))),
    ]

    with serving(built / "1.1.0") as (_, _, port):
        answers = [(ask(port, *request)[0], request) for _, request in refusals]
        assert answers == refusals
        status, document = ask(port, "POST", "/classify", bytes(MAX_BODY))

    assert (status, document["model"]) == (200, "standard_v3_3")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /classify HTTP/1.1\r\nContent-Length: 100\r\n\r\ntoo short", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 25\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", b"404"),
        (
            b"POST /classify HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            b"411",
        ),
    ],
)
def test_a_body_is_never_taken_for_a_request_or_half_of_it_for_all(built, request_, status):
    with serving(built / "1.1.0") as (_, _, port), socket.create_connection(("127.0.0.1", port), 5) as line:
        line.sendall(request_)
        line.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: line.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_contract_says_what_the_model_itself_says(built, version):
    weights = (built / version / "weights" / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    settings = read_settings(built / version / "config")
    contract = magika.contract(built / version)

    (given,), (answered,) = session.get_inputs(), session.get_outputs()
    assert contract["inputs"] == [f"{given.name}:{settings.number}[{given.shape[1]}]"]
    assert given.type == {"float32": "tensor(float)", "int32": "tensor(int32)"}[settings.number]
    assert contract["outputs"] == [f"{answered.name}:float32"]
    assert answered.shape[1] == len(settings.labels)
    assert {classify(each.content(), settings, session).label for each in SAMPLES.values()} <= set(contract["labels"])


def test_the_second_model_narrows_the_first_and_the_third_keeps_the_second(built):
    first, second, patched, third = (magika.contract(built / version) for version in VERSIONS)

    assert set(first["labels"]) - set(second["labels"]) == {"symlinktext"}
    assert not set(first["inputs"]) & set(second["inputs"])
    assert second == patched == third


def test_a_release_says_how_many_requests_it_takes_at_once_and_how_long_each_waits(built, tmp_path):
    tuned = magika.Release("1.1.0", magika.STANDARD_V3_3, serving={"at_once": 1, "gather_ms": 1000})
    magika.build(magika.fetch(wheels.default_cache()), tmp_path, [tuned])
    with serving(tmp_path / "1.1.0") as (_, _, port), ThreadPoolExecutor(2) as pool:
        for _ in range(10):  # until both are there within the second
            found = sorted(pool.map(lambda _: ask(port, "POST", "/classify", b"x" * 40), range(2)), key=str)
            if found[0][0] != found[1][0]:
                break
        assert [status for status, _ in found] == [200, 503]
        assert found[1][1] == {"error": "1 at once, no more"}


def test_the_blocks_of_a_file_are_named_one_after_another(built):
    content = SAMPLES["decoder.py"].content()
    with serving(built / "1.1.0") as (_, _, port):
        caller = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        caller.request("POST", "/blocks", content)
        with caller.getresponse() as answer:
            lines = [json.loads(line) for line in answer]
        caller.close()

    assert [line["block"] for line in lines] == [*range(-(-len(content) // 1024))]
    assert "python" in {line["label"] for line in lines}
