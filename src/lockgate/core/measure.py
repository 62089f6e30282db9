"""How much does a test show? Of a count, what its sample proves; of a value, the value itself.

Passing 30 of 30 does not show that all would pass: it shows 0.886 at most. So a count is judged by the lower end of its
Wilson interval (E. B. Wilson, 1927; two-sided 95 %, z = 1.959964), and a small sample needs a better result. The lower
end is at least t when p ≥ t and n(p - t)² ≥ z² t(1 - t): integers decide that exactly, and nobody rounds.

A threshold of 1 asks that nothing failed. No sample proves that of all that could come; of what was tried it holds.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from lockgate.errors import VerificationError

_Z = 1_959_964, 1_000_000
MOST = 10**9
_PARTS = 10**6
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,9})?", re.ASCII)
_LONGEST, _LARGEST = 40, 40


@dataclass(frozen=True, slots=True)
class Measure:
    """What a suite counted: `passed` of `of`, where more is better, or a `value` (decimal text)."""

    passed: int | None = None
    of: int | None = None
    value: str | None = None

    def __str__(self) -> str:
        """Write `190 of 200`, or the value."""
        return f"{self.passed} of {self.of}" if self.value is None else self.value


def check_measure(name: str, measure: Measure) -> None:
    """Raise `VerificationError` unless this is a count of something, or a finite value, and not both."""
    passed, of, value = measure.passed, measure.of, measure.value
    if (passed is None) != (of is None) or (passed is None) == (value is None):
        raise VerificationError(f"measure {name[:80]!a} is not either a count, passed and of, or a value")
    if value is not None:
        decimal(value)
    elif passed is None or of is None or not 0 <= passed <= of or not 1 <= of <= MOST:
        raise VerificationError(f"measure {name[:80]!a} counts {passed} of {of}, not 0 to n of n, from 1 to {MOST}")


def reaches(measure: Measure, threshold: str) -> bool:
    """Tell whether a measure shows at least `threshold`: a count by its lower bound, a value by itself."""
    if measure.passed is None or measure.of is None:
        return measure.value is not None and is_at_least(measure.value, threshold)
    try:
        return _proves(measure.passed, measure.of, *decimal(threshold).as_integer_ratio())
    except VerificationError:
        return False


def bound(measure: Measure) -> str:
    """Write what a measure shows at least, for people: the bound of a count to six digits, rounded down."""
    if measure.passed is None or measure.of is None:
        return measure.value or ""
    low, high = 0, _PARTS - 1
    while low < high:
        middle = (low + high + 1) // 2
        proved = _proves(measure.passed, measure.of, middle, _PARTS)
        low, high = (middle, high) if proved else (low, middle - 1)
    return f"0.{low:06}"


def _proves(passed: int, of: int, wanted: int, unit: int) -> bool:
    """Decide p ≥ t and n(p - t)² ≥ z²t(1 - t) for p = passed/of and t = wanted/unit, both sides times n·unit²."""
    over = passed * unit - wanted * of
    return wanted > 0 and over >= 0 and over**2 * _Z[1] ** 2 >= _Z[0] ** 2 * of * wanted * (unit - wanted)


def is_at_least(found: str, threshold: str) -> bool:
    """Compare two decimal texts; what is no number reaches nothing."""
    try:
        return decimal(found) >= decimal(threshold)
    except VerificationError:
        return False


def decimal(text: str) -> Decimal:
    """Read a finite decimal number like `0.95`; raise `VerificationError` for anything else."""
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        raise VerificationError(f"not a decimal number: {text[:40]!a}")
    value = Decimal(text)
    if not value.is_finite() or abs(value.adjusted()) > _LARGEST:
        raise VerificationError(f"not a finite decimal number: {text[:40]!a}")
    return value
