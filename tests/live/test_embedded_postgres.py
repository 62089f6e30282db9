"""Does a PostgreSQL of our own start, survive, and keep strangers out?"""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from lockgate.drivers import embedded_postgres
from lockgate.drivers.embedded_postgres import APP, OWNER, EmbeddedPostgres, account_for, nobody_account
from lockgate.errors import UnavailableError

_DAEMON = 1
_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="elsewhere: only root can be somebody else")


@pytest.fixture
def home():
    folder = Path(tempfile.mkdtemp(prefix="lockgate-home-", dir="/tmp"))
    folder.chmod(0o755)  # so that another user can walk to its own folder
    yield folder
    EmbeddedPostgres(folder).stop()
    shutil.rmtree(folder)


def test_the_owner_and_the_application_connect_without_a_password(home):
    postgres = EmbeddedPostgres(home)
    owner = postgres.start()
    ask(owner, f"CREATE ROLE {APP} LOGIN")

    assert ask(owner, "SELECT session_user") == OWNER
    assert ask(postgres.conninfo(APP), "SELECT session_user") == APP


@pytest.mark.parametrize("role", ["postgres", "root", "stranger"])
def test_a_role_that_is_not_mapped_is_refused(home, role):
    postgres = EmbeddedPostgres(home)
    ask(postgres.start(), f"CREATE ROLE {role} LOGIN SUPERUSER")

    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        ask(postgres.conninfo(role), "SELECT 1")


def test_what_was_committed_is_there_after_a_restart(home):
    ask(EmbeddedPostgres(home).start(), "CREATE TABLE kept AS SELECT 7 AS seven")

    EmbeddedPostgres(home).stop()

    assert ask(EmbeddedPostgres(home).start(), "SELECT seven FROM kept") == 7


def test_a_second_start_finds_the_server_that_runs(home):
    born = "SELECT pg_postmaster_start_time()"
    first = ask(EmbeddedPostgres(home).start(), born)

    assert ask(EmbeddedPostgres(home).start(), born) == first


def test_a_second_stop_finds_nothing_to_do(home):
    postgres = EmbeddedPostgres(home)
    conninfo = postgres.start()

    postgres.stop()
    postgres.stop()

    with pytest.raises(psycopg.OperationalError):
        ask(conninfo, "SELECT 1")


def test_stopping_what_never_was_makes_nothing(home):
    EmbeddedPostgres(home / "never").stop()

    assert list(home.iterdir()) == []


def test_a_killed_server_recovers_what_was_committed_even_while_a_session_is_open(home):
    conninfo = EmbeddedPostgres(home).start()
    with psycopg.connect(conninfo, autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT 7 AS seven")
        os.kill(postmaster(home), signal.SIGKILL)

        conninfo = EmbeddedPostgres(home).start()

    assert ask(conninfo, "SELECT seven FROM kept") == 7


def test_a_stale_pid_file_that_names_a_living_process_does_not_keep_the_server_down(home):
    EmbeddedPostgres(home).start()
    os.kill(postmaster(home), signal.SIGKILL)
    pid_file = home / "postgres/data/postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as somebody:
        for stale in (pid_file, home / "postgres/socket/.s.PGSQL.5432.lock"):
            stale.write_text(stale.read_text().replace(str(postmaster(home)), str(somebody.pid), 1))

        assert ask(EmbeddedPostgres(home).start(), "SELECT 1") == 1

        assert somebody.poll() is None
        somebody.kill()


def test_an_initdb_that_was_interrupted_is_done_again(home):
    unfinished = home / "postgres/data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")

    assert ask(EmbeddedPostgres(home).start(), "SELECT 1") == 1


def test_a_server_that_cannot_start_names_its_log_and_leaves_no_process(home):
    postgres = EmbeddedPostgres(home)
    postgres.start()
    postgres.stop()
    os.truncate(home / "postgres/data/global/pg_control", 0)

    with pytest.raises(UnavailableError, match=r"pg_control.*see .*/postgres/postgres\.log"):
        postgres.start()

    assert is_free(home)


def test_a_server_that_is_too_slow_is_not_left_running(home):
    with pytest.raises(UnavailableError, match="did not start"):
        EmbeddedPostgres(home, patience=0).start()

    assert is_free(home)


@pytest.mark.parametrize("name", ['a"b', "a$(touch b)", "a`b`", "a'b", "a\\b", "a\nb"])
def test_a_path_that_a_shell_would_read_is_refused(home, name):
    with pytest.raises(UnavailableError, match="cannot live at"):
        EmbeddedPostgres(home / name).start()

    assert list(home.iterdir()) == []


def test_a_home_that_cannot_be_written_is_unavailable(home):
    (home / "file").touch()

    with pytest.raises(UnavailableError, match="Not a directory"):
        EmbeddedPostgres(home / "file").start()


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(home, caplog):
    postgres = EmbeddedPostgres(home / ("long" * 25))

    conninfo = postgres.start()

    short = postgres.socket_dir
    assert ask(conninfo, "SELECT 1") == 1
    assert len(str(short)) < 80
    assert stat.S_IMODE(short.stat().st_mode) == 0o700
    assert f"listens in {short}" in caplog.text
    postgres.stop()
    assert not short.exists()


def test_the_settings_are_the_careful_ones(home):
    conninfo = EmbeddedPostgres(home).start()

    found = {name: ask(conninfo, f"SHOW {name}") for name in ("listen_addresses", "fsync", "synchronous_commit")}
    assert found == {"listen_addresses": "", "fsync": "on", "synchronous_commit": "on"}
    assert ask(conninfo, "SHOW default_transaction_isolation") == "read committed"
    assert ask(conninfo, "SELECT datcollate || datlocale FROM pg_database WHERE datname = 'postgres'") == "CC.UTF-8"


def test_everything_is_private_to_its_owner(home):
    EmbeddedPostgres(home).start()

    for path in [home / "postgres", *(home / "postgres").rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
        assert path.lstat().st_uid == os.geteuid(), path


@_as_root
def test_a_stranger_is_not_let_in_not_even_through_an_open_door(home):
    postgres = EmbeddedPostgres(home)
    conninfo = postgres.start()
    strangers = (_DAEMON, 65534, 12345)

    for uid in strangers:
        assert "Permission denied" in as_user(uid, lambda: ask(conninfo, "SELECT 1"))

    (home / "postgres").chmod(0o755)
    postgres.socket_dir.chmod(0o755)
    (postgres.socket_dir / ".s.PGSQL.5432").chmod(0o777)
    for uid in strangers:
        assert "authentication failed" in as_user(uid, lambda: ask(conninfo, "SELECT 1"))


@_as_root
def test_an_ordinary_user_needs_no_namespace(home):
    mine = home / "mine"
    mine.mkdir()
    os.chown(mine, _DAEMON, _DAEMON)
    _reachable(_DAEMON)

    assert as_user(_DAEMON, lambda: ask(EmbeddedPostgres(mine).start(), "SELECT session_user")) == OWNER

    as_user(_DAEMON, EmbeddedPostgres(mine).stop)
    with pytest.raises(UnavailableError, match="belongs to user 1; this is user 0"):
        EmbeddedPostgres(mine).start()


@_as_root
def test_where_namespaces_are_refused_nobody_runs_the_server_and_root_connects(home):
    _reachable(65534)
    postgres = EmbeddedPostgres(home, account=nobody_account())

    assert ask(postgres.start(), "SELECT session_user") == OWNER

    assert postgres.data.stat().st_uid == 65534
    assert ask(EmbeddedPostgres(home).start(), "SELECT 1") == 1  # found again by the owner of the data
    assert "authentication failed" in as_user(65534, lambda: ask(postgres.conninfo(OWNER), "SELECT 1"))


@_as_root
def test_root_without_namespaces_chooses_nobody():
    script = "from lockgate.drivers.embedded_postgres import account_for; print(*account_for(None).prefix)"
    inside = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {sys.executable} -c '{script}'"

    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", inside], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("setpriv ")


def test_the_data_of_somebody_else_is_left_alone():
    with pytest.raises(UnavailableError, match=f"belongs to user 4321; this is user {os.geteuid()}"):
        account_for(4321)


def ask(conninfo, question):
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as session:
        cursor = session.execute(question)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def is_free(home):
    """No process of the server is left, or it goes within five seconds."""
    with (home / "postgres/running.lock").open() as lock:
        for _ in range(100):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
            else:
                return True
    return False


def postmaster(home):
    return int((home / "postgres/data/postmaster.pid").read_text().split()[0])


def as_user(uid, act):
    """Do `act` in a process of another user; its answer, or its error, as text."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            said = str(act())
        except Exception as e:  # noqa: BLE001 - carried to the parent
            said = f"{type(e).__name__}: {e}"
        os.write(into, said.encode()[:4000])
        os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as answer:
        return answer.read()


def _reachable(uid):
    programs = str(embedded_postgres._programs() / "postgres")
    if as_user(uid, lambda: os.access(programs, os.X_OK)) != "True":
        pytest.skip("elsewhere: this environment lies where only root can go")
