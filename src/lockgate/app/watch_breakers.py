"""What is known of an endpoint that breakers watch over? Read without changing anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.issue_passport import passport_for
from lockgate.app.watch_rollout import all_endpoints
from lockgate.core.breaker import Breaker, OnRevoked
from lockgate.core.detection import Alerts, Raised
from lockgate.core.endpoint import State
from lockgate.core.journal import alerts_subject
from lockgate.core.passport import admit_again
from lockgate.core.policy import Policy
from lockgate.core.revocation import list_revocations
from lockgate.core.slot import Slot
from lockgate.core.trip import Sample, Sums
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint


@dataclass(frozen=True, slots=True)
class Guarded:
    """An endpoint that serves, and the breakers that watch over it, by the policy in force."""

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
        breakers = _breakers(policy, state)
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
    return tuple(reason for slot in at.slots for reason in _revoked(installation, at, slot))


def _breakers(policy: Policy, state: State) -> tuple[Breaker, ...]:
    rules = policy.endpoints.get(str(state.endpoint))
    return (rules.breakers or ()) if rules else ()


def _revoked(installation: Installation, at: Guarded, slot: Slot) -> tuple[str, ...]:
    """Judge again: with everything that is revoked, and, if that is refused, as if nothing had been."""
    revoked = installation.revocations([slot.release])
    try:
        revoked.check_release(slot.release)
        passport = passport_for(installation, at.endpoint, candidate=slot is not at.state.stable)
    except DeniedError as e:
        return e.reasons
    policy = installation.policy()
    try:
        admit_again(passport, at.endpoint, installation.trust(), policy, revoked, slot.at)
    except (DeniedError, VerificationError) as e:
        reasons = e.reasons if isinstance(e, DeniedError) else (str(e),)
    else:
        return ()
    nothing = list_revocations(installation.environment, ())
    try:
        admit_again(passport, at.endpoint, installation.written_trust(), policy, nothing, slot.at)
    except (DeniedError, VerificationError):
        return ()  # refused for another reason: hosts find that by themselves
    return reasons
