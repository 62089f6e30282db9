"""What was revoked of something that serves: the release, or a key without which it would not have been let in?

judged with all that is revoked ──▶ admitted ──▶ nothing
                               └──▶ refused ──▶ as if nothing had been revoked ──▶ admitted ──▶ that is why
                                                                              └──▶ refused ──▶ for another reason
"""

from dataclasses import replace

from lockgate.app.installation import Installation
from lockgate.app.issue_passport import passport_for
from lockgate.app.watch_rollout import Flight
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.core.observation import Grounds, signals_of
from lockgate.core.passport import admit_again
from lockgate.core.revocation import list_revocations
from lockgate.core.rollout import Advance, Promote, decide
from lockgate.core.slot import Slot
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.names import Endpoint


def revoked_of(installation: Installation, endpoint: Endpoint, slot: Slot, *, candidate: bool) -> tuple[str, ...]:
    """Say why what serves there, or is tried there, would not be let in any more, if that is a revocation."""
    revoked = installation.revocations([slot.release])
    try:
        revoked.check_release(slot.release)
        passport = passport_for(installation, endpoint, candidate=candidate)
    except DeniedError as e:
        return e.reasons
    policy = installation.policy()
    try:
        admit_again(passport, endpoint, installation.trust(), policy, revoked, slot.at)
    except (DeniedError, VerificationError) as e:
        reasons = e.reasons if isinstance(e, DeniedError) else (str(e),)
    else:
        return ()
    nothing = list_revocations(installation.environment, ())
    try:
        admit_again(passport, endpoint, installation.written_trust(), policy, nothing, slot.at)
    except (DeniedError, VerificationError) as e:  # refused for another reason too: hosts find that by themselves
        others = e.reasons if isinstance(e, DeniedError) else (str(e),)
        return tuple(reason for reason in reasons if reason not in others)
    return reasons


def judged_again(installation: Installation, flight: Flight, grounds: Grounds) -> Grounds:
    """Judge a candidate again before it gets more: it is as good as revoked if a key is that it was let in by.

    Enforces: gradual_rollout, retirement_revocation
    """
    coming = decide(flight.strategy, flight.rollout, signals_of(grounds), flight.at)
    if not isinstance(coming, Advance | Promote):
        return grounds
    reasons = revoked_of(installation, flight.endpoint, flight.candidate, candidate=True)
    return replace(grounds, revoked=True) if reasons else grounds


def check_candidate_stands(installation: Installation, endpoint: Endpoint) -> None:
    """Raise `DeniedError` for a candidate that no host would serve, because what let it in was revoked."""
    state = installation.catalog.find(endpoint_subject(endpoint))
    if not isinstance(state, State) or state.rollout is None:
        return
    if reasons := revoked_of(installation, endpoint, state.rollout.candidate, candidate=True):
        raise DeniedError(*reasons)
