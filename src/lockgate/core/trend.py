"""Does a series fall, or does it only look so? By ranks, with a bound on how often noise is taken for a fall.

    records ──▶ windows: all, halves, quarters, eighths, half over each other ──▶ ten blocks each ──▶ pairs in disorder

Mann and Kendall: of all pairs of blocks, count those of which the later one is less. In a series without a trend every
order of its blocks is equally likely, so this count is distributed as the inversions of a permutation: whole numbers,
whatever the noise is distributed as. A tie counts as no fall, and a series that rises has fewer such pairs: both make
a false alarm rarer still. The level is shared among all windows that are looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise
from math import factorial

BLOCKS = 10
PER_BLOCK = 3  # records, at least: neighbours resemble each other, and blocks of one record would too
FALSE_ALARMS = Fraction(1, 200)  # of a whole run
_EDGE = 3  # blocks at either end of a window that say how far it fell
_PARTS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Window:
    """Records from `first` up to, and without, `end`."""

    first: int
    end: int


def windows(records: int) -> tuple[Window, ...]:
    """List the windows of so many records that have enough for each block."""
    return tuple(dict.fromkeys(_windows(records)))


def is_falling(series: Sequence[int], window: Window, level: Fraction) -> bool:
    """Tell whether the series falls within the window, and noise without a trend would so with probability `level`."""
    means = block_means(series, window)
    fallen = sum(later < earlier for earlier, later in combinations(means, 2))
    return chance(len(means), fallen) <= level


def fall(series: Sequence[int], window: Window) -> int:
    """Say how much less the last three blocks of a window are than its first three; negative if they are more."""
    means = block_means(series, window)
    return (sum(means[:_EDGE]) - sum(means[-_EDGE:])) // _EDGE


def block_means(series: Sequence[int], window: Window) -> tuple[int, ...]:
    """Average a window in ten blocks, as even as they can be; a tie that comes of rounding is no fall."""
    length = window.end - window.first
    edges = [window.first + length * number // BLOCKS for number in range(BLOCKS + 1)]
    return tuple(sum(series[one:other]) // (other - one) for one, other in pairwise(edges))


@cache
def chance(blocks: int, fallen: int) -> Fraction:
    """Say how likely at least so many inversions are in a permutation of so many, all being equally likely."""
    ways = [1]
    for size in range(2, blocks + 1):  # one more element can come before up to `size - 1` others
        ways = [sum(ways[max(0, total - size + 1) : total + 1]) for total in range(len(ways) + size - 1)]
    return Fraction(sum(ways[fallen:]), factorial(blocks))


def _windows(records: int) -> Iterator[Window]:
    for parts in _PARTS:
        if records // parts < PER_BLOCK * BLOCKS:
            return
        for half in range(2 * parts - 1):
            yield Window(records * half // (2 * parts), records * (half + 2) // (2 * parts))
