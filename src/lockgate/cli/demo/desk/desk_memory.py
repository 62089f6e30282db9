"""Where does the desk remember? In a PostgreSQL of its own, which runs until SIGTERM."""

import argparse
import signal
from pathlib import Path

from lockgate.drivers.embedded_postgres import EmbeddedPostgres


def main() -> None:
    """Run the database, say how its owner gets in, and stop it at the end."""
    parser = argparse.ArgumentParser(prog="desk_memory", description="Run the database of the desk.")
    parser.add_argument("--home", type=Path, required=True)
    database = EmbeddedPostgres(parser.parse_args().home)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        print(database.start(), flush=True)
        signal.sigwait({signal.SIGTERM})
    finally:
        database.stop()


if __name__ == "__main__":
    main()
