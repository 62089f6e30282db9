"""Who may speak to the agent of a host, and does a run need the node's key any more?"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tests.world
from lockgate.core.policy import Lease
from lockgate.core.release import Serve as Program
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.loader.agent_line import AgentLine, ask_standing
from lockgate.loader.control import SOCKET, Refused, Serve, StatusWanted, call, encode, lines, read_word
from lockgate.loader.host import open_host
from tests.live.company import STAYS, Company, serving
from tests.live.inside import SOURCES, runnable_by_others
from tests.world import PROD

OTHER = 65534


@pytest.fixture
def folder():
    """A folder that every user may enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="lockgate-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def company(folder, monkeypatch):
    monkeypatch.setattr(tests.world, "NOW", datetime.now(UTC).replace(microsecond=0))
    rules = replace(tests.world.rules(), lease=Lease(6, "stop"))
    monkeypatch.setattr(tests.world, "rules", lambda: rules)
    return Company(folder)


@contextmanager
def attended(home):
    """Have an agent at `home` until the block ends."""
    command = [sys.executable, "-m", "lockgate", "agent", "--home", str(home)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as agent:
        try:
            for line in agent.stderr:
                if "is ready" in line:
                    break
            assert agent.poll() is None
            yield agent
        finally:
            agent.kill()


def admit(home):
    """Judge what should serve, as a run with an agent does."""
    line = AgentLine.reach(open_host(home, datetime.now(UTC), keyless=True), print)
    try:
        return line.admit(PROD, keys=False)
    finally:
        line.close()


def test_only_one_agent_lives_in_a_home_and_its_socket_is_private(company):
    with serving(company.world) as url, attended(home := company.home(url)):
        assert (home / SOCKET).stat().st_mode & 0o777 == 0o600
        second = subprocess.run(
            [sys.executable, "-m", "lockgate", "agent", "--home", str(home)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert second.returncode == 5 and "has an agent already" in second.stderr
        assert ask_standing(home).node == tests.world.Name("host-1")


def test_an_agent_that_was_killed_leaves_a_socket_that_the_next_one_replaces(company):
    with serving(company.world) as url:
        home = company.home(url)
        with attended(home):
            pass
        assert (home / SOCKET).exists()
        with pytest.raises(UnavailableError):
            ask_standing(home)
        with attended(home):
            assert ask_standing(home).running == ()


def test_what_is_refused_is_refused_over_the_socket_too(company):
    with serving(company.world) as url, attended(home := company.home(url)):
        with pytest.raises(DeniedError, match="there is no"):
            admit(home)
        company.serve()
        assert admit(home).permit.endpoint == PROD

        company.world.shut_down()
        with pytest.raises(DeniedError, match="is suspended"):
            admit(home)


def test_what_means_nothing_ends_the_conversation_and_nothing_else(company):
    company.serve()
    with serving(company.world) as url, attended(home := company.home(url)):
        for junk in (b"{}\n", b"x" * (1 << 20), b"[" * 60_000 + b"\n", b"\xff\n", b'{"type":"started/v1"}\n'):
            with call(home, 5) as door:
                try:
                    door.sendall(junk)
                    for line in lines(door, 1 << 20):
                        assert isinstance(read_word(line), Refused)
                        break
                except (ConnectionError, UnavailableError, VerificationError):
                    pass
        assert ask_standing(home).node == tests.world.Name("host-1")


def test_one_connection_is_for_one_run(company):
    company.serve()
    with serving(company.world) as url, attended(home := company.home(url)), call(home, 10) as door:
        said = lines(door, 1 << 24)
        door.sendall(encode(Serve(PROD)))
        assert [read_word(next(said)).type for _ in range(2)] == ["judged/v1", "leased/v1"]
        door.sendall(encode(Serve(PROD)))
        words = [read_word(next(said)) for _ in range(2)]
        assert words[-1] == Refused("denied", ("one connection is for one run",))


def test_who_hangs_up_holds_nothing(company):
    company.serve()
    with serving(company.world) as url, attended(home := company.home(url)):
        with call(home, 10) as door:
            door.sendall(encode(Serve(PROD)))
            said = lines(door, 1 << 24)
            assert [read_word(next(said)).type for _ in range(2)] == ["judged/v1", "leased/v1"]
            assert len(ask_standing(home).running) == 1
        ends = time.monotonic() + 5
        while ask_standing(home).running:
            assert time.monotonic() < ends


def test_who_does_not_listen_hinders_nobody(company):
    company.serve()
    with serving(company.world) as url, attended(home := company.home(url)), call(home, 1) as deaf:
        with suppress(OSError):
            while True:
                deaf.send(encode(StatusWanted()))
        assert admit(home)


@pytest.mark.parametrize("document", ["host.toml", "root.json"])
def test_settings_that_say_nothing_good_are_not_taken_and_said(company, document):
    company.serve()
    with serving(company.world) as url, attended(home := company.home(url)):
        good = (home / document).read_bytes()
        (home / document).write_bytes(b"[" + good)
        assert any("are not used" in trouble for trouble in ask_standing(home).trouble)
        status = [sys.executable, "-m", "lockgate", "agent", "--home", str(home), "status"]
        assert "TROUBLE" in subprocess.run(status, capture_output=True, text=True, check=True).stdout
        (home / document).write_bytes(good)
        ends = time.monotonic() + 20
        while trouble := ask_standing(home).trouble:  # what is in force may have been learnt from the bad file as well
            assert time.monotonic() < ends, trouble
            time.sleep(0.1)


def as_another(home, python):
    """Run as a user who is not the agent's."""
    environ = {"PYTHONPATH": f"{SOURCES}:{sysconfig.get_path('purelib')}", "PATH": os.environ["PATH"]}
    command = [python, "-B", "-m", "lockgate", "run", "--home", str(home), "--endpoint", str(PROD)]
    return subprocess.Popen(
        command, env=environ, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        user=OTHER, group=OTHER, extra_groups=[],
    )  # fmt: skip


def iter_until(lines, last):
    for line in lines:
        yield line
        if line == last:
            return


@pytest.fixture
def python():
    if os.geteuid() != 0:
        pytest.skip("elsewhere: needs root")
    return runnable_by_others()


def closed_home(company, url, runner):
    home = company.home(url)
    (home / "keys").chmod(0o700)
    (home / "keys" / "node.pem").chmod(0o600)
    with (home / "host.toml").open("a") as settings:
        settings.write(f'control = ""\n{runner}\n')
    return home


@pytest.mark.parametrize("runner", [f'runner = "{OTHER}"', 'runner = "nobody"'])
def test_the_user_who_runs_models_needs_no_key(company, python, runner):
    company.world.serve(serve=Program(("python3", "-c", STAYS), {}))
    with (
        serving(company.world) as url,
        attended(home := closed_home(company, url, runner)),
        as_another(home, python) as run,
    ):
        try:
            told = list(iter_until(run.stdout, "serves\n"))
            assert told[-1:] == ["serves\n"], told
            (running,) = ask_standing(home).running
            assert running.serving and Path(f"/proc/{running.pid}").stat().st_uid == OTHER
            time.sleep(4)  # longer than a third of the lease
            assert run.poll() is None and ask_standing(home).running[0].seconds_left > 2
        finally:
            run.kill()


def test_another_user_is_kept_out(company, python):
    company.serve()
    with serving(company.world) as url, attended(home := closed_home(company, url, "")):
        for mode in (0o600, 0o666):  # the kernel says who asks, whatever became of the mode
            (home / SOCKET).chmod(mode)
            with as_another(home, python) as run:
                told = run.stdout.read()
            assert run.returncode == 6 and "no serving host yet" in told, told
        assert ask_standing(home).running == ()
