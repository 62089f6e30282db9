"""What is this installation made of on this machine? The only place that names concrete drivers.

    HOME/                0700
    ├── lockgate.toml    environment, origin, listen, hosts, tls_…, database_url, database_owner_url, blob_limit, vault,
    │                    signer, agent_home, updates_seconds, notify, notify_file
    ├── ceremony/        the first trust document and policy as people signed them, adopted at the first start
    ├── keys/            0700: vsa lease export tuf-online (.pem) session (0600); checkpoint.pem is the signer's
    │   │                NAME.uri instead of NAME.pem: a text that says where the key is (lockgate.keyring)
    │   └── vault/       0700: what encrypts the keys of the files, unless `vault` names a token
    ├── anchor.json      what the signer remembers, unless `signer` names one that lives elsewhere
    ├── signer.sock      where it is asked
    ├── host/            the home of a serving host on this machine, if there is one: its agent runs beside the server
    ├── blobs/           files by their digest, encrypted
    ├── tuf/             what hosts follow: static files, served under /tuf/
    └── postgres/        a database of our own, unless database_url names another

What the settings are: `lockgate.settings`.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from lockgate.app import adopt
from lockgate.app.installation import Installation, Keys
from lockgate.app.ports import Channel, Measurements, Vault
from lockgate.core.journal import rulebook_subject
from lockgate.drivers.anchor_file import begin_memory, remembered
from lockgate.drivers.ceremony_folder import read_ceremony
from lockgate.drivers.embedded_agent import EmbeddedAgent
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats.keys import PrivateKey, PublicKey
from lockgate.formats.names import Name
from lockgate.host_wiring import GATEWAY, has_gateway
from lockgate.keyring import server_key
from lockgate.loader.tls import listening
from lockgate.settings import SESSION_KEY, Settings, settings
from lockgate.tlog.note import NoteVerifier

KEYS = ("vsa", "lease", "export", "tuf-online")

_FOR_LEASES = 2  # connections


def create(
    home: Path, environment: Name, origin: str | None = None, signer: Path | None = None
) -> Mapping[str, PublicKey]:
    """Make the folders, settings and keys of an installation where they are missing; return its public keys.

    The key for checkpoints is not among them if a `signer` elsewhere has it.
    """
    named = origin or f"lockgate.invalid/{environment}/changes"
    NoteVerifier(named, bytes(32))  # an origin is the name of the key that signs checkpoints
    with _naming(home):
        fresh = not (home / "lockgate.toml").exists()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # a folder that was there keeps its mode
        for folder in (home / "keys", home / "blobs"):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
        for name in KEYS:
            if not (home / "keys" / f"{name}.uri").exists():
                _write_once(home / "keys" / f"{name}.pem", PrivateKey.from_seed(secrets.token_bytes(32)).pem)
        _write_once(home / "keys" / "session", secrets.token_bytes(SESSION_KEY))
        settled = f'environment = "{environment}"\norigin = {json.dumps(named)}\n'
        settled += f"signer = {json.dumps(str(signer.absolute()))}\n" if signer else ""
        _write_once(home / "lockgate.toml", settled.encode())
    found = settings(home, {})
    if found.environment != environment or origin not in (None, found.origin):
        raise ConflictError(f"{home} is {found.environment} ({found.origin}) already, not {environment} ({origin})")
    public = {name: server_key(home, name).public for name in KEYS}
    if found.signer:
        return public
    if not fresh:
        remembered(home)  # a memory that was lost is not begun anew
    begin_memory(home, found.origin)
    return {**public, "checkpoint": server_key(home, "checkpoint").public}


def channels(chosen: Settings) -> tuple[Channel, ...]:
    """Make the channels at which somebody wants to be told; one named twice is one."""
    if not chosen.notify:
        return ()
    if find_spec("apprise") is None:
        raise UnavailableError("notify is set, and nothing here can send: pip install 'lockgate[notify]'")
    from lockgate.drivers.apprise import AppriseChannel

    addresses = dict.fromkeys(chosen.notify)
    return tuple(AppriseChannel(url, number, chosen.session_key) for number, url in enumerate(addresses, 1))


def measurements(chosen: Settings) -> Measurements | None:
    """Make the way to the one Prometheus that strategies may ask, if there is one."""
    if chosen.prometheus is None:
        return None
    from lockgate.drivers.prometheus import Prometheus

    return Prometheus(chosen.prometheus)


def open_installation(chosen: Settings) -> Installation:
    """Open an installation: its database is started and migrated, its first trust document adopted."""
    from lockgate.drivers.local_store import LocalStore
    from lockgate.drivers.postgres import Postgres, migrate
    from lockgate.drivers.signer_socket import SignerSocket
    from lockgate.drivers.tuf_folder import TufFolder

    app_url, owner_url = _database(chosen)
    migrate(owner_url)
    database = Postgres(app_url, chosen.origin)
    keys = Keys(*(server_key(chosen.home, name) for name in KEYS))
    installation = Installation(
        chosen.environment,
        *(database, database, database, database),
        LocalStore(chosen.home / "blobs"),
        keys,
        updates=TufFolder(chosen.home / "tuf"),
        vault=_vault(chosen),
        heads=SignerSocket(chosen.signer or chosen.home / "signer.sock"),
        reads=Postgres(app_url, chosen.origin, connections=_FOR_LEASES),
        reports=database,
        presences=database,
        controllers=database,
    )
    _found(installation, chosen.home / "ceremony", chosen.origin)
    return installation


@contextmanager
def running(chosen: Settings) -> Iterator[Installation]:
    """Open an installation; when it is left, its connections are closed, and the database that it runs is stopped."""
    from lockgate.drivers.embedded_postgres import EmbeddedPostgres
    from lockgate.drivers.embedded_signer import EmbeddedSigner
    from lockgate.drivers.postgres import Postgres

    with ExitStack() as leaving:
        if chosen.signer is None or chosen.database_url is None:
            leaving.enter_context(_alone(chosen.home))
        if chosen.signer is None:
            signer = EmbeddedSigner(chosen.home)
            leaving.callback(signer.stop)
            signer.start()
        if chosen.database_url is None:
            leaving.callback(EmbeddedPostgres(chosen.home).stop)
        installation = open_installation(chosen)
        for database in (installation.ledger, installation.reads):
            assert isinstance(database, Postgres)
            leaving.callback(database.close)
        if chosen.agent_home is not None:
            agent = _agent(chosen, chosen.agent_home)
            leaving.callback(agent.stop)
            agent.start()
        yield installation


def _agent(chosen: Settings, home: Path) -> EmbeddedAgent:
    """Make the agent of a host beside the server: with a gateway, if this machine can have one."""
    options = ["--gateway", GATEWAY] if has_gateway() else []
    options += [] if chosen.tls else ["--insecure"]
    return EmbeddedAgent(home, listening(chosen.listen, secured=chosen.tls is not None), options)


def _vault(chosen: Settings) -> Vault:
    """Open what keeps the keys of the store: the token that was named, else files."""
    if chosen.vault is None:
        from lockgate.drivers.local_vault import LocalVault

        return LocalVault(chosen.home / "keys" / "vault")
    if find_spec("pkcs11") is None:
        raise UnavailableError("the setting vault names a token, which needs: pip install 'lockgate[hsm]'")
    from lockgate.drivers.pkcs11_vault import Pkcs11Vault

    return Pkcs11Vault(chosen.vault, chosen.environment)


def _database(chosen: Settings) -> tuple[str, str]:
    """Return how the server and who migrates reach the database; start our own if no other was named."""
    if chosen.database_url is not None:
        return chosen.database_url, chosen.database_owner_url or chosen.database_url
    from lockgate.drivers.embedded_postgres import APP, EmbeddedPostgres

    embedded = EmbeddedPostgres(chosen.home)
    owner_url = embedded.start()
    return embedded.conninfo(APP), owner_url


def _found(installation: Installation, folder: Path, origin: str) -> None:
    """Adopt the rules that the founders signed, by the root that they name.

    Not into a database that was emptied: the signer remembers what was in it.
    """
    if installation.catalog.find(rulebook_subject(installation.environment)) is not None or not folder.exists():
        return
    try:
        installation.watch.look()
    except UnavailableError:
        if installation.watch.frozen:
            return  # which the server says at its doors
        raise
    ceremony = read_ceremony(folder)
    if ceremony.trust.origin != origin:
        named = ceremony.trust.origin[:80]
        raise VerificationError(f"{folder} is for the log {named!a}, this installation keeps {origin}")
    with suppress(ConflictError):  # another process has founded it
        adopt.found(installation, ceremony.carried, ceremony.trust.root, datetime.now(UTC))


def _write_once(path: Path, content: bytes) -> None:
    """Write a private file whole, unless it is there."""
    if path.exists():
        return
    growing = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(file, "wb") as stream:  # noqa: PTH123 - a Path cannot be opened with a mode
            stream.write(content)
            stream.flush()
            os.fsync(file)
        with suppress(FileExistsError):  # another process was first
            os.link(growing, path)
    finally:
        growing.unlink()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Be the only server of this home: the one that ends stops what it started, the database or the signer."""
    with _naming(home):
        lock = os.open(home / "serving.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        os.close(lock)
        raise ConflictError(f"{home} is served by another process already") from e
    try:
        yield
    finally:
        os.close(lock)


@contextmanager
def _naming(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise UnavailableError(f"no installation can live in {home}: {e.strerror}") from e
