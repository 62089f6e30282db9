"""Does the gateway end what it must when its parts, or its owner, fail?"""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockgate.core.traffic import Traffic
from lockgate.errors import ConflictError, UnavailableError
from tests.calling import CANDIDATE, ENDPOINT, STABLE, Stream, call, free_address, route, split, until
from tests.upstream import Upstream

envoy = pytest.importorskip("lockgate.drivers.envoy")
delta_ads = pytest.importorskip("lockgate.drivers.envoy.delta_ads")

ROOT = Path(__file__).parents[2]
TTL = 2.0
SOAK = bool(os.environ.get("LOCKGATE_SOAK"))


@pytest.fixture(scope="module")
def stable():
    with Upstream("stable") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def candidate():
    with Upstream("candidate") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def listen():
    return free_address()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("a-home-with-a-name-that-is-too-long-for-any-socket-" * 3)


@pytest.fixture(scope="module")
def opened(home, listen):
    gateway = envoy.open_gateway(home, listen=listen, ttl=TTL, seconds=60)
    yield gateway
    gateway.close()


@pytest.fixture
def gateway(opened, stable):
    """The gateway, with one release that serves."""
    shown(opened, Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    return opened


def shown(gateway, *traffic):
    gateway.show(traffic, fence=gateway._least)


def status(listen, **headers):
    try:
        return call(listen, "/prod/magika/x", **headers)[0]
    except OSError:
        return None


@contextmanager
def owner(tmp_path, stable, ttl=1.0):
    """Run a gateway in a process of its own; give the process, its address and its Envoy."""
    listen = free_address()
    command = [sys.executable, "-m", "tests.gateway_owner", str(tmp_path), str(listen), str(ttl), str(stable.address)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process, listen, int(process.stdout.readline())
        finally:
            process.kill()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_gateway_that_was_seen_to_let_go_says_so(gateway):
    assert gateway.fail_closed is True


def test_a_cut_stops_every_stream_at_once(gateway, listen):
    streams = [Stream(listen) for _ in range(8)]

    gateway.cut(ENDPOINT, fence=gateway._least)
    cut_at = time.monotonic()

    assert all(until(lambda stream=stream: stream.ended_at) for stream in streams)
    assert max(stream.newest for stream in streams) < cut_at + 0.25  # of a busy machine; bench/gateway.py is exact
    assert status(listen) == 503


def test_an_owner_that_stands_still_serves_nobody_after_the_ttl(tmp_path, stable):
    with owner(tmp_path, stable) as (process, listen, _):
        stream = Stream(listen)
        process.send_signal(signal.SIGSTOP)
        stopped_at = time.monotonic()

        until(lambda: stream.ended_at)

        assert stream.newest < stopped_at + 1.0 + 0.25
        assert status(listen) == 503
        process.send_signal(signal.SIGCONT)
        until(lambda: status(listen) == 200)


def test_an_owner_that_is_killed_takes_its_envoy_along(tmp_path, stable):
    with owner(tmp_path, stable, ttl=30) as (process, listen, pid):
        stream = Stream(listen)
        process.kill()

        until(lambda: stream.ended_at)

        until(lambda: not is_alive(pid))
        assert status(listen) is None
    again = envoy.open_gateway(tmp_path, listen=listen, seconds=60)
    again.close()


def test_an_owner_that_breaks_down_without_closing_ends_and_takes_its_envoy_along(tmp_path, stable):
    with owner(tmp_path, stable) as (process, listen, pid):
        process.communicate(b"forget\n", timeout=60)

        assert process.returncode == 1
        until(lambda: not is_alive(pid))
        assert status(listen) is None


def test_an_owner_that_closes_leaves_nothing_but_the_log(tmp_path, stable):
    with owner(tmp_path, stable) as (process, listen, pid):
        process.communicate(timeout=60)

        assert not is_alive(pid)
        assert status(listen) is None
        assert [path.name for path in (tmp_path / "gateway").iterdir()] == ["envoy.log"]


def test_without_a_feeder_everything_ends_and_with_a_new_one_it_is_back(gateway, listen):
    stream = Stream(listen)
    wanted = {kind: dict(gateway._feed._wanted[kind].resources) for kind in delta_ads.ORDER}
    gateway._feed.stop()
    stopped_at = time.monotonic()

    until(lambda: stream.ended_at)

    assert stream.newest < stopped_at + TTL + 0.25
    assert status(listen) == 503
    resume(gateway, wanted)
    until(lambda: status(listen) == 200)


def test_a_feeder_that_is_back_within_the_ttl_was_never_missed(gateway, listen):
    stream = Stream(listen)
    wanted = {kind: dict(gateway._feed._wanted[kind].resources) for kind in delta_ads.ORDER}
    gateway._feed.stop()
    resume(gateway, wanted)
    back_at = time.monotonic()

    until(lambda: stream.newest > back_at + 2 * TTL or stream.ended_at)

    assert stream.ended_at is None


def resume(gateway, wanted):
    """Feed Envoy from a new feeder that wants the same."""
    gateway._feed = delta_ads.Feed(gateway._feed._address, TTL)
    for kind, resources in wanted.items():
        gateway._feed.put(kind, resources)
    gateway._feed.start()


def test_an_envoy_that_is_killed_comes_back_does_the_same_and_counts_on(gateway, listen):
    pid = gateway._envoy.pid()
    assert [status(listen) for _ in range(5)] == [200] * 5
    before = requests(gateway)

    os.kill(pid, signal.SIGKILL)

    until(lambda: status(listen) == 200)
    assert gateway._envoy.pid() != pid
    assert requests(gateway) == before + 1


def requests(gateway):
    return sum(each.counts.requests for each in gateway.counts().counted)


def test_an_envoy_that_is_away_is_waited_for(gateway, candidate, listen):
    os.kill(gateway._envoy.pid(), signal.SIGKILL)

    shown(gateway, Traffic(ENDPOINT, (route(CANDIDATE, candidate, 100),)))

    until(lambda: status(listen) == 200)
    assert call(listen, "/prod/magika/x")[1] == str(CANDIDATE)


def test_an_envoy_that_stands_still_is_unavailable_and_what_was_shown_comes_true_later(gateway, candidate, listen):
    pid = gateway._envoy.pid()
    patience, gateway._patience = gateway._patience, 0.3
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError, match="has not acknowledged within"):
            gateway.cut(ENDPOINT, fence=gateway._least)
        with pytest.raises(UnavailableError, match="has not acknowledged within"):
            shown(gateway, Traffic(ENDPOINT, (route(CANDIDATE, candidate, 100),)))
    finally:
        os.kill(pid, signal.SIGCONT)
        gateway._patience = patience

    shown(gateway, Traffic(ENDPOINT, (route(CANDIDATE, candidate, 100),)))
    assert call(listen, "/prod/magika/x")[:2] == (200, str(CANDIDATE))


def test_what_envoy_refuses_is_said_in_its_words_and_what_it_had_goes_on(gateway, stable, listen):
    wrong = {"name": "wrong", "type": "STATIC", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s"}
    body = envoy.topology.to_bytes(envoy.topology.write(delta_ads.CLUSTER, wrong))
    goals = gateway._feed.put(delta_ads.CLUSTER, {"wrong": delta_ads.Resource(body)})

    words = r"Envoy refused Cluster wrong: .*cluster provided LB specified but cluster 'wrong' did not"
    with pytest.raises(UnavailableError, match=words):
        gateway._feed.wait(goals, 20)

    assert status(listen) == 200
    gateway._feed.put(delta_ads.CLUSTER, {}, ["wrong"])
    shown(gateway, Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
    assert status(listen) == 200


def test_a_cut_does_not_wait_for_a_show_and_undoes_its_part(gateway, stable, listen, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    wait = gateway._feed.wait

    def slow(goals, seconds):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            assert go_on.wait(20)
        wait(goals, seconds)

    monkeypatch.setattr(gateway._feed, "wait", slow)
    failed = []

    def show():
        try:
            shown(gateway, Traffic(ENDPOINT, (route(STABLE, stable, 100),)))
        except ConflictError as e:
            failed.append(str(e))

    showing = threading.Thread(target=show)
    showing.start()
    assert begun.wait(20)

    gateway.cut(ENDPOINT, fence=gateway._least)
    go_on.set()
    showing.join()

    assert failed == ["an endpoint was cut meanwhile"]
    assert status(listen) == 503


def test_a_candidate_that_fails_loses_its_traffic_to_the_stable_release(gateway, stable, candidate, listen):
    shown(gateway, split(stable, candidate, 100, stable=STABLE))

    answers = [call(listen, "/prod/magika/fail")[1] for _ in range(40)]

    assert 5 <= answers.count(str(CANDIDATE)) < 15
    assert answers[-1] == str(STABLE)
    assert call(listen, "/prod/magika/x", x_release=str(CANDIDATE))[:2] == (200, str(CANDIDATE))


def test_no_interaction_mixes_releases_while_weights_change(gateway, stable, candidate, listen):
    shown(gateway, split(stable, candidate, 50))
    interactions, mixed, careless = (100_000 if SOAK else 2_000), [], []
    over = threading.Event()

    def talk(count):
        for _ in range(count):
            first = call(listen, "/prod/magika/guard")[1]
            second, third = (call(listen, "/prod/magika/generate", **named)[1] for named in ({"x_release": first}, {}))
            mixed.append(first != second)
            careless.append(first != third)

    def switch():
        weight = 0
        while not over.wait(0.02):
            weight = (weight + 37) % 101
            shown(gateway, split(stable, candidate, weight))

    switching, talking = threading.Thread(target=switch), [threading.Thread(target=talk, args=[interactions // 4])] * 1
    talking += [threading.Thread(target=talk, args=[interactions // 4]) for _ in range(3)]
    for thread in (switching, *talking):
        thread.start()
    for thread in talking:
        thread.join()
    over.set()
    switching.join()

    assert (len(mixed), sum(mixed)) == (interactions, 0)
    assert sum(careless) > interactions / 20  # those who do not name the release do mix them


@pytest.mark.parametrize("path", ["/prod%2Fmagika/x", "/prod/magika%2f..%2fother", "/prod/magika/%00"])
def test_a_path_that_two_programs_may_read_in_two_ways_leads_nowhere(gateway, listen, path):
    assert call(listen, path)[0] in (400, 404)


def test_nobody_tells_envoy_how_to_treat_a_request(gateway, listen):
    odd = {"x_envoy_upstream_rq_timeout_ms": "1", "x_envoy_max_retries": "9", "x_envoy_retry_on": "5xx"}

    assert call(listen, "/prod/magika/slow", **odd)[0] == 200


def test_two_gateways_never_share_a_home_or_a_port(gateway, home, listen, tmp_path):
    with pytest.raises(UnavailableError, match="another gateway lives in"):
        envoy.open_gateway(home, listen=free_address())
    with pytest.raises(UnavailableError, match=r"Envoy does not start: .*Address already in use"):
        envoy.open_gateway(tmp_path, listen=listen)

    assert status(listen) == 200
    assert not [path for path in (tmp_path / "gateway").iterdir() if path.name != "envoy.log"]


def test_only_its_owner_gets_in(gateway, home, listen):
    folder = home / "gateway"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert listening_ports(gateway._envoy.pid()) == {listen.port}


def listening_ports(pid):
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    lines = [
        line.split()
        for name in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    ours = [line for line in lines if f"socket:[{line[9]}]" in sockets and line[3] in ("0A", "07")]
    return {int(line[1].rpartition(":")[2], 16) for line in ours}
