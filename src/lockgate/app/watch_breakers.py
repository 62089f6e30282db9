"""What is known of an endpoint that breakers watch over? Read without changing anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lockgate.app.find_revoked import revoked_of
from lockgate.app.installation import Installation
from lockgate.app.trip_breaker import flags_of
from lockgate.app.watch_rollout import all_endpoints
from lockgate.core.appearance import Appearance, Appearances
from lockgate.core.breaker import Breaker, OnOverrideExpired, OnRevoked
from lockgate.core.concession import Concession, expired
from lockgate.core.detection import Alerts, Raised
from lockgate.core.endpoint import State
from lockgate.core.journal import alerts_subject, appearances_subject, concession_subject
from lockgate.core.policy import Policy
from lockgate.core.slot import Slot
from lockgate.core.trip import Sample, Sums
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint


@dataclass(frozen=True, slots=True)
class Guarded:
    """An endpoint that serves, and the breakers that watch over it, by the policy in force.

    One that only flags, and has done so, watches no more.
    """

    state: State
    breakers: tuple[Breaker, ...]

    @property
    def endpoint(self) -> Endpoint:
        """Which one."""
        return self.state.endpoint

    @property
    def slots(self) -> Sequence[Slot]:
        """What may serve there: the stable release, and a candidate."""
        stable, rollout = self.state.stable, self.state.rollout
        return [slot for slot in (stable, rollout.candidate if rollout else None) if slot is not None]

    @property
    def since(self) -> datetime:
        """When it was let in; of an endpoint of before that was written down, when its release was activated."""
        return self.state.open_since or self.slots[0].at


def guarded(installation: Installation) -> Iterator[Guarded]:
    """List the endpoints that serve and have breakers."""
    policy = installation.policy().document
    for state in all_endpoints(installation):
        done = flags_of(state)
        breakers = tuple(one for one in _breakers(policy, state) if not (one.only_flags and one.name in done))
        if breakers and state.stable is not None and not state.suspended:
            yield Guarded(state, breakers)


def alerts_at(installation: Installation, at: Guarded) -> tuple[Raised, ...]:
    """List what was raised about an endpoint as a whole, or about what serves there."""
    found = installation.catalog.find(alerts_subject(at.endpoint))
    serving = {None, *(slot.release for slot in at.slots)}
    return tuple(one for one in found.raised if one.release in serving) if isinstance(found, Alerts) else ()


def sample_at(installation: Installation, at: Guarded, now: datetime) -> Sample:
    """Read the totals of everything that nodes counted of what serves there, for each incarnation."""
    serving = {slot.release for slot in at.slots}
    measured = installation.reports.measured(at.endpoint)
    totals = {
        f"{one.node}/{one.incarnation}/{one.counted.release.hex}": Sums.of(one.counted.counts)
        for one in measured
        if one.counted.release in serving
    }
    return Sample(now, totals)


def deny_list_of(installation: Installation, at: Guarded) -> tuple[Digest, ...]:
    """Name all that is revoked and could concern it: what was found with the same list need not be found again."""
    listed = installation.revocations([slot.release for slot in at.slots])
    return tuple(entry.digest for entry in listed.entries)


def revoked_at(installation: Installation, at: Guarded) -> tuple[str, ...]:
    """Say what was revoked of what serves: the release, or a key without which it would not have been let in."""
    if not any(isinstance(breaker.on, OnRevoked) for breaker in at.breakers):
        return ()
    stable = at.state.stable
    found = (revoked_of(installation, at.endpoint, slot, candidate=slot is not stable) for slot in at.slots)
    return tuple(reason for reasons in found for reason in reasons)


def appearances_at(installation: Installation, at: Guarded) -> tuple[Appearance, ...]:
    """List what is known of the provider models of what serves there."""
    found = installation.catalog.find(appearances_subject(at.endpoint))
    serving = {slot.release for slot in at.slots}
    return tuple(one for one in found.seen if one.release in serving) if isinstance(found, Appearances) else ()


def expired_at(installation: Installation, at: Guarded, now: datetime) -> tuple[str, ...]:
    """Say which overrides are over that let through what serves."""
    if not any(isinstance(breaker.on, OnOverrideExpired) for breaker in at.breakers):
        return ()
    found = [installation.catalog.find(concession_subject(slot.change)) for slot in at.slots]
    return tuple(line for one in found if isinstance(one, Concession) for line in expired(one, now))


def _breakers(policy: Policy, state: State) -> tuple[Breaker, ...]:
    rules = policy.endpoints.get(str(state.endpoint))
    return (rules.breakers or ()) if rules else ()
