"""What would a new trust or policy document change? Every difference, in words a person can decide by.

No two different documents are without a difference, and every sentence says whether it weakens the rules, strengthens
them, or does neither. Who approves reads these words, computed on their own machine from the documents themselves.
"""

from collections.abc import Iterable

from lockgate.core.difference.ruled import policy_differences
from lockgate.core.difference.sentence import Difference, Effect
from lockgate.core.difference.staged import strategy_words
from lockgate.core.difference.trusted import trust_differences
from lockgate.core.policy import Policy
from lockgate.core.trust import Trust
from lockgate.formats.names import Name

__all__ = ["Difference", "Effect", "differences", "gaining", "strategy_words"]


def differences(old: Trust | Policy, new: Trust | Policy) -> tuple[Difference, ...]:
    """Say every difference between two documents of one kind."""
    assert type(old) is type(new), "a trust document is compared with a trust document, a policy with a policy"
    if isinstance(old, Trust):
        return tuple(trust_differences(old, new, "the trust document"))
    return tuple(policy_differences(old, new, "the policy"))


def gaining(found: Iterable[Difference]) -> frozenset[Name]:
    """Name the people whose own rights are widened: none of them may approve it."""
    return frozenset(difference.to for difference in found if difference.to is not None)
