"""How is an endpoint watched over in tests? By breakers of a policy, a host that counts, and one server that looks."""

from dataclasses import replace
from datetime import timedelta

from lockgate.controllers.breakers import Breakers
from lockgate.core.breaker import (
    Breaker,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
)
from lockgate.core.danger import Danger, Severity
from lockgate.core.endpoint import Flagged, Tripped
from lockgate.core.journal import read_fact
from lockgate.core.trip import Trip
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.traffic import Host, counts
from tests.world import PROD, World, rules

CRITICAL = Breaker(Name("critical"), OnAlerts((Danger.SECURITY,), Severity.CRITICAL, 1, 60))
STORM = Breaker(Name("storm"), OnAlerts((Danger.JAILBREAK,), Severity.MEDIUM, 3, 60))
TOOLS = Breaker(Name("tools"), OnFailures("tool", 50, 20, 30))
GUARD = Breaker(Name("guard-down"), OnUnguarded(90, 20, 30))
REVOKED = Breaker(Name("revoked"), OnRevoked())
PROVIDER = Breaker(Name("provider"), OnProviderChanged("before"))
EXPIRED = Breaker(Name("expired"), OnOverrideExpired())
ALL = (CRITICAL, STORM, TOOLS, GUARD, REVOKED)


class Watched:
    """A release that serves, a host that counts, and one server that watches."""

    def __init__(self, *breakers, hosted=None, **ruled):
        self.world = World()
        self.world.memory.clock = lambda: self.world.now
        self.world.policy = replace(
            self.world.policy,
            version=2,
            endpoints={str(PROD): replace(rules(), breakers=breakers or None, **ruled)},
        )
        self.world.adopt(replace(self.world.trust, version=2), self.world.policy)
        self.release = self.world.serve("1.0.0", hosted=hosted)
        self.host = Host(self.world)
        self.breakers = Breakers(self.world.installation, lambda: self.world.now)

    def look(self, seconds=1, **counted):
        """Let time go by, count, and look."""
        self.world.now += timedelta(seconds=seconds)
        if counted:
            self.host.count(self.release.digest, counts(**counted))
            self.host.send()
        self.breakers.look()
        return self.world.endpoint()

    def trip(self):
        """Read what the log says of the breaker that tripped, and why."""
        for entry in self.world.memory.entries(0, self.world.memory.size()):
            envelope, event = read_fact(entry)
            if isinstance(event, Tripped | Flagged):
                return envelope, event, plain.decode(Trip, self.world.memory.document(event.evidence))
        raise AssertionError("nothing tripped")
