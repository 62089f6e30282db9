"""What are the gateway and the bindings of a serving host made of? The only place that names their drivers.

    host.toml        gateway = "127.0.0.1:8421"   where requests to /ENV/ENDPOINT/… come in
    bindings.toml    [crm] kind = "webhook" …     how each binding is reached; nobody else may read it

The gateway speaks plain HTTP, so it opens a loopback address and no other: what ends TLS for callers elsewhere stands
before it. A binding is opened without asking anybody: one that is down is found out when it is needed.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from lockgate.app.ports import Binding, Gateway
from lockgate.core.binding import BindingKind
from lockgate.core.traffic import Address
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats.keys import Signer
from lockgate.formats.names import Name
from lockgate.loader.host import BINDINGS
from lockgate.loader.tls import Tls, check_private, is_local, listening

GATEWAY = "127.0.0.1:8421"
ANY_PORT = ("127.0.0.1", 0)  # of a door to tools: the model server learns it with its token

_NEEDED = ("grpc", "google.protobuf")


@dataclass(frozen=True, slots=True)
class Wired:
    """A binding that this host knows how to reach."""

    kind: BindingKind
    binding: Binding


@dataclass(frozen=True, slots=True)
class Site:
    """The host that bindings are opened for: its home, its name, its key."""

    home: Path
    node: Name
    key: Signer


class Table:
    """What bindings.toml says of one binding, read strictly: what is not asked for may not be there."""

    def __init__(self, name: Name, found: Mapping[str, object], home: Path) -> None:
        self.name, self._found, self._home = name, dict(found), home

    def text(self, word: str, default: str | None = None) -> str:
        """Take a text; raise `VerificationError` if there is none, and no default."""
        found = self._found.pop(word, default)
        if not isinstance(found, str):
            raise VerificationError(f"{BINDINGS}: {self.name}: {word} is not text")
        return found

    def has(self, word: str) -> bool:
        """Ask whether something is said of this."""
        return word in self._found

    def flag(self, word: str) -> bool:
        """Take a yes or no; what is left out is no."""
        found = self._found.pop(word, False)
        if not isinstance(found, bool):
            raise VerificationError(f"{BINDINGS}: {self.name}: {word} is neither true nor false")
        return found

    def tls(self) -> Tls:
        """Take the authorities that are believed; those of the system if none are named."""
        named = self.text("tls_ca", "")
        return Tls(authorities=self._home / named if named else None)

    def secret(self, word: str) -> str:
        """Take the name of a file, relative to the home, and read the secret in it: there is one, for nobody else."""
        path = self._home / self.text(word)
        check_private(path)
        if not (secret := path.read_text().strip()):
            raise VerificationError(f"{BINDINGS}: {self.name}: the file that {word} names is empty")
        return secret

    def check_empty(self) -> None:
        """Raise `VerificationError` if something is left that nobody asked for."""
        if self._found:
            raise VerificationError(f"{BINDINGS}: {self.name}: nobody knows what {min(self._found)[:64]!a} means")


def check_gateway(address: str) -> Address:
    """Raise `VerificationError` for an address that others could reach, `UnavailableError` without its packages."""
    found = Address.parse(address)
    if not has_gateway():
        raise UnavailableError("the setting gateway needs: pip install 'lockgate[gateway]'")
    return found


def has_gateway() -> bool:
    """Ask whether this host can have a gateway."""
    return all(_is_there(name) for name in _NEEDED)


def open_gateway(home: Path, address: Address) -> Gateway:
    """Start the gateway of a host; raise `UnavailableError` if it does not start, or is not seen to fail closed."""
    from lockgate.drivers.envoy import open_gateway as open_envoy

    return open_envoy(home, listen=address)


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def open_bindings(site: Site) -> Mapping[Name, Wired]:
    """Read how this host reaches bindings, and make them ready; nobody is asked yet. Without a file there are none."""
    path = site.home / BINDINGS
    if not path.exists():
        return {}
    check_private(path)
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VerificationError(f"{path} is not TOML: {e}") from e
    return {Name(name): _wired(Name(name), table, site) for name, table in found.items()}


def _wired(name: Name, found: object, site: Site) -> Wired:
    if not isinstance(found, dict):
        raise VerificationError(f"{BINDINGS}: {name} is no table")
    table = Table(name, found, site.home)
    said = table.text("kind")
    kind: BindingKind | None = next((known for known in get_args(BindingKind) if known == said), None)
    if kind is None or kind not in _DRIVERS:
        raise VerificationError(f"{BINDINGS}: {name}: there is no kind {said[:40]!a}")
    binding = _DRIVERS[kind](table, site)
    table.check_empty()
    return Wired(kind, binding)


def _webhook(table: Table, site: Site) -> Binding:
    from lockgate.drivers.webhook import Webhook
    from lockgate.drivers.webhook.bounded_request import Target

    private, tls = table.flag("private"), table.tls()
    try:
        asked, tried = (Target(table.text(word), private, tls) for word in ("url", "probe_url"))
    except VerificationError as e:
        raise VerificationError(f"{BINDINGS}: {table.name}: {e}") from e
    folder = site.home / "bindings" / str(table.name)
    return Webhook(table.name, (site.node, site.key), asked, tried, folder)


def _postgres(table: Table, _site: Site) -> Binding:
    _check_extra(table, "psycopg")
    from lockgate.drivers.postgres_role import Database, PostgresRole

    address, user, group = table.text("address"), table.text("user"), table.text("group")
    return PostgresRole(table.name, Database(address, user, table.secret("password_file"), group))


def _redis(table: Table, site: Site) -> Binding:
    _check_extra(table, "redis")
    from lockgate.drivers.redis_user import RedisUser, Server

    host, _, port = table.text("address").rpartition(":")
    if not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise VerificationError(f"{BINDINGS}: {table.name}: address is written HOST:PORT")
    bare, tls, ca = host.removeprefix("[").removesuffix("]"), table.flag("tls"), table.text("tls_ca", "")
    if not (tls or is_local(bare)):
        raise VerificationError(f"{BINDINGS}: {table.name}: {bare} is no loopback address, so it takes tls = true")
    user, password = table.text("user"), table.secret("password_file")
    return RedisUser(table.name, Server(bare, int(port), user, password, str(site.home / ca) if ca else None, tls))


def _credential(table: Table, _site: Site) -> Binding:
    from lockgate.drivers.introspection import Introspection

    at = listening(table.text("listen"), secured=False)
    return Introspection(table.name, at, table.secret("secret_file"))


def _check_extra(table: Table, package: str) -> None:
    if not _is_there(package):
        raise UnavailableError(f"{BINDINGS}: {table.name} needs: pip install 'lockgate[bindings]'")


def _mcp(table: Table, _site: Site) -> Binding:
    from lockgate.drivers.mcp_door import McpDoor
    from lockgate.drivers.mcp_door.upstream import Upstream

    secret = table.secret("secret_file") if table.has("secret_file") else None
    at = listening(table.text("listen"), secured=False) if table.has("listen") else ANY_PORT
    try:
        return McpDoor(table.name, Upstream(table.text("url"), secret, table.tls()), at)
    except VerificationError as e:
        raise VerificationError(f"{BINDINGS}: {table.name}: {e}") from e


_DRIVERS: Mapping[BindingKind, Callable[[Table, Site], Binding]] = {
    "webhook": _webhook,
    "postgres": _postgres,
    "redis": _redis,
    "credential": _credential,
    "mcp": _mcp,
}


def cluster_gateway(
    api: str, account: Path, models: str, gateway: str, tell: Callable[[str], None], *, kserve: bool = False
) -> Gateway:
    """Open the routes of a cluster: `account` holds ca.crt and token, `gateway` is NAMESPACE/NAME."""
    from lockgate.drivers.kserve import Cluster, Place, open_gateway

    namespace, slash, name = gateway.partition("/")
    if not (namespace and slash and name):
        raise VerificationError(f"a gateway of a cluster is NAMESPACE/NAME, not {gateway[:80]!a}")
    cluster = Cluster(api.rstrip("/"), account / "ca.crt", account / "token")
    return open_gateway(cluster, Place(models, name, namespace, kserve), tell)
