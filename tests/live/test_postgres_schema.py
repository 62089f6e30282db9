"""Is a database that another program made, or that somebody damaged, refused and never built upon?"""

import pytest

from lockgate.drivers.postgres import Postgres, rebuild_projections
from lockgate.drivers.postgres.schema import Migration, migrate, migrations
from lockgate.errors import UnavailableError, VerificationError
from tests.contracts.cluster import run
from tests.contracts.samples import SOURCE, append, at_endpoint, attested
from tests.live.logs import check

STATES = "SELECT kind, key, first, version, state FROM object ORDER BY first"


def test_a_database_without_tables_is_refused(postgres_cluster):
    _, app = postgres_cluster.database(template="template1")

    with pytest.raises(UnavailableError, match="not set up for us"):
        Postgres(app, SOURCE)


def test_migrating_again_does_nothing(owner, stocked):
    assert migrate(owner) == 0
    check(stocked)


LATER = Migration(len(migrations()) + 1, "later", b"CREATE TABLE later (n int)")


def test_a_later_migration_is_done_once_and_the_old_program_is_out(owner, app):
    assert migrate(owner, (*migrations(), LATER)) == 1
    assert migrate(owner, (*migrations(), LATER)) == 0

    for old in (lambda: migrate(owner), lambda: Postgres(app, SOURCE)):
        with pytest.raises(VerificationError, match=r"migration \d+ \(later\) that this program does not know"):
            old()


def test_a_migration_that_reads_differently_today_is_refused(owner):
    first = migrations()[0]
    altered = (Migration(1, first.name, first.sql + b"\n"), *migrations()[1:])

    with pytest.raises(VerificationError, match="not the one that made this database"):
        migrate(owner, altered)


def test_a_migration_that_fails_leaves_nothing(owner):
    broken = Migration(LATER.number, "broken", b"CREATE TABLE later (n int); SELECT 1 / 0")

    with pytest.raises(UnavailableError, match="division by zero"):
        migrate(owner, (*migrations(), broken))

    assert run(owner, "SELECT to_regclass('later'), count(*) FROM migration") == [(None, len(migrations()))]


def test_a_database_behind_the_program_is_refused(owner, app):
    run(owner, "DELETE FROM migration")

    with pytest.raises(UnavailableError, match=r"0 of \d+ migrations"):
        Postgres(app, SOURCE)


def test_what_follows_from_the_log_is_rebuilt_as_it_was(stocked, owner):
    before = run(owner, STATES)
    run(owner, "DELETE FROM object WHERE kind = 'release'")
    run(owner, "UPDATE object SET state = '{}'")

    assert rebuild_projections(owner) == len(before) == 3

    assert run(owner, STATES) == before
    append(stocked, attested("a@1.0.0"), load=[at_endpoint("x")])
    check(stocked)


def test_a_migration_derives_what_follows_from_the_log_as_the_new_program_reads_it(stocked, owner):
    before = run(owner, STATES)
    run(owner, "UPDATE object SET state = '{}'")

    assert migrate(owner, (*migrations(), LATER)) == 1
    assert run(owner, STATES) == before


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM entry WHERE idx = 259",
        "DELETE FROM entry WHERE idx = 3",
        "UPDATE entry SET body = convert_to(replace(convert_from(body, 'UTF8'), 'ann', 'bob'), 'UTF8') WHERE idx = 3",
    ],
)
def test_a_damaged_log_is_not_folded_into_anything(stocked, owner, damage):
    before = run(owner, STATES)
    run(owner, "ALTER TABLE entry DISABLE TRIGGER only_grows")
    run(owner, damage)

    with pytest.raises(VerificationError, match="not the 260 that its head tells"):
        rebuild_projections(owner)

    assert run(owner, STATES) == before


@pytest.mark.parametrize("gone", [0, 3, 259])
def test_an_entry_that_is_missing_is_never_skipped(stocked, owner, gone):
    run(owner, "ALTER TABLE entry DISABLE TRIGGER only_grows")
    run(owner, f"DELETE FROM entry WHERE idx = {gone}")

    with pytest.raises(VerificationError, match=f"log entry {gone} is missing"):
        list(stocked.entries(0, 260))
