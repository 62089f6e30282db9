"""Can anybody change what the log holds, or only let it grow?"""

import psycopg
import pytest

from tests.contracts.cluster import run
from tests.live.logs import check

GROWING = ("entry", "tile", "append_key", "checkpoint", "document")
TABLES = {
    "entry": ("idx = idx", "leaf_hash = leaf_hash", "body = ''"),
    "tile": ("n = n", "hashes = hashes"),
    "append_key": ("first = 0", "stop = 0"),
    "checkpoint": ("note = ''",),
    "document": ("body = ''",),
    "migration": ("digest = ''",),
}
MEASURING = ("controller_lease", "controller_state", "traffic_report", "presence")


STATEMENTS = [
    *(f"UPDATE {table} SET {change}" for table, changes in TABLES.items() for change in changes),
    *(f"DELETE FROM {table}" for table in (*TABLES, "head", "object")),
    *(f"TRUNCATE {table}" for table in (*TABLES, "head", "object")),
    *(f"DROP TABLE {table}" for table in (*TABLES, "head", "object")),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in (*TABLES, "head", "object")),
    *(f"ALTER TABLE {table} OWNER TO lockgate_app" for table in TABLES),
    *(f"DELETE FROM {table}" for table in MEASURING[:2]),
    *(f"TRUNCATE {table}" for table in MEASURING),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in MEASURING),
    "INSERT INTO head (size, peaks) VALUES (0, '')",
    "INSERT INTO migration VALUES (9, 'nine', '')",
    "UPDATE head SET size = size - 1, last_time = now()",
    "UPDATE head SET last_time = 'epoch', size = size + 1",
    "CREATE TABLE mine (n int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE mine",
    "SET session_replication_role = replica",
    "SET ROLE lockgate_owner",
    "COPY entry TO PROGRAM 'true'",
    "COPY entry FROM '/etc/hostname'",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_server_can_only_let_the_log_grow(stocked, app, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run(app, statement)

    check(stocked)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE {table} SET {TABLES[table][0]}" for table in GROWING),
        *(f"DELETE FROM {table}" for table in (*GROWING, "head")),
        *(f"TRUNCATE {table}" for table in (*GROWING, "head")),
        "UPDATE head SET size = size - 1, last_time = now()",
        "SET session_replication_role = replica; DELETE FROM entry",
    ],
)
def test_not_even_the_owner_changes_the_log_by_accident(stocked, owner, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the log only grows"):
        run(owner, statement)

    check(stocked)


@pytest.mark.parametrize("table", MEASURING[:2])
def test_a_fence_never_goes_back(stocked, app, table):
    values = "('prod/a', 'x', 2, now())" if table == "controller_lease" else "('prod/a', 2, '')"
    run(app, f"INSERT INTO {table} VALUES {values}")

    for change in ("fence = 1", "fence = 0", "subject = 'prod/b', fence = 3"):
        with pytest.raises(psycopg.errors.CheckViolation):
            run(app, f"UPDATE {table} SET {change}")
    run(app, f"UPDATE {table} SET fence = 3")
    check(stocked)
