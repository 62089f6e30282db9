"""How is an installation made and started?"""

import os
import pwd
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from lockgate.cli.speaking import FOLDER, NAME, as_json, show
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name

HOME = click.option(
    "--home", type=FOLDER, envvar="LOCKGATE_HOME", default=Path(".lockgate"), show_default=True, help="Where it lives."
)


@click.command()
@HOME
@click.option("--environment", type=NAME, required=True, help="The environment, such as dev, staging or prod.")
@click.option("--origin", help="The name of its log, such as lockgate.example.com/prod/changes.")
@click.option("--signer", type=Path, help="The socket of a signer that runs elsewhere; without it, `up` starts one.")
@as_json
def init(home: Path, environment: Name, origin: str | None, signer: Path | None, json_: bool) -> None:
    """Make the folders and the server keys of an installation, and print the public keys for the trust document.

    Then write a trust document, propose it into HOME/ceremony (`lockgate trust propose`), have it signed there
    (`lockgate trust sign`), and `lockgate up`.
    """
    from lockgate.wiring import create

    keys = create(home, environment, origin, signer)
    found = {name: str(key) for name, key in keys.items()}
    lines = [f"{name:<10} {key}" for name, key in found.items()]
    show(json_, {"environment": str(environment), "keys": found}, f"{environment} lives in {home}", *lines)


def serving_home(home: Path) -> Path:
    """Find the home of a serving host: `home`, or the one that lies in it beside an installation."""
    inside = home / "host"
    with suppress(OSError):  # a name too long is no host either, which whoever opens it says
        if not (home / "host.toml").exists() and (inside / "host.toml").exists():
            return inside
    return home


@click.command()
@HOME
@click.option("--host", type=FOLDER, help="The home of a serving host whose agent runs too; HOME/host if it is there.")
def up(home: Path, host: Path | None) -> None:
    """Start the installation in HOME: PostgreSQL, the signer, the gate and the API. Stops on SIGTERM or Ctrl-C.

    With a serving host on this machine it starts the agent of that one too, with a gateway at 127.0.0.1:8421.
    """
    if not os.path.exists(home / "lockgate.toml"):  # noqa: PTH110 - a name too long is no installation either
        raise UnavailableError(
            f"there is no installation in {home}: make one with `lockgate init`, or try `lockgate demo`"
        )
    if find_spec("fastapi") is None or find_spec("psycopg") is None:
        raise UnavailableError("the server is not installed: pip install 'lockgate[server]'")
    if host is not None:
        os.environ["LOCKGATE_AGENT_HOME"] = str(host.absolute())
    os.umask(0o077)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "lockgate.server", str(home)])  # noqa: S606 - doors do not import each other


@click.command()
@HOME
@click.option("--origin", help="Make the key and the empty memory of a signer for this log, and print the key.")
@click.option("--recall", type=click.File(), help="Give a signer that lost its memory the newest checkpoint there is.")
@click.option("--socket", type=Path, help="Where to listen; HOME/signer.sock without it.")
@click.option("--user", multiple=True, help="A user besides our own who may ask: the one that the server runs as.")
def signer(home: Path, origin: str | None, recall: Any | None, socket: Path | None, user: tuple[str, ...]) -> None:
    """Sign the heads of a log, in a place of its own: it remembers what it signed, and never goes back.

    HOME holds keys/checkpoint.pem and anchor.json, and belongs to nobody else. `lockgate up` starts a signer beside the
    server by itself; this one is for another user of the machine, which `signer` in lockgate.toml then names.
    """
    from lockgate.drivers.anchor_file import begin_memory
    from lockgate.drivers.anchor_file import recall as remember
    from lockgate.keyring import server_key

    if recall is not None:
        head = remember(home, server_key(home, "checkpoint"), recall.read())
        click.echo(f"the signer remembers {head.size} entries of {head.origin}")
        return
    if origin is not None:
        begin_memory(home, origin)
        click.echo(f"checkpoint {server_key(home, 'checkpoint').public}")
        return
    command = [sys.executable, "-m", "lockgate.signer", str(home)]
    command += ["--socket", str(socket)] if socket else []
    for each in user:
        command += ["--user", str(_user_id(each))]
    os.umask(0o077)
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - doors do not import each other


def _user_id(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError as e:
        raise UnavailableError(f"this machine knows no user {user[:64]!a}") from e


@click.command()
@HOME
@as_json
def notify(home: Path, json_: bool) -> None:
    """Send a test message to every address that `notify` or `notify_file` of lockgate.toml names.

    Each is called by the name that it has in the metrics, never by its URL. Exit 6 if one of them did not take it.
    """
    from lockgate.core.notice import tried
    from lockgate.settings import settings
    from lockgate.wiring import channels

    chosen = settings(home)
    found = channels(chosen)
    if not found:
        raise VerificationError(f"{home / 'lockgate.toml'} names nobody: set notify or notify_file")
    told, silent = [], []
    for channel in found:
        try:
            channel.tell(tried(str(chosen.environment)))
        except UnavailableError:
            silent.append(channel.name)
        else:
            told.append(channel.name)
    if silent:
        raise UnavailableError(f"{len(silent)} of {len(found)} did not take the message: {', '.join(silent)}")
    show(json_, {"told": told}, *(f"{name} took the message" for name in told))
