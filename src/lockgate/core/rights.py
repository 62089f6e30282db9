"""Who may do what? One table. What is not in it, nobody may do.

The rights say who may ask; the gate, the life cycles and the separation of duties say whether the answer is yes.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType

from lockgate.errors import DeniedError


class Role(StrEnum):
    """What somebody is trusted to ask for."""

    VIEWER = "viewer"
    AUTHOR = "author"
    APPROVER = "approver"
    OPERATOR = "operator"
    SECURITY_AUTHORITY = "security-authority"
    AUDITOR = "auditor"
    ADMIN = "admin"
    AGENT = "agent"
    CI = "ci"
    DETECTOR = "detector"


_EVERYONE = frozenset(Role)
_PEOPLE = _EVERYONE - {Role.AGENT, Role.CI, Role.DETECTOR}  # whom an approver may name; never a machine

RIGHTS: Mapping[str, frozenset[Role]] = MappingProxyType(
    {
        "session.open": _EVERYONE,
        "read": _EVERYONE,
        "log.read": frozenset({Role.AUDITOR, Role.ADMIN}),
        "blob.put": frozenset({Role.AUTHOR, Role.CI}),
        "release.register": frozenset({Role.AUTHOR, Role.CI}),
        "release.attest": frozenset({Role.AUTHOR, Role.CI}),
        "trial.begin": frozenset({Role.AUTHOR, Role.CI}),
        "suite.add": frozenset({Role.CI, Role.ADMIN}),
        "release.open-keys": frozenset({Role.AUTHOR, Role.CI, Role.OPERATOR}),
        "change.open": frozenset({Role.AUTHOR, Role.OPERATOR}),
        "change.approve": frozenset({Role.APPROVER}),
        "change.approve-in-place": _PEOPLE,
        "approval.delegate": frozenset({Role.APPROVER}),
        "approval.recall": frozenset({Role.APPROVER}),
        "emergency.approve": frozenset({Role.SECURITY_AUTHORITY}),
        "change.override": frozenset({Role.APPROVER, Role.SECURITY_AUTHORITY, Role.OPERATOR}),
        "change.review": frozenset({Role.APPROVER, Role.SECURITY_AUTHORITY, Role.AUDITOR}),
        "change.reject": frozenset({Role.APPROVER, Role.SECURITY_AUTHORITY}),
        "change.withdraw": frozenset({Role.AUTHOR, Role.OPERATOR, Role.ADMIN, Role.SECURITY_AUTHORITY}),
        "change.activate": frozenset({Role.OPERATOR}),
        "endpoint.roll-back": frozenset({Role.OPERATOR, Role.SECURITY_AUTHORITY}),
        "endpoint.prove": frozenset({Role.OPERATOR, Role.SECURITY_AUTHORITY, Role.AUDITOR, Role.ADMIN}),
        "endpoint.suspend": frozenset({Role.OPERATOR, Role.SECURITY_AUTHORITY, Role.ADMIN}),
        "rollout.pause": frozenset({Role.OPERATOR}),
        "rollout.resume": frozenset({Role.OPERATOR}),
        "rollout.step": frozenset({Role.OPERATOR}),
        "rollout.promote": frozenset({Role.OPERATOR}),
        "rollout.abort": frozenset({Role.OPERATOR, Role.SECURITY_AUTHORITY}),
        "rules.propose": frozenset({Role.ADMIN, Role.SECURITY_AUTHORITY}),
        "release.revoke": frozenset({Role.SECURITY_AUTHORITY, Role.ADMIN}),
        "key.revoke": frozenset({Role.SECURITY_AUTHORITY, Role.ADMIN}),
        "person.offboard": frozenset({Role.SECURITY_AUTHORITY, Role.ADMIN}),
        "rules.adopt": frozenset({Role.ADMIN}),
        "lease.ask": frozenset({Role.AGENT}),
        "order.relay": frozenset({Role.AGENT}),
        "report.send": frozenset({Role.AGENT}),
        "halt.send": frozenset({Role.AGENT}),
        "ties.send": frozenset({Role.AGENT}),
        "provider.observe": frozenset({Role.DETECTOR, Role.AGENT, Role.SECURITY_AUTHORITY}),
        "alert.raise": frozenset({Role.DETECTOR, Role.SECURITY_AUTHORITY}),
        "news.follow": frozenset({Role.AGENT}),
    }
)

# What only ever stops something: nothing may stand in its way, not even a log that is frozen.
TOWARDS_SAFETY = frozenset({"endpoint.suspend", "release.revoke", "key.revoke", "person.offboard"})


def check_right(act: str, roles: Collection[Role], actor: object) -> None:
    """Raise `DeniedError` unless one of `roles` may `act`."""
    allowed = RIGHTS.get(act, frozenset())
    if not allowed & set(roles):
        wanted = ", ".join(sorted(allowed)) or "nobody"
        raise DeniedError(f"{actor} has no right to {act}: that takes the role {wanted}")
