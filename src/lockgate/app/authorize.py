"""By which change does a document come into force? By one that other people approved, for exactly this document.

A threshold of root keys signs it besides. Where so few people are left that nobody could approve anything, every root
key must have signed instead: an installation that lost its people is not lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lockgate.app.decide_change import loaded_change
from lockgate.app.installation import Installation
from lockgate.app.ports import Transaction
from lockgate.app.propose import in_force, judged_proposal
from lockgate.core.policy import POLICY, Policy
from lockgate.core.proposal import is_deserted
from lockgate.core.trust import TRUST, Agreed, Root, Trust, open_agreed
from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest


@dataclass(frozen=True, slots=True)
class Coming:
    """What is to come into force: a document and its envelope each, None for one that stays as it is."""

    trust: Agreed[Trust] | None
    policy: Agreed[Policy] | None
    envelopes: Mapping[Digest, bytes]


def authorize(
    installation: Installation, coming: Coming, numbers: Sequence[int], now: datetime, tx: Transaction
) -> Mapping[Digest, int]:
    """Return the change that each document carries out; raise `DeniedError` if one has none, or a change has none."""
    rules = in_force(installation, tx)
    if is_deserted(rules, now):
        _check_unanimous(coming, rules.written.document.root)
        return {}
    found = {
        judged_proposal(installation, loaded_change(tx, number), now, tx).content.document: number for number in numbers
    }
    wanted = {one.digest: kind for kind, one in (("trust", coming.trust), ("policy", coming.policy)) if one is not None}
    reasons = [f"no change approves the {kind} {digest}" for digest, kind in wanted.items() if digest not in found]
    reasons += [
        f"change {number} is about another document" for digest, number in found.items() if digest not in wanted
    ]
    if reasons:
        raise DeniedError(*reasons)
    return found


def _check_unanimous(coming: Coming, held: Root) -> None:
    """Raise `VerificationError` unless every key of the root signed what is to come into force."""
    if coming.trust is not None:
        open_agreed(Trust, coming.envelopes[coming.trust.digest], TRUST, _everybody(held))
    if coming.policy is not None:
        root = coming.trust.document.root if coming.trust is not None else held
        open_agreed(Policy, coming.envelopes[coming.policy.digest], POLICY, _everybody(root))


def _everybody(root: Root) -> Root:
    return Root(len(root.keys), root.keys)
