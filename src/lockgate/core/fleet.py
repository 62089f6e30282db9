"""Which hosts are there, and where does each take orders? What somebody keeps at hand for the day the server is away.

Nobody signs it and nothing is decided by it: an order that goes to the wrong address stops nothing, and is missed,
because only a receipt by the node itself counts (spec/order.md).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.core.rights import Role
from lockgate.core.trust import Trust
from lockgate.errors import VerificationError
from lockgate.formats.names import Endpoint, Name


@dataclass(frozen=True, slots=True)
class Member:
    """A host: where its agent takes orders, what it asked leases for, and when it last did."""

    node: Name
    control: str | None
    endpoints: tuple[Endpoint, ...]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Fleet:
    """All hosts of an environment, as the server knew them."""

    type: ClassVar[str] = "fleet/v1"
    environment: Name
    members: tuple[Member, ...]
    written_at: datetime


def check_fleet(fleet: Fleet, trust: Trust) -> None:
    """Raise `VerificationError` for the fleet of another environment, or one that names a host twice."""
    if fleet.environment != trust.environment:
        raise VerificationError(f"the fleet is that of {fleet.environment}, the trust that of {trust.environment}")
    names = [member.node for member in fleet.members]
    if len(set(names)) != len(names):
        raise VerificationError("a node is named twice in the fleet")


def strangers(fleet: Fleet, trust: Trust, at: datetime) -> list[Name]:
    """Name the agents that trust knows and the fleet does not: no order reaches them."""
    known = {member.node for member in fleet.members}
    agents = [actor for actor in trust.actors if Role.AGENT in actor.roles and (not actor.until or at < actor.until)]
    return sorted(actor.name for actor in agents if actor.name not in known)
