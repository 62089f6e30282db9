"""What can a release do with its login at PostgreSQL and Redis, and what is left of it, and of hundreds, when cut?"""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from lockgate.agent.grant_book import GrantBook
from lockgate.agent.tethers import Leave, Scope, Tethers
from lockgate.core.binding import Holder
from lockgate.drivers.postgres_role import Database as At
from lockgate.drivers.postgres_role import PostgresRole
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.host_wiring import Wired
from tests.bound import InMemory
from tests.bound_servers import GROUP, PASSWORD, Database, Redis

redis = pytest.importorskip("redis")
pytestmark = pytest.mark.live

DESK = Endpoint.parse("prod/desk")
HOLDER = Holder(DESK, Name("host-1"), Digest.of(b"a"))
CANDIDATE = replace(HOLDER, release=Digest.of(b"b"))
SESSIONS = 200
SHA = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"  # of return 1


def later(seconds=300):
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def database():
    with Database() as database:
        yield database


@pytest.fixture(scope="module")
def memory():
    with Redis() as server:
        yield server


@pytest.fixture
def client(memory):
    """A Redis user of a release, and what the candidate beside it has."""
    driver = memory.driver()
    theirs = driver.grant(CANDIDATE, later())
    mine = driver.grant(HOLDER, later())
    memory.admin().set(f"{theirs['prefix']}secret", "1")
    client = redis.Redis(mine["host"], mine["port"], username=mine["user"], password=mine["password"])
    yield client, mine, theirs
    client.close()
    driver.cut(DESK)


def test_a_user_of_redis_works_on_its_own_keys_and_channels(client):
    client, mine, _ = client
    key = f"{mine['prefix']}x"

    assert client.set(key, "1", ex=60) and client.get(key) == b"1"
    assert client.publish(f"{mine['prefix']}news", "hello") == 0
    with client.pipeline() as pipe:
        assert pipe.incr(key).expire(key, 60).execute() == [2, True]


@pytest.mark.parametrize(
    "command",
    [
        *("GET {theirs}secret", "SET {theirs}secret 2", "RENAME {theirs}secret {mine}x", "COPY {theirs}secret {mine}x"),
        *("KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SORT {mine}x GET {theirs}*"),
        *("ACL LIST", "ACL SETUSER {login} +@all", "ACL WHOAMI", "CONFIG GET *", "CLIENT LIST", "MONITOR", "INFO"),
        *(
            "PUBLISH {theirs}news x",
            "PSUBSCRIBE *",
            "SUBSCRIBE {theirs}news",
            "PUBSUB CHANNELS",
            "CLIENT TRACKING on BCAST",
        ),
        *("FUNCTION LIST", "SHUTDOWN", "REPLICAOF NO ONE", "SCRIPT FLUSH", "MIGRATE x 1 {mine}x 0 1"),
        "EVAL return(redis.call('get','{theirs}secret')) 0",
        *("EVAL return(1) 0", "EVAL_RO return(1) 0", "EVALSHA {sha} 0", "EVALSHA_RO {sha} 0", "SCRIPT LOAD return(1)"),
        *("SCRIPT EXISTS {sha}", "FCALL x 0", "FCALL_RO x 0", "FUNCTION LOAD x", "FUNCTION RESTORE x"),
    ],
)
def test_a_user_of_redis_reaches_and_sees_nothing_else(client, command):
    client, mine, theirs = client
    words = command.format(mine=mine["prefix"], theirs=theirs["prefix"], login=mine["user"], sha=SHA).split(" ")

    with pytest.raises(redis.ResponseError, match=r"(?i)no ?perm|can't access|cannot access"):
        client.execute_command(*words)


def test_no_release_stops_redis_and_its_own_cut_with_it(memory):
    driver = memory.driver()
    granted = driver.grant(HOLDER, later())
    with (
        redis.Redis(
            granted["host"], granted["port"], username=granted["user"], password=granted["password"], socket_timeout=3
        ) as client,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        client.eval("while true do end", 0)

    driver.cut(DESK)

    assert driver.probe(DESK) == "shut"


def test_what_was_cut_in_redis_stays_cut_when_it_is_started_again(memory):
    driver = memory.driver()
    granted = driver.grant(HOLDER, later())
    driver.cut(DESK)
    memory.hang_up()

    memory.stop()
    memory.start()

    assert driver.probe(DESK) == "shut"
    with pytest.raises(redis.AuthenticationError):
        memory.enter(granted)
    memory.hang_up()


def test_a_role_works_in_its_own_schema_and_with_the_rights_of_its_group(database):
    database.owner(f"CREATE TABLE IF NOT EXISTS readings (x int); GRANT SELECT ON readings TO {GROUP}")
    driver = database.driver()
    mine, theirs = driver.grant(HOLDER, later()), driver.grant(CANDIDATE, later())
    for granted in (mine, theirs):
        where = make_conninfo(**{name: granted[name] for name in ("host", "port", "dbname", "user", "password")})
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS memory (x int)")
            connection.execute("SELECT * FROM public.readings")
            for statement in (
                f"SELECT * FROM {(theirs if granted is mine else mine)['schema']}.memory",
                "INSERT INTO public.readings VALUES (1)",
                f"ALTER ROLE {granted['user']} VALID UNTIL 'infinity'",
                f"SET ROLE {(theirs if granted is mine else mine)['user']}",
                "CREATE ROLE another LOGIN",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
    driver.cut(DESK)


def test_nobody_logs_in_when_the_lease_is_over_though_no_agent_cut_it(database):
    granted = database.driver().grant(HOLDER, later(-1))

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        database.enter(granted)
    database.driver().cut(DESK)


def test_an_agent_that_was_started_again_grants_with_another_secret(database):
    first = database.driver().grant(HOLDER, later())
    second = database.driver().grant(HOLDER, later())

    with pytest.raises(psycopg.OperationalError):
        database.enter(first)
    database.enter(second)()
    database.hang_up()
    database.driver().cut(DESK)


def test_what_goes_wrong_is_said_without_a_secret(database, memory):
    wrong = PostgresRole(Name("database"), At(database.address, "binder", "a wrong secret", GROUP))
    for act in (lambda: wrong.grant(HOLDER, later()), lambda: wrong.cut(DESK), lambda: wrong.probe(DESK)):
        with pytest.raises(UnavailableError, match="database: the database does not do it") as told:
            act()
        assert "secret" not in str(told.value) and told.value.__cause__ is None
    assert PASSWORD not in repr(At(database.address, "binder", PASSWORD, GROUP))
    assert "SCRAM" not in database.server.log_file.read_text() or PASSWORD not in database.server.log_file.read_text()


def test_hundreds_of_sessions_are_cut_beside_systems_that_hang_lie_or_are_down(database, memory, tmp_path):
    troubled = {trouble: InMemory() for trouble in ("hangs", "lies", "down")}
    wired = {"database": Wired("postgres", database.driver()), "memory": Wired("redis", memory.driver())}
    wired |= {name: Wired("webhook", system) for name, system in troubled.items()}
    tethers = Tethers({Name(name): each for name, each in wired.items()}, GrantBook(tmp_path))
    means = {
        str(name): tethers.grant(tether, Leave(HOLDER, later()), tethers.fence(DESK)).means
        for name, tether in tethers.all.items()
    }
    going_on = [database.enter(means["database"]) for _ in range(SESSIONS)]
    going_on += [memory.enter(means["memory"]) for _ in range(SESSIONS)]
    for trouble, system in troubled.items():
        system.trouble = trouble
    began = time.monotonic()

    severed = {str(one.name): one.state for one in tethers.sever(Scope(DESK)).result(tethers)}
    took = time.monotonic() - began

    assert severed == {"database": "cut", "memory": "cut", "hangs": "unknown", "lies": "open", "down": "unknown"}
    assert took < 5
    for go_on in going_on:
        with pytest.raises((psycopg.Error, redis.RedisError)):
            go_on()
    troubled["hangs"].answers.set()
    for each in (database, memory):
        each.hang_up()
