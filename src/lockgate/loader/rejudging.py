"""Is what runs still admitted, by what is in force now? Judged again whenever trust, policy or deny-list changed.

    the passport that is held ──▶ admitted, as of the instant at which it was judged before ──▶ it goes on
                             └──▶ refused ──▶ the passport that the server shows now ──▶ admitted ──▶ it goes on
                                                                                └──▶ refused, or no answer ──▶ it stops

What only expired since was good when it was judged, and stays so; what was revoked, or taken out of trust or policy, is
not. A server that is down ends nothing: it is asked only about what the rules of this host refuse by themselves, since
another log key may have signed since.
"""

from datetime import datetime

from lockgate.core.passport import Admission, Passport, admit_again
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.loader.connection import Connection
from lockgate.loader.host import Host
from lockgate.loader.leasing import Claim
from lockgate.loader.opening import judge_endpoint
from lockgate.loader.order_book import OrderBook


def judge_again(
    host: Host, claim: Claim, passport: Passport, judged_at: datetime, connection: Connection, orders: OrderBook
) -> Admission:
    """Judge what was claimed with `passport` by the rules of `host`; raise `DeniedError` with every reason against it.

    Enforces: verified_loading, retirement_revocation
    """
    rules = host.update.trust, host.policy, host.revoked
    try:
        return _same(claim, admit_again(passport, claim.endpoint, *rules, judged_at))
    except (DeniedError, VerificationError) as e:
        held = _reasons(e)
    for candidate in _roles(passport):
        try:
            return _same(claim, judge_endpoint(host, claim.endpoint, connection, orders, candidate=candidate))
        except (DeniedError, VerificationError) as e:
            held = tuple(dict.fromkeys([*held, *_reasons(e)]))
        except LockgateError as e:
            raise DeniedError(*held) from e
    raise DeniedError(*held)


def _roles(passport: Passport) -> tuple[bool, ...]:
    """Say as what it may be served now: what began as a candidate may be one still, or stable by now."""
    began = passport.case is not None and passport.case.content.strategy is not None
    return (True, False) if began else (False,)


def _same(claim: Claim, admission: Admission) -> Admission:
    """Raise `DeniedError` unless it is the claimed activation that was admitted."""
    release, epoch = admission.permit.release.digest, admission.epoch
    if (release, epoch) != (claim.release, claim.epoch):
        raise DeniedError(
            f"{claim.endpoint} has moved on: admitted is {release} of entry {epoch}, claimed was entry {claim.epoch}"
        )
    return admission


def _reasons(error: LockgateError) -> tuple[str, ...]:
    return error.reasons if isinstance(error, DeniedError) else (str(error),)
