"""Who asked for what they may not have? Denials of known actors are facts too: one each minute for the same one."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.core.journal import Denied
from lockgate.errors import ConflictError, DeniedError
from lockgate.formats import canonical
from lockgate.formats.digest import Digest

_LONGEST = 256


def record_denial(
    installation: Installation, actor: str, act: str, object_: str, denied: DeniedError, now: datetime
) -> None:
    """Record a denial, unless the same one was recorded in this minute."""
    reasons = canonical.encode(list(denied.reasons))
    minute = now.strftime("%Y-%m-%dT%H:%M")
    act, object_ = act[:_LONGEST], object_[:_LONGEST]
    key = Digest.of(canonical.encode(["denied", actor, act, object_, str(Digest.of(reasons)), minute]))
    if installation.ledger.receipt(key) is not None:
        return
    try:
        with installation.ledger.transaction() as tx:
            tx.append([Denied(act, object_, tx.keep(reasons))], actor=actor, key=key, at=now)
    except ConflictError:
        return  # another replica recorded the same denial first
