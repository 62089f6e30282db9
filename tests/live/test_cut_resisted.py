"""Can a release with a login at PostgreSQL hide from its cut, hold it up, or have the administrator work for it?"""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from lockgate.core.binding import Holder, logins_of
from lockgate.drivers.embedded_postgres import OWNER
from lockgate.drivers.postgres_role import Database as At
from lockgate.drivers.postgres_role import PostgresRole
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.bound_servers import GROUP, PASSWORD, Database

pytestmark = pytest.mark.live

DESK = Endpoint.parse("prod/desk")
HOLDER = Holder(DESK, Name("host-1"), Digest.of(b"a"))
FIRST = replace(HOLDER, release=Digest.of(b"b"))  # its login comes before the other's
HIDES_SECONDS = 8
PATIENCE = 60.0

SHADOW = """
CREATE FUNCTION public.starts_with(name, text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'binder' THEN EXECUTE 'ALTER ROLE {login} CREATEROLE'; END IF;
    RETURN false;
END $$;
GRANT EXECUTE ON FUNCTION public.starts_with(name, text) TO PUBLIC
"""


@pytest.fixture(scope="module")
def database():
    with Database() as database:
        yield database


@pytest.fixture
def driver(database):
    driver = database.driver()
    yield driver
    ours = "starts_with(usename::text, %s)"
    database.owner(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}", [logins_of(DESK)])
    cut_in_the_end(driver)


def grant(driver, holder=HOLDER):
    return driver.grant(holder, datetime.now(UTC) + timedelta(minutes=5))


def entered(granted, **how):
    where = {name: granted[name] for name in ("host", "port", "dbname", "user", "password")}
    return psycopg.connect(make_conninfo(**where, **how), autocommit=True)


def until(is_so):
    ends = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends, "it never became so"
        time.sleep(0.02)


def is_out(connection):
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def lock_itself(connection):
    connection.execute("BEGIN")
    connection.execute("ALTER ROLE CURRENT_USER PASSWORD 'of-its-own'")


def test_what_a_release_leaves_in_a_public_schema_never_runs_as_the_administrator(database, driver):
    database.owner("GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC")
    granted = grant(driver)
    with entered(granted) as connection:
        connection.execute(SHADOW.format(login=granted["user"]))

        assert driver.observed(DESK).logins == {granted["user"]: 1}
        driver.cut(DESK)

        assert driver.probe(DESK) == "shut" and is_out(connection)
    found = database.owner("SELECT rolcreaterole, rolcanlogin FROM pg_roles WHERE rolname = %s", [granted["user"]])
    assert found == [(False, False)]
    database.owner("DROP FUNCTION public.starts_with(name, text); REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def asks_in_clear(door, heard):
    """Be a server that asks whoever comes for the password itself."""
    with suppress(OSError):
        while True:
            caller, _ = door.accept()
            first = caller.recv(8)
            if first[4:6] == b"\x04\xd2":  # asks for encryption
                caller.sendall(b"N")
                first = caller.recv(4096)
            else:
                caller.recv(4096)
            caller.sendall(b"R\0\0\0\x08\0\0\0\x03")
            heard.append(caller.recv(4096))
            caller.close()


def test_nobody_is_told_the_password_of_the_administrator(database, driver):
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=asks_in_clear, args=(door, heard), daemon=True).start()
        address = f"host=127.0.0.1 port={door.getsockname()[1]} dbname=desk sslmode=disable"
        there = PostgresRole(Name("database"), At(address, "binder", PASSWORD, GROUP))
        for act in (there.observed, there.probe, there.cut):
            with pytest.raises(UnavailableError):
                act(DESK)
        until(lambda: len(heard) == 3)

    assert set(heard) == {b""}
    assert grant(driver)["require_auth"] == "scram-sha-256"  # nor is that of a release


def test_who_locks_its_own_role_is_cut_with_all_others(driver):
    fights, other = entered(grant(driver, FIRST)), entered(grant(driver))
    lock_itself(fights)

    driver.cut(DESK)

    assert is_out(fights) and is_out(other) and driver.probe(DESK) == "shut"


def test_who_comes_back_to_lock_its_role_again_and_again_is_cut(driver):
    granted, over = grant(driver), threading.Event()

    def fight():
        while not over.is_set():
            with suppress(psycopg.Error), entered(granted, connect_timeout=5) as connection:
                connection.execute("BEGIN")
                connection.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(granted["password"]))
                while not over.wait(0.01):
                    connection.execute("SELECT 1")

    fighters = [threading.Thread(target=fight, daemon=True) for _ in range(4)]
    for fighter in fighters:
        fighter.start()
    try:
        until(lambda: driver.observed(DESK).logins[granted["user"]] > 1)

        cut_in_the_end(driver)

        assert driver.probe(DESK) == "shut"
    finally:
        over.set()
    for fighter in fighters:
        fighter.join(PATIENCE)


def cut_in_the_end(driver):
    """Cut as an agent does it: again, while it is not done."""

    def is_cut():
        with suppress(UnavailableError):
            driver.cut(DESK)
            return True
        return False

    until(is_cut)


def test_one_login_that_cannot_be_shut_loses_all_else_and_holds_up_no_other(database, driver):
    held_up, other = grant(driver, FIRST), grant(driver)
    sessions = entered(held_up), entered(other)
    with psycopg.connect(make_conninfo(database.server.conninfo(OWNER), dbname="desk")) as foreign:
        foreign.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 50").format(sql.Identifier(held_up["user"])))

        with pytest.raises(UnavailableError, match="database: 1 logins do not shut"):
            driver.cut(DESK)

        assert all(is_out(session) for session in sessions)
        assert driver.probe(DESK, HOLDER) == "shut" and driver.probe(DESK, FIRST) == "open"
        assert not is_member(database, held_up["user"])
        foreign.rollback()
    driver.cut(DESK)
    assert driver.probe(DESK) == "shut"


def is_member(database, login):
    return database.owner("SELECT pg_has_role(%s, %s, 'member')", [login, GROUP]) == [(True,)]


def test_the_rights_of_the_group_come_and_go_with_the_login(database, driver):
    for _ in range(2):
        login = grant(driver)["user"]
        assert is_member(database, login)
        driver.cut(DESK)
        assert not is_member(database, login)


@contextmanager
def hiding(database, granted):
    """Log in so that the session has no name for a while; give what came of it in the end."""
    came = []

    def come():
        try:
            with entered(granted, options=f"-c post_auth_delay={HIDES_SECONDS}") as connection:
                came.append(connection.execute("SELECT current_user").fetchone())
        except psycopg.OperationalError:
            came.append(None)

    login = threading.Thread(target=come, daemon=True)
    login.start()
    until(lambda: database.owner(f"SELECT pid FROM pg_stat_activity WHERE usename IS NULL {CLIENTS}"))
    yield came
    login.join(PATIENCE)


CLIENTS = "AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'virtualxid' AND pid <> pg_backend_pid())"


def test_a_session_that_has_no_name_yet_is_cut(database, driver):
    with hiding(database, grant(driver)) as came:
        driver.cut(DESK)
        assert driver.probe(DESK) == "shut"

    assert came == [None]


def test_nothing_is_shut_while_a_session_without_a_name_may_come_up(database, driver):
    granted = grant(driver)
    with hiding(database, granted) as came:
        database.owner(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(granted["user"])))

        assert driver.probe(DESK) == "shut"

    assert came == [None]
