"""At which addresses may something be asked whose name others could point elsewhere? At public ones, and those allowed.

A table of our own: what libraries call global holds addresses that lead back to this machine or its network by another
way of writing (IPv4 inside of IPv6, 6to4, Teredo). What a name resolves to is looked at, and then exactly that is
connected to, so that nobody answers differently in between.
"""

import ipaddress
import queue
import socket
import threading
from collections.abc import Sequence
from typing import TypeAlias

from lockgate.errors import UnavailableError, VerificationError

Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_ODD_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_ODD_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
            *("::1/128", "fc00::/7"),
        ),
    )
)


def check_address(text: str, *, private: bool) -> Ip:
    """Raise `VerificationError` for an address that is not public; `private` allows loopback and private networks."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError as e:
        raise VerificationError("it leads to something that is no address") from e
    inside = isinstance(found, ipaddress.IPv6Address) and found.scope_id is not None
    if inside or not (_is_public(found) or (private and any(found in network for network in _PRIVATE))):
        raise VerificationError(f"it leads to {found}, which is not public")
    return found


def resolve(host: str, port: int, *, private: bool, seconds: float) -> Sequence[Ip]:
    """Find the addresses of a name in time; raise unless every one of them may be asked."""
    found: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()
    threading.Thread(target=_resolve, args=(host, port, found), name="resolve", daemon=True).start()
    try:
        texts = found.get(timeout=seconds)
    except queue.Empty as e:
        raise UnavailableError("its name is not resolved in time") from e
    if isinstance(texts, OSError) or not texts:
        raise UnavailableError("its name is not resolved")
    return [check_address(text, private=private) for text in texts]


def _resolve(host: str, port: int, found: "queue.SimpleQueue[Sequence[str] | OSError]") -> None:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found.put([str(address[0]) for *_, address in answers])
    except (OSError, UnicodeError) as e:
        found.put(e if isinstance(e, OSError) else OSError("no name"))


def _is_public(found: Ip) -> bool:
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in _ODD_4)
    return found in _PUBLIC_6 and not any(found in network for network in _ODD_6)
