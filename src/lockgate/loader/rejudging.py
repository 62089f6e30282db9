"""Is what runs still admitted, by what is in force now? Judged again whenever trust, policy or deny-list changed.

    the passport that is held ──▶ admitted, as of the instant at which it was judged before ──▶ it goes on
                             └──▶ refused ──▶ the passport that the server shows now ──▶ admitted ──▶ it goes on
                                                                                └──▶ refused, or no answer ──▶ it stops

What only expired since was good when it was judged, and stays so; what was revoked, or taken out of trust or policy, is
not. A server that is down ends nothing: it is asked only about what the rules of this host refuse by themselves, since
another log key may have signed since.
"""

from datetime import datetime

from lockgate.core.passport import Admission, Passport, admit_passport
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
        return _same(claim, admit_passport(passport, claim.endpoint, *rules, judged_at))
    except (DeniedError, VerificationError) as e:
        held = _reasons(e)
    try:
        return _same(claim, judge_endpoint(host, claim.endpoint, connection, orders))
    except (DeniedError, VerificationError) as e:
        raise DeniedError(*dict.fromkeys([*held, *_reasons(e)])) from e
    except LockgateError as e:
        raise DeniedError(*held) from e


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
