"""Who speaks, to which installation, and how is the answer shown?"""

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.keys import PrivateKey, PublicKey, Signer
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.formats.one_line import one_line
from lockgate.keyring import AGENT, chosen_passphrase, is_file, open_file, open_signer, ssh_agent, ssh_key

if TYPE_CHECKING:
    from lockgate.core.intent import Intent, SignedIntent
    from lockgate.loader.connection import Connection
    from lockgate.loader.tls import Tls

P = ParamSpec("P")
R = TypeVar("R")
_LARGEST = 64 << 20  # bytes of a file that is read whole


class Text(click.ParamType):  # type: ignore[type-arg]  # click 8.5 makes it generic, 8.3 does not
    """A command-line value that one of our scalars reads: `Tag`, `Endpoint`, `Name`."""

    def __init__(self, kind: type[Tag] | type[Endpoint] | type[Name], name: str) -> None:
        self.kind, self.name = kind, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the value; a bad one is an error of usage."""
        if not isinstance(value, str):
            return value
        try:
            return self.kind.parse(value)
        except VerificationError as e:
            self.fail(str(e), param, ctx)


class Span(click.ParamType):  # type: ignore[type-arg]  # as above
    """A span of time on the command line: `90s`, `30m`, `24h`, `7d`; at most 30 days."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the span; a bad one is an error of usage."""
        units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
        if not isinstance(value, str):
            return value
        number, unit = value[:-1], value[-1:]
        if not (number.isascii() and number.isdecimal() and unit in units) or len(number) > 7:
            self.fail(f"not a span like 90s, 30m, 24h or 7d: {value[:20]!a}", param, ctx)
        span = timedelta(seconds=int(number) * units[unit])
        if not timedelta(0) < span <= timedelta(days=30):
            self.fail("a span is longer than nothing and at most 30 days", param, ctx)
        return span


class Url(click.ParamType):  # type: ignore[type-arg]  # as above
    """Where a server is: `https://HOST:PORT`, or `http://…` on this machine."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the address; what is no address is an error of usage."""
        if not str(value).startswith(("http://", "https://")) or not str(value).isascii() or " " in str(value):
            self.fail(f"not an address like http://127.0.0.1:8420: {str(value)[:80]!a}", param, ctx)
        return value


class Key(click.ParamType):  # type: ignore[type-arg]  # as above
    """A key on the command line: a PEM file, or the text that says where else it is."""

    name = "KEY"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read where the key is; a file that is not there is an error of usage."""
        return str(EXISTING.convert(value, param, ctx)) if is_file(str(value)) else value


SPAN, URL = Span(), Url()
TAG, ENDPOINT, NAME = Text(Tag, "NAME@X.Y.Z"), Text(Endpoint, "ENV/NAME"), Text(Name, "NAME")
FILE = click.Path(path_type=Path, dir_okay=False)
EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)
FOLDER = click.Path(path_type=Path, file_okay=False)
KEY = Key()
WHERE = "a PEM file, agent:PUBLIC-KEY-FILE, pkcs11:… or the URI of a key service"


def as_json(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command the option --json."""
    return click.option("--json", "json_", is_flag=True, help="Print one JSON object instead of text.")(command)


def speaking(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the options that say who speaks to which server; it gets the `connection`."""

    @functools.wraps(command)
    def connected(*args: Any, server: str, actor: Name, key: str, **kwargs: Any) -> R:
        tls = _tls(*(kwargs.pop(name) for name in ("tls_certificate", "tls_key", "tls_ca")))
        return command(*args, connection=connect(server, actor, key, tls), **kwargs)  # type: ignore[arg-type]

    return _speaker_options(connected, required=True)


def asking(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the same options, which it may do without; it gets `ask`, which connects."""

    @functools.wraps(command)
    def asked(*args: Any, server: str, actor: Name | None, key: str | None, **kwargs: Any) -> R:
        tls = _tls(*(kwargs.pop(name) for name in ("tls_certificate", "tls_key", "tls_ca")))

        def ask() -> "Connection":
            if actor is None or key is None:
                raise click.UsageError("this asks the server: say who you are, with --as and --key")
            return connect(server, actor, key, tls)

        return command(*args, ask=ask, **kwargs)  # type: ignore[arg-type]

    return _speaker_options(asked, required=False)


def _speaker_options(command: Callable[..., R], *, required: bool) -> Callable[..., R]:
    options = (
        click.option(
            "--server", envvar="LOCKGATE_SERVER", type=URL, default="http://127.0.0.1:8420", show_default=True
        ),
        click.option("--as", "actor", envvar="LOCKGATE_ACTOR", type=NAME, required=required, help="Your name there."),
        click.option("--key", envvar="LOCKGATE_KEY", required=required, help=f"Your key: {WHERE}."),
        click.option(
            "--tls-ca",
            envvar="LOCKGATE_TLS_CA",
            type=FILE,
            help="Who vouches for the server, PEM: authorities, or its own certificate. Else those of the system.",
        ),
        click.option(
            "--tls-certificate",
            envvar="LOCKGATE_TLS_CERTIFICATE",
            type=FILE,
            help="Your TLS certificate, PEM, if the server asks for one.",
        ),
        click.option("--tls-key", envvar="LOCKGATE_TLS_KEY", type=FILE, help="The key of that certificate, PEM."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def connect(server: str, actor: Name, key: str, tls: "Tls | None" = None) -> "Connection":
    """Speak to `server` as `actor`."""
    from lockgate.loader.connection import Connection

    return Connection(server.rstrip("/"), actor, signing(key), tls)


def _tls(certificate: Path | None, key: Path | None, authorities: Path | None) -> "Tls":
    from lockgate.loader.tls import Tls

    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-certificate and --tls-key go together")
    return Tls(certificate, key, authorities)


def signing(key: str) -> "Callable[[Intent], SignedIntent]":
    """Make intents be signed by a key; one that the SSH agent holds signs them as SSHSIG."""
    if key.startswith(AGENT):
        return _agent_signing(Path(key.removeprefix(AGENT)))
    from lockgate.core.intent import sign_intent

    private = signer(key)
    return lambda intent: sign_intent(intent, private)


def signer(key: str) -> Signer:
    """Return what signs with a key, wherever it is; an encrypted file asks for its passphrase."""
    return open_signer(key, passphrase)


def private_key(path: Path) -> PrivateKey:
    """Read a private key from a PEM file; an encrypted one asks for its passphrase."""
    return open_file(path, passphrase)


def passphrase(path: Path) -> bytes | None:
    """Find the passphrase of a key file: in the environment, in the file that it names, or from who sits there."""
    if (chosen := chosen_passphrase(path)) or not sys.stdin.isatty():
        return chosen
    return os.fsencode(click.prompt(f"passphrase of {path}", hide_input=True, err=True))


def public_key(path: Path) -> PublicKey:
    """Read a public key from a PEM file."""
    return PublicKey.from_pem(read(path))


def read(path: Path) -> bytes:
    """Read a file that the user named."""
    try:
        with path.open("rb") as stream:
            content = bytearray()
            while len(content) <= _LARGEST and (piece := stream.read(1 << 20)):
                content += piece
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    if len(content) > _LARGEST:
        raise VerificationError(f"{path} has more than {_LARGEST} bytes")
    return bytes(content)


def now() -> datetime:
    """Read the clock: doors do, so that nothing below has to."""
    return datetime.now(UTC)


def show(json_: bool, value: object, *lines: str) -> None:
    """Print `value` as JSON, or the lines for people."""
    if json_:
        click.echo(json.dumps(plain.to_plain(value)))
    else:
        for line in lines:
            click.echo("\n".join(one_line(part) for part in line.split("\n")))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its head, and where its cells come from."""

    head: str
    cell: Callable[[Mapping[str, Json]], object]


def table(rows: list[Mapping[str, Json]], *columns: Column) -> list[str]:
    """Lay rows out as lines of text."""
    return spread(
        [[column.head for column in columns], *([str(column.cell(row)) for column in columns] for row in rows)]
    )


def spread(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lay cells out as lines of text, each column as wide as it must be."""
    widths = [max(len(line[number]) for line in cells) for number in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def progress(label: str, length: int | None = None) -> AbstractContextManager[Callable[[int], None]]:
    """Show a bar on long work, where a person looks."""
    from lockgate.cli.bar import bar

    return bar(label, length, shown=sys.stderr.isatty())


def _agent_signing(public: Path) -> "Callable[[Intent], SignedIntent]":
    from lockgate.core.intent import NAMESPACE, SignedIntent, SshProof

    key, agent = ssh_key(public), ssh_agent()

    def sign(intent: "Intent") -> SignedIntent:
        return SignedIntent(intent, SshProof(agent.sign(key, plain.encode(intent), NAMESPACE)))

    return sign
