"""What was chosen for one installation? HOME/lockgate.toml, then `LOCKGATE_` and the name of a setting.

What nobody knows is refused, and nothing in a model directory configures anything.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from lockgate.core.metadata import LIFE, LIVES
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.names import Name
from lockgate.formats.pkcs11_uri import Pkcs11Uri
from lockgate.loader.tls import Tls, check_private

LISTEN = "127.0.0.1:8420"
HOST = "host"  # the folder of a serving host in the home
SESSION_KEY = 32  # bytes

PROVE_HOURS = 24

_BLOB_LIMIT = 64 << 30
_LONGEST_HOURS = 720
_NAMES = (
    "environment",
    "origin",
    "listen",
    "hosts",
    "database_url",
    "database_owner_url",
    "blob_limit",
    "vault",
    "updates_seconds",
    "prove_hours",
    "tls_certificate",
    "tls_key",
    "tls_clients",
    "signer",
    "agent_home",
    "notify",
    "notify_file",
    "prometheus",
    "public_url",
)
_PATHS = ("tls_certificate", "tls_key", "tls_clients", "signer")  # relative to the home


@dataclass(frozen=True, slots=True)
class Settings:
    """What was chosen for one installation. Without `database_url` it runs a database of its own."""

    home: Path
    environment: Name
    origin: str
    listen: str = LISTEN
    hosts: tuple[str, ...] = ()
    database_url: str | None = field(default=None, repr=False)
    database_owner_url: str | None = field(default=None, repr=False)
    blob_limit: int = _BLOB_LIMIT
    vault: Pkcs11Uri | None = None
    updates_seconds: int = int(LIFE.total_seconds())
    session_key: bytes = field(default=b"", repr=False)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_clients: Path | None = None
    signer: Path | None = None
    agent_home: Path | None = None
    notify: tuple[str, ...] = field(default=(), repr=False)
    prometheus: str | None = field(default=None, repr=False)
    public_url: str | None = None
    prove_hours: int = PROVE_HOURS

    @property
    def tls(self) -> Tls | None:
        """What the server shows, and whose certificates it asks for; None on a loopback address without TLS."""
        if self.tls_certificate is None and self.tls_key is None and self.tls_clients is None:
            return None
        return Tls(self.tls_certificate, self.tls_key, self.tls_clients)

    @property
    def updates_life(self) -> timedelta:
        """How long hosts may believe what was published."""
        return timedelta(seconds=self.updates_seconds)


def settings(home: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of the installation in `home`: its file, then `LOCKGATE_*`."""
    try:
        chosen = tomllib.loads((home / "lockgate.toml").read_text())
        session_key = (home / "keys" / "session").read_bytes()
    except FileNotFoundError as e:
        raise UnavailableError(f"there is no installation in {home}: {Path(e.filename).name} is missing") from e
    except OSError as e:
        raise UnavailableError(f"cannot read {e.filename}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise VerificationError(f"{home / 'lockgate.toml'}: {e}") from e
    if "notify" in chosen:
        check_private(home / "lockgate.toml")
    if unknown := sorted(chosen.keys() - set(_NAMES)):
        raise VerificationError(f"{home / 'lockgate.toml'}: unknown setting {unknown[0][:64]!a}")
    chosen |= {name: environ[f"LOCKGATE_{name.upper()}"] for name in _NAMES if f"LOCKGATE_{name.upper()}" in environ}
    if len(session_key) != SESSION_KEY:
        raise VerificationError(f"keys/session has {len(session_key)} bytes, not {SESSION_KEY}")
    return Settings(
        home,
        Name(_text(chosen, "environment")),
        _text(chosen, "origin"),
        _text(chosen, "listen", LISTEN),
        _hosts(chosen.get("hosts", [])),
        _text(chosen, "database_url") if "database_url" in chosen else None,
        _text(chosen, "database_owner_url") if "database_owner_url" in chosen else None,
        _count(chosen, "blob_limit", _BLOB_LIMIT),
        Pkcs11Uri.parse(_text(chosen, "vault")) if "vault" in chosen else None,
        _lasting(_count(chosen, "updates_seconds", int(LIFE.total_seconds()))),
        session_key,
        **{name: home / _text(chosen, name) for name in _PATHS if name in chosen},
        agent_home=_agent_home(home, chosen),
        notify=_addresses(home, chosen),
        prometheus=_text(chosen, "prometheus") if "prometheus" in chosen else None,
        prove_hours=_hours(_count(chosen, "prove_hours", PROVE_HOURS)),
        public_url=_address(_text(chosen, "public_url")) if "public_url" in chosen else None,
    )


def _agent_home(home: Path, chosen: Mapping[str, object]) -> Path | None:
    """Say where a serving host lives whose agent runs beside the server: where it was named, or in the home."""
    if "agent_home" not in chosen:
        return home / HOST if (home / HOST / "host.toml").exists() else None
    named = _text(chosen, "agent_home")
    return home / named if named else None


def _text(chosen: Mapping[str, object], name: str, default: str | None = None) -> str:
    found = chosen.get(name, default)
    if not isinstance(found, str):
        raise VerificationError(f"setting {name} is {'missing' if found is None else 'not text'}")
    return found


def _hosts(found: object) -> tuple[str, ...]:
    listed = found.split(",") if isinstance(found, str) else found
    if not isinstance(listed, list) or not all(isinstance(host, str) for host in listed):
        raise VerificationError("setting hosts is a list of names")
    return tuple(host.strip() for host in listed)


def _addresses(home: Path, chosen: Mapping[str, object]) -> tuple[str, ...]:
    """Read who wants to be told: URLs in the settings, or one on each line of a file that nobody else may read."""
    found, file = chosen.get("notify", []), chosen.get("notify_file")
    if file is not None:
        if found:
            raise VerificationError("settings notify and notify_file say the same: use one of them")
        path = home / _text(chosen, "notify_file")
        check_private(path)
        found = [line for line in _lines(path) if line and not line.startswith("#")]
    listed = found.split() if isinstance(found, str) else found
    if not isinstance(listed, list) or not all(isinstance(url, str) for url in listed):
        raise VerificationError("setting notify is a list of URLs")
    return tuple(listed)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines()]
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise VerificationError(f"{path} is no text") from e


def _address(url: str) -> str:
    """Read where people reach the server: it is written into messages, so it is an address and nothing else."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]{1,253}(/[A-Za-z0-9._~/-]{0,200})?", url):
        raise VerificationError(f"public_url is not an address like https://lockgate.example: {url[:80]!a}")
    return url.rstrip("/")


def _count(chosen: Mapping[str, object], name: str, default: int) -> int:
    found = str(chosen.get(name, default))
    if not (found.isascii() and found.isdecimal() and len(found) < 20):
        raise VerificationError(f"setting {name} is a number, not {found[:40]!a}")
    return int(found)


def _hours(found: int) -> int:
    if not 1 <= found <= _LONGEST_HOURS:
        raise VerificationError(f"prove_hours is {found}; it is looked at every 1 to {_LONGEST_HOURS} hours")
    return found


def _lasting(seconds: int) -> int:
    shortest, longest = (int(life.total_seconds()) for life in LIVES)
    if not shortest <= seconds <= longest:
        raise VerificationError(f"updates_seconds is {seconds}; updates stay fresh for {shortest} to {longest} seconds")
    return seconds
