"""What is the gateway of a serving host made of? The only place that names its driver.

    host.toml    gateway = "127.0.0.1:8421"      where requests to /ENV/ENDPOINT/… come in

It speaks plain HTTP, so it opens a loopback address and no other: what ends TLS for callers elsewhere stands before it.
"""

from importlib.util import find_spec
from pathlib import Path

from lockgate.app.ports import Gateway
from lockgate.core.traffic import Address
from lockgate.errors import UnavailableError

GATEWAY = "127.0.0.1:8421"

_NEEDED = ("grpc", "google.protobuf")


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
