"""How likely is the split of the bad ones between candidate and stable, if their odds differ by a given ratio?

Given both sizes and all bad ones of an interval, how many of them are the candidate's follows Fisher's noncentral
hypergeometric distribution: P(j) ∝ C(n₁, j) · C(n₂, k-j) · θʲ. Nothing else about the interval matters, so nothing else
has to be known: neither the rate, nor the weight, nor what befell both.

Every term is the one before times a ratio, and they rise to one peak and fall. A short distribution is summed whole. Of
a long one the peak is found, and summed from there on both sides until the terms are too small to change a float.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import lgamma, log
from operator import mul

from lockgate.core.analysis.table import Table

_SHORT = 64  # terms; 2000 to the 63rd power is still a float
_NOTHING = 1e-18  # of the peak


@dataclass(frozen=True, slots=True)
class Ratio:
    """An odds ratio, with what is asked of it again and again."""

    value: float
    log: float
    powers: tuple[float, ...]


@lru_cache(maxsize=1024)
def ratio(value: float) -> Ratio:
    """Prepare an odds ratio."""
    return Ratio(value, log(value), tuple(value**power for power in range(_SHORT)))


@lru_cache(maxsize=1024)  # the tables of nodes are weighed again where other nodes are left out
def log_likelihoods(table: Table, ratios: tuple[Ratio, ...]) -> tuple[float, ...]:
    """Give log P(this split) for each odds ratio; all of them less the same amount, which cancels."""
    n, stable, found = table.candidate.n, table.stable.n, table.candidate.bad
    bad = found + table.stable.bad
    low, high = max(0, bad - stable), min(bad, n)
    if high - low < _SHORT:
        terms = _terms(n, stable, bad)
        return tuple((found - low) * each.log - log(sum(map(mul, terms, each.powers))) for each in ratios)
    return tuple(found * each.log - _log_sum(n, stable, bad, each) for each in ratios)


def _terms(n: int, stable: int, bad: int) -> list[float]:
    """List C(n, j)·C(stable, bad-j) for every j, in units of the largest."""
    low, high = max(0, bad - stable), min(bad, n)
    peak = min(max((n + 1) * (bad + 1) // (n + stable + 2), low), high)
    below, above = [1.0], []
    term = 1.0
    for j in range(peak, low, -1):
        term *= j * (stable - bad + j) / ((n - j + 1) * (bad - j + 1))
        below.append(term)
    term = 1.0
    for j in range(peak, high):
        term *= (n - j) * (bad - j) / ((j + 1) * (stable - bad + j + 1))
        above.append(term)
    below.reverse()
    return below + above


def _log_sum(n: int, stable: int, bad: int, odds: Ratio) -> float:
    """Give log Σ C(n, j)·C(stable, bad-j)·θʲ of a long distribution."""
    low, high, theta = max(0, bad - stable), min(bad, n), odds.value
    peak = _peak(n, stable, bad, theta)
    found = 1.0 + _falling(theta, (n - peak, bad - peak, peak + 1, stable - bad + peak + 1), high - peak)
    found += _falling(1 / theta, (peak, stable - bad + peak, n - peak + 1, bad - peak + 1), peak - low)
    return _log_choose(n, peak) + _log_choose(stable, bad - peak) + peak * odds.log + log(found)


def _falling(theta: float, factors: tuple[int, int, int, int], most: int) -> float:
    """Sum the terms on one side of the peak, in units of the peak, until they are too small."""
    a, b, c, d = map(float, factors)
    found, term = 0.0, 1.0
    for _ in range(most):
        term *= theta * a * b / (c * d)
        found += term
        if term < _NOTHING:
            break
        a, b, c, d = a - 1.0, b - 1.0, c + 1.0, d + 1.0
    return found


def _peak(n: int, stable: int, bad: int, theta: float) -> int:
    """Find the largest term: the first after which they fall."""
    low, high = max(0, bad - stable), min(bad, n)
    while low < high:
        j = (low + high) // 2
        if theta * (n - j) * (bad - j) >= (j + 1) * (stable - bad + j + 1):
            low = j + 1
        else:
            high = j
    return low


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
