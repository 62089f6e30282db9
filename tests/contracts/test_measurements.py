"""Is only a plain answer taken from a Prometheus, in time, and from nobody else?"""

import json
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lockgate.app.ports import Measurements, Sample
from lockgate.drivers.prometheus import MAX_ANSWER, Prometheus
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from tests.live.serving import free_port

pytestmark = pytest.mark.live


def fills_the_port(driver: Prometheus) -> Measurements:
    """Show the type checker that the driver fills the port."""
    return driver


class Answering:
    """An HTTP server that answers whatever a test wants; `asked` are the paths that were."""

    def __init__(self):
        self.asked, self.bodies, self.answer = [], [], lambda door: door.tell(200, b"{}")
        answering = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self):
                answering.asked.append(self.path)
                answering.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                answering.answer(self)

            def do_GET(self):
                answering.asked.append(f"GET {self.path}")
                self.tell(200, vector())

            def tell(self, status, body, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def answering():
    found = Answering()
    yield found
    found.server.shutdown()
    found.server.server_close()


def vector(*values, kind="vector", status="success"):
    result = [{"metric": {"release": f"r{place}"}, "value": [1.5, value]} for place, value in enumerate(values)]
    return json.dumps({"status": status, "data": {"resultType": kind, "result": result}}).encode()


def test_samples_are_taken_as_they_were_written(answering):
    answering.answer = lambda door: door.tell(200, vector("982", "0.5", "1e-05", "NaN", "+Inf"))

    found = Prometheus(answering.url).ask("sum by (release) (errors_total)")

    assert found[0] == Sample({"release": "r0"}, "982")
    assert [one.value for one in found] == ["982", "0.5", "1e-05", "NaN", "+Inf"]
    assert answering.asked == ["/api/v1/query"] and b"query=sum+by+%28release%29" in answering.bodies[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b"{}",
        vector("1", status="error"),
        vector("1", kind="matrix"),
        vector("1", kind="string"),
        vector("one"),
        vector("1; DROP"),
        vector("0x10"),
        vector("9" * 2000),
        vector(1),
        vector(None),
        vector(*["1"] * 1001),
        b'{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"}}]}}',
        b'{"status":"success","data":{"resultType":"vector","result":["x"]}}',
        b'{"status":"success","data":{"resultType":"scalar","result":[1]}}',
        b'{"status":"success","data":[]}',
    ],
)
def test_what_is_no_answer_is_refused(answering, body):
    answering.answer = lambda door: door.tell(200, body)

    with pytest.raises(VerificationError, match="Prometheus"):
        Prometheus(answering.url).ask("up")


def test_a_redirect_is_not_followed(answering):
    answering.answer = lambda door: door.tell(302, b"", Location=f"{answering.url}/secret")

    with pytest.raises(UnavailableError, match="Prometheus answered 302"):
        Prometheus(answering.url).ask("up")
    assert answering.asked == ["/api/v1/query"]


@pytest.mark.parametrize("status", [400, 404, 422, 500, 503])
def test_an_error_is_no_data(answering, status):
    answering.answer = lambda door: door.tell(status, b'{"status":"error","error":"bad \\u001b query"}')

    with pytest.raises(UnavailableError, match=f"answered {status}: 'bad .x1b query'"):
        Prometheus(answering.url).ask("up")


def test_an_endless_answer_is_left(answering):
    def endless(door):
        door.send_response(200)
        door.end_headers()
        for _ in range(MAX_ANSWER // 65536 * 100):
            door.wfile.write(b"x" * 65536)

    answering.answer = endless

    with pytest.raises(VerificationError, match=f"more than {MAX_ANSWER} bytes"):
        Prometheus(answering.url, seconds=30).ask("up")


@pytest.mark.parametrize("piece", [None, b"x"])
def test_one_that_hangs_or_drips_is_left(answering, piece):
    ended = threading.Event()

    def slow(door):
        if piece:
            door.send_response(200)
            door.end_headers()
        while not ended.wait(0.05):
            if piece:
                door.wfile.write(piece)

    answering.answer = slow
    begun = time.monotonic()
    with pytest.raises(UnavailableError):
        Prometheus(answering.url, seconds=0.3).ask("up")
    ended.set()

    assert time.monotonic() - begun < 20


def test_nobody_there_is_no_data():
    with pytest.raises(UnavailableError, match="does not answer"):
        Prometheus(f"http://127.0.0.1:{free_port()}").ask("up")


@pytest.mark.parametrize("query", ["", "x" * 4097])
def test_a_query_without_measure_is_not_sent(answering, query):
    with pytest.raises(VerificationError, match="1 to 4096 characters"):
        Prometheus(answering.url).ask(query)
    assert answering.asked == []


@pytest.mark.parametrize(
    "url", ["http://prometheus.example:9090", "file:///etc/passwd", "ftp://127.0.0.1", "http://a:b@127.0.0.1", "x"]
)
def test_an_address_that_would_be_spoken_to_in_the_open_is_refused(url):
    with pytest.raises(LockgateError):
        Prometheus(url)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A Prometheus of its own that scrapes nothing but itself."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs prometheus")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "p.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: "
        f"[{{targets: ['127.0.0.1:{port}'], labels: {{release: 'magika@1.0.0'}}}}]}}]\n"
    )
    words = [f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/data"]
    words.append(f"--web.listen-address=127.0.0.1:{port}")
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while True:
        assert process.poll() is None and time.monotonic() < ends
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield Prometheus(f"http://127.0.0.1:{port}", seconds=20)
    process.kill()
    process.wait()


def wait_for(ask):
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            if found := ask():
                return found
        except UnavailableError:
            pass
        time.sleep(0.2)
    raise AssertionError("Prometheus measured nothing")


def test_a_real_prometheus_gives_raw_counters_by_release(real):
    (found,) = wait_for(lambda: real.ask("sum by (release) (prometheus_http_requests_total)"))

    assert found.labels == {"release": "magika@1.0.0"} and found.value.isdecimal()
    assert real.ask("scalar(vector(0.25))") == (Sample({}, "0.25"),)
    assert [one.value for one in real.ask("vector(1) / 0")] == ["+Inf"]
    assert real.ask("nothing_of_this_name") == ()


@pytest.mark.parametrize("query", ["sum by (", "up[5m]", "'text'"])
def test_a_query_that_gives_no_samples_is_refused_by_a_real_prometheus(real, query):
    wait_for(lambda: real.ask("vector(1)"))

    with pytest.raises(LockgateError):
        real.ask(query)
