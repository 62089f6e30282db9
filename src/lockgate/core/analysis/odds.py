"""How strongly do the intervals so far speak against "the candidate is not worse", and against "it is too much worse"?

One row holds the log-likelihood of every odds ratio of a grid, added up over all intervals. All answers follow from it:

    ¼  ½  ⅘ │ margin │ × 1¼  1½  2  3  5  10  30  100        and the tolerance among them
            │        └───────── their average, over the likelihood of the margin: is it worse?
    └──────────── the average of what lies below, over the likelihood of the tolerance: is it good enough?

Each of the two is at most one on average, at every look, if its "not" is true. So by Ville's inequality it ever reaches
1/alpha with probability alpha at most, however often somebody looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log

from lockgate.core.analysis.hypergeometric import Ratio, log_likelihoods, ratio
from lockgate.core.analysis.number import Exact, Number
from lockgate.core.analysis.table import Counts, Table

BETTER = ("0.25", "0.5", "0.8")
WORSE = ("1.25", "1.5", "2", "3", "5", "10", "30", "100")
RARER = (0.5, 0.2, 0.05, 0.01)

Row = tuple[Exact, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """The odds ratios that are weighed, rising; `margin` and `tolerance` are places among them."""

    ratios: tuple[Ratio, ...]
    margin: int
    tolerance: int

    @property
    def empty(self) -> Row:
        """The row before the first interval."""
        return (Exact(0),) * len(self.ratios)


@lru_cache(maxsize=256)
def grid(margin: Number, tolerance: Number) -> Grid:
    """Lay out the odds ratios for one margin and one tolerance."""
    beyond = {margin.exact * Number(each).exact for each in (*BETTER, *WORSE)}
    values = sorted(beyond | {margin.exact, tolerance.exact})
    ratios = tuple(ratio(float(each)) for each in values)
    return Grid(ratios, values.index(margin.exact), values.index(tolerance.exact))


def add(row: Row, table: Table, weighed: Grid) -> Row:
    """Add one interval. If one arm served nothing, or nothing or everything was bad, it says nothing."""
    bad = table.candidate.bad + table.stable.bad
    if bad in (0, table.candidate.n + table.stable.n):
        return row
    return tuple(map(Exact, map(float.__add__, row, log_likelihoods(table, weighed.ratios))))


def log_worse(row: Row, weighed: Grid) -> float:
    """Give the log e-value against "the odds of the candidate are at most `margin` times those of stable"."""
    return log_mean(row[weighed.margin + 1 :]) - row[weighed.margin]


def log_sound(row: Row, weighed: Grid) -> float:
    """Give the log e-value against "the odds of the candidate are at least `tolerance` times those of stable"."""
    return _log_below(row, weighed.tolerance)


def upper_bound(row: Row, weighed: Grid, doubt: float) -> float | None:
    """Give an odds ratio that the candidate's lies below, at all times at once but for a probability of `doubt`."""
    found = None
    for place in range(len(row) - 1, 0, -1):
        if _log_below(row, place) < -log(doubt):
            break
        found = weighed.ratios[place].value
    return found


def log_rare(counts: Counts, rate: float) -> float:
    """Give the log e-value against "at all times at least `rate` of the candidate's were bad"."""
    good = counts.n - counts.bad
    rarer = [(counts.bad * log(part), good * (log(1 - part * rate) - log(1 - rate))) for part in RARER]
    return log_mean([bad + fine for bad, fine in rarer])


def log_mean(logs: Sequence[float]) -> float:
    """Give the logarithm of the mean of what these are the logarithms of."""
    most = max(logs)
    return most + log(sum(exp(each - most) for each in logs) / len(logs))


def _log_below(row: Row, place: int) -> float:
    return log_mean(row[:place]) - row[place]
