"""How is an installation made and started?"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from lockgate.cli.speaking import FOLDER, NAME, as_json, show
from lockgate.errors import UnavailableError
from lockgate.formats.names import Name

HOME = click.option(
    "--home", type=FOLDER, envvar="LOCKGATE_HOME", default=Path(".lockgate"), show_default=True, help="Where it lives."
)


@click.command()
@HOME
@click.option("--environment", type=NAME, required=True, help="The environment, such as dev, staging or prod.")
@click.option("--origin", help="The name of its log, such as lockgate.example.com/prod/changes.")
@as_json
def init(home: Path, environment: Name, origin: str | None, json_: bool) -> None:
    """Make the folders and the server keys of an installation, and print the public keys for the trust document.

    Then write a trust document, have it signed (`lockgate trust sign`), put it at HOME/trust.json, and `lockgate up`.
    """
    from lockgate.wiring import create

    keys = create(home, environment, origin)
    found = {name: str(key) for name, key in keys.items()}
    lines = [f"{name:<10} {key}" for name, key in found.items()]
    show(json_, {"environment": str(environment), "keys": found}, f"{environment} lives in {home}", *lines)


@click.command()
@HOME
def up(home: Path) -> None:
    """Start the installation in HOME: PostgreSQL, the log, the gate and the API. Stops on SIGTERM or Ctrl-C."""
    if not os.path.exists(home / "lockgate.toml"):  # noqa: PTH110 - a name too long is no installation either
        raise UnavailableError(
            f"there is no installation in {home}: make one with `lockgate init`, or try `lockgate demo`"
        )
    if find_spec("fastapi") is None or find_spec("psycopg") is None:
        raise UnavailableError("the server is not installed: pip install 'lockgate[server]'")
    os.umask(0o077)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "lockgate.server", str(home)])  # noqa: S606 - doors do not import each other
