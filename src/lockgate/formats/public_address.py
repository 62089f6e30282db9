"""Which addresses are public? Those of a table of our own, however they are written.

What libraries call global holds addresses that lead back to this machine or its network by another way of writing (IPv4
inside of IPv6, 6to4, Teredo).
"""

import ipaddress
from typing import TypeAlias

from lockgate.errors import VerificationError

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


def _is_public(found: Ip) -> bool:
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in _ODD_4)
    return found in _PUBLIC_6 and not any(found in network for network in _ODD_6)
