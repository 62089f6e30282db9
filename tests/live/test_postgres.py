"""Does PostgreSQL keep what the driver promises when processes race, and disk and settings do not help?"""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from lockgate.core.journal import Subject
from lockgate.drivers.postgres import Postgres
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from tests.contracts.cluster import run
from tests.contracts.samples import (
    NOW,
    SOURCE,
    activated,
    append,
    approved,
    at_endpoint,
    attested,
    denied,
    digest,
    of_change,
    opened,
    suspended,
)
from tests.live.logs import check

ROOT = Path(__file__).parents[2]
ROWS = """
    SELECT (SELECT count(*) FROM entry), (SELECT count(*) FROM append_key), (SELECT count(*) FROM document),
           (SELECT coalesce(sum(version), 0) FROM object), (SELECT size FROM head)
"""


def test_processes_that_append_at_once_make_one_log_and_no_alarm(app, log):
    writers = [start_writer(app, who, 40) for who in range(4)]
    told = [line for each in writers for line in each.communicate(timeout=120)[0].split()]

    assert [each.returncode for each in writers] == [0] * 4
    assert sorted(map(int, told)) == list(range(160))
    assert log.size() == 160
    check(log)


WRITER = """
import sys
from lockgate.drivers.postgres import Postgres
from lockgate.errors import LockgateError
from tests.contracts.samples import *
log = Postgres(sys.argv[1], SOURCE, connections=1)
for number in range(int(sys.argv[3])):
    name = f"x{number}"
    key = digest((sys.argv[2], number))
    receipt = append(log, suspended(name), key=key, keep=[key.raw])
    print(receipt.first, flush=True)
log.close()
"""


def start_writer(app, who, count):
    command = [sys.executable, "-c", WRITER, app, str(who), str(count)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def test_write_skew_is_refused(log):
    append(log, opened("x"), opened("y"))
    with log.transaction() as one, log.transaction() as other:
        for act in (one, other):
            act.load(of_change(0))
            act.load(of_change(1))
        one.append([approved(0)], actor="ann", key=digest("one"), at=NOW)

        with pytest.raises(ConflictError, match="change/0 changed since it was read: at 0, now at 2"):
            other.append([approved(1)], actor="ann", key=digest("other"), at=NOW)


def test_a_session_that_sits_on_the_head_makes_the_log_unavailable_not_wrong(log, app):
    append(log, suspended("x"))
    with psycopg.connect(app) as sitting:
        sitting.execute("SELECT size FROM head FOR UPDATE")
        with pytest.raises(UnavailableError, match="lock timeout"):
            append(log, suspended("y"), key=digest("y"))

    assert (log.size(), log.receipt(digest("y"))) == (1, None)
    append(log, suspended("y"), key=digest("y"))


def test_somebody_who_wrote_our_place_is_a_conflict(log, owner):
    append(log, suspended("x"))
    run(owner, "INSERT INTO entry VALUES (1, sha256('x'), 'x')")

    with pytest.raises(ConflictError, match="wrote the same place"):
        append(log, suspended("y"), key=digest("y"), keep=[b"a document"])

    assert run(owner, ROWS) == [(2, 1, 0, 0, 1)]


@pytest.mark.parametrize("failing", ["entry", "append_key", "document", "object", "head", "tile"])
def test_a_write_that_fails_anywhere_undoes_all_of_it(log, owner, failing):
    append(log, suspended("x"))
    before = run(owner, ROWS)
    event = "UPDATE" if failing == "head" else "INSERT"
    body = "BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END"
    run(owner, f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    run(owner, f"CREATE TRIGGER fails BEFORE {event} ON {failing} FOR EACH ROW EXECUTE FUNCTION fail()")

    with pytest.raises(UnavailableError, match="no space left"):
        append(log, *[suspended("y")] * 256, key=digest("y"), keep=[b"a document"])

    assert run(owner, ROWS) == before
    run(owner, f"DROP TRIGGER fails ON {failing}")
    append(log, *[suspended("y")] * 256, key=digest("y"), keep=[b"a document"])
    check(log)


def test_a_broken_rule_of_the_picture_undoes_all_of_it(log, owner):
    append(log, suspended("x"))
    before = run(owner, ROWS)

    with pytest.raises(VerificationError, match="never began"):
        append(log, suspended("y"), attested("never-registered@1.0.0"), keep=[b"a document"])

    assert run(owner, ROWS) == before
    append(log, suspended("y"))


def test_a_log_that_may_only_be_read_is_unavailable_for_writing(log, owner, app):
    append(log, suspended("x"))
    before = run(owner, ROWS)
    name = psycopg.conninfo.conninfo_to_dict(app)["dbname"]
    run(owner, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    reading = Postgres(app, SOURCE)

    with pytest.raises(UnavailableError, match="read-only"):
        append(reading, suspended("y"))

    assert reading.find(at_endpoint("x")) == log.find(at_endpoint("x"))
    assert run(owner, ROWS) == before
    reading.close()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("synchronous_commit", "off", "synchronous_commit is off"),
        ("synchronous_commit", "local", "synchronous_commit is local"),
        ("synchronous_commit", "remote_write", "synchronous_commit is remote_write"),
        ("synchronous_commit", "on", None),
        ("synchronous_commit", "remote_apply", None),
    ],
)
def test_a_database_that_may_lose_commits_is_refused(owner, app, setting, value, said):
    name = psycopg.conninfo.conninfo_to_dict(app)["dbname"]
    run(owner, f"ALTER DATABASE {name} SET {setting} = {value}")

    if said is None:
        Postgres(app, SOURCE).close()
    else:
        with pytest.raises(UnavailableError, match=said):
            Postgres(app, SOURCE)


def test_a_commit_stays_durable_if_the_setting_is_changed_under_us(log):
    append(log, suspended("x"))
    with log._connections.connection() as connection:  # a reload changes no setting of a session
        row = connection.execute("SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'").fetchone()

    assert row == ("on", "session")


def test_a_document_that_was_altered_is_refused(stocked, owner):
    run(owner, "ALTER TABLE document DISABLE TRIGGER only_grows")
    run(owner, "UPDATE document SET body = 'another'")

    with pytest.raises(VerificationError, match="was altered"):
        stocked.document(Digest.of(b"a document"))


@pytest.mark.parametrize("peaks", [b"", b"x" * 32, b"x" * 33])
def test_a_head_that_is_no_tree_is_refused(log, owner, peaks):
    run(owner, "UPDATE head SET size = 3, peaks = %s, last_time = now()", (peaks,))

    for question in (log.root, log.size, lambda: append(log, suspended("x"), key=digest("x"))):
        with pytest.raises(VerificationError):
            question()


HUGE = 2**70
QUESTIONS = {
    "entries": lambda log: list(log.entries(HUGE, HUGE + 5)),
    "entries before the first": lambda log: list(log.entries(-5, 3)),
    "tile": lambda log: log.tile(0, HUGE, 3),
    "full tile": lambda log: log.tile(0, HUGE, 256),
    "level": lambda log: log.tile(HUGE, 0, 1),
    "wide tile": lambda log: log.tile(0, 0, HUGE),
    "empty tile": lambda log: log.tile(0, 0, 0),
    "negative tile": lambda log: log.tile(0, -1, 1),
    "root": lambda log: log.root_of(HUGE),
    "limit": lambda log: log.listing("release", limit=HUGE),
    "negative limit": lambda log: log.listing("release", limit=-1),
    "nul in a note": lambda log: log.publish("no\x00te", 1, digest("root").raw),
    "size": lambda log: log.publish("note", HUGE, digest("root").raw),
    "nul in a key": lambda log: append(log, denied(), load=[Subject("endpoint", "\x00")]),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_numbers_and_text_that_no_database_holds_are_refused(stocked, question):
    with pytest.raises(VerificationError):
        QUESTIONS[question](stocked)

    check(stocked)


def test_an_act_that_thinks_holds_no_connection(app):
    log = Postgres(app, SOURCE, connections=1)
    with log.transaction() as one, log.transaction() as other:
        one.load(at_endpoint("x"))
        other.load(at_endpoint("y"))
        assert log.find(at_endpoint("z")) is None
        one.append([activated("x")], actor="ann", key=digest("one"), at=NOW)
        other.append([activated("y")], actor="ann", key=digest("other"), at=NOW)

    assert log.size() == 2
    log.close()
