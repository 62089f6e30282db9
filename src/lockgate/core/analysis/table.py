"""What was counted of candidate and stable in one interval? Whole numbers, of both in the same interval, or nothing.

What is compared is always one interval: whatever befell both in it, falls out (spec/analysis.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lockgate.errors import VerificationError

LARGEST = 10_000_000  # of one arm in one interval; the cost of a table grows with the square root
_LARGEST_SUM = 2**53 - 1
_BOUNDS = 256


@dataclass(frozen=True, slots=True)
class Counts:
    """How many were served, and how many of them were bad."""

    n: int
    bad: int

    def __post_init__(self) -> None:
        if type(self.n) is not int or type(self.bad) is not int or not 0 <= self.bad <= self.n <= _LARGEST_SUM:
            raise VerificationError(
                f"found {self.bad!a} bad of {self.n!a}, wanted whole numbers, and no more bad than all"
            )

    def plus(self, other: "Counts") -> "Counts":
        """Add what was counted elsewhere, or later."""
        return Counts(self.n + other.n, self.bad + other.bad)


NONE = Counts(0, 0)


@dataclass(frozen=True, slots=True)
class Table:
    """Both arms in one interval."""

    candidate: Counts
    stable: Counts

    def __post_init__(self) -> None:
        if (most := max(self.candidate.n, self.stable.n)) > LARGEST:
            raise VerificationError(f"{most} in one interval is more than {LARGEST}: make it shorter, or count by node")

    @property
    def compares(self) -> bool:
        """Whether both arms served anything."""
        return self.candidate.n > 0 and self.stable.n > 0


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many took at most each of `bounds`, and more than the bound before; the last of `counts` took longer."""

    bounds: tuple[int, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.bounds, self.bounds[1:], strict=False))
        if not 1 <= len(self.bounds) <= _BOUNDS or not rising or self.bounds[0] < 0:
            raise VerificationError(
                f"the bounds of a histogram are 1 to {_BOUNDS} whole numbers, each above the one before"
            )
        if len(self.counts) != len(self.bounds) + 1 or min(self.counts) < 0 or sum(self.counts) > _LARGEST_SUM:
            raise VerificationError("a histogram counts, for each bound and above the last, zero or more")

    @property
    def n(self) -> int:
        """How many were served."""
        return sum(self.counts)

    def slower(self, bucket: int) -> Counts:
        """Count as bad what took longer than the bound of `bucket`."""
        return Counts(sum(self.counts), sum(self.counts[bucket + 1 :]))

    def plus(self, other: "Histogram") -> "Histogram":
        """Add what was counted elsewhere, or later; raise `VerificationError` if it has other bounds."""
        if self.bounds != other.bounds:
            raise VerificationError("two histograms have not the same bounds, so they cannot be compared")
        return Histogram(self.bounds, tuple(map(int.__add__, self.counts, other.counts)))


@dataclass(frozen=True, slots=True)
class Spread:
    """How long the requests of both arms took in one interval."""

    candidate: Histogram
    stable: Histogram

    def __post_init__(self) -> None:
        if self.candidate.bounds != self.stable.bounds:
            raise VerificationError("the histograms of candidate and stable have not the same bounds")
        Table(Counts(self.candidate.n, 0), Counts(self.stable.n, 0))

    def slower(self, bucket: int) -> Table:
        """Make the table of those that took longer than the bound of `bucket`."""
        return Table(self.candidate.slower(bucket), self.stable.slower(bucket))


def check_counted(*numbers: int) -> None:
    """Raise `VerificationError` for what cannot have been counted."""
    if min(numbers) < 0:
        raise VerificationError(f"found {min(numbers)}, wanted how often something happened")


def total(counts: Iterable[Counts]) -> Counts:
    """Add up."""
    found = NONE
    for each in counts:
        found = found.plus(each)
    return found
