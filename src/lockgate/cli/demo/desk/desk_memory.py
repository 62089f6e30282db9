"""Where does the desk remember? In a PostgreSQL of its own, which runs until SIGTERM.

Its owner gets in as the operating-system user; members of `desk` and who makes them (`desk_binder`) by a password:

    desk_binder     CREATEROLE, and `desk` WITH ADMIN OPTION: the agent of the host grants and cuts as this one
    desk            a group: every release that is granted memory is a member, with a schema of its own
"""

import argparse
import signal
from pathlib import Path

import psycopg
from psycopg import sql

from lockgate.drivers.embedded_postgres import EmbeddedPostgres

GROUP, BINDER = "desk", "desk_binder"
_BY_PASSWORD = f"local all {BINDER} scram-sha-256\nlocal all +{GROUP} scram-sha-256\n"


def main() -> None:
    """Run the database, say how its owner gets in, and stop it at the end."""
    parser = argparse.ArgumentParser(prog="desk_memory", description="Run the database of the desk.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--password-file", type=Path, required=True, help="what the binder shall say to get in")
    given = parser.parse_args()
    database = EmbeddedPostgres(given.home)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        conninfo = database.start()
        let_in(database, conninfo, given.password_file.read_text().strip())
        print(conninfo, flush=True)
        signal.sigwait({signal.SIGTERM})
    finally:
        database.stop()


def let_in(database: EmbeddedPostgres, conninfo: str, password: str) -> None:
    """Make the group and who grants it, and let them in by their passwords."""
    rules = database.data / "pg_hba.conf"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        group, binder = sql.Identifier(GROUP), sql.Identifier(BINDER)
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(group))
        made = sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(binder, sql.Literal(password))
        connection.execute(made)
        connection.execute(sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(group, binder))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE postgres TO {}").format(binder))
        rules.write_text(_BY_PASSWORD + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")


if __name__ == "__main__":
    main()
