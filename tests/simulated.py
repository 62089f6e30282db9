"""What would a rollout show, if the truth were known? Counts by interval, out of dice, and rules that look at them.

A look comes every five seconds. Latency is lognormal (σ 0.6, median 400 ms), users differ in how often they fail.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from lockgate.core.analysis.metric import Bounds, Latency, Sequential, Unit
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.odds import add, grid, log_worse
from lockgate.core.analysis.slowness import learn, nothing_timed, time
from lockgate.core.analysis.table import Counts, Histogram, Spread, Table
from lockgate.formats.names import Name

EVERY = 5  # seconds
LOOKS = 360
ALPHA = 0.01
RAMP: np.ndarray = np.repeat([0.01, 0.05, 0.25, 0.5], LOOKS // 4)
FINE = tuple(int(10_000 * 1.25**step) for step in range(40))  # microseconds
COARSE = tuple(1000 * each for each in (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000))


@dataclass(frozen=True)
class Truth:
    """Bad ones of each arm, and requests a second, at each look."""

    candidate: np.ndarray
    stable: np.ndarray
    weight: np.ndarray
    rate: float

    def tables(self, dice):
        """Draw n and bad of the candidate, n and bad of stable, for each look."""
        every = dice.poisson(self.rate * EVERY, len(self.weight))
        candidate = dice.binomial(every, self.weight)
        stable = every - candidate
        drawn = (candidate, dice.binomial(candidate, self.candidate), stable, dice.binomial(stable, self.stable))
        return list(zip(*(column.tolist() for column in drawn), strict=True))


def steady(base, *, times=1.0, rate=100.0, weight=0.1, looks=LOOKS):
    """Tell of a rollout at one weight, in which the candidate is bad so many times as often."""
    return Truth(np.full(looks, base * times), np.full(looks, base), np.full(looks, weight), rate)


def healthy(dice, shocks=3):
    """Make up a candidate that is not worse: any rate, any base, ramps, and shocks that make both ten times worse."""
    base, rate = np.exp(dice.uniform(np.log([0.0005, 5]), np.log([0.3, 500])))
    bad = np.full(LOOKS, base)
    for begin in dice.integers(0, LOOKS - 12, shocks):
        bad[begin : begin + 12] = min(1, 10 * base)
    return Truth(bad, bad, RAMP, rate)


def sequential_rule(tables, margin="1"):
    """Look at every interval with the e-process; say at which look it goes back, or None."""
    weighed = grid(Number(margin), Number("20"))
    row, limit = weighed.empty, -np.log(ALPHA)
    for place, (n, bad, others, others_bad) in enumerate(tables, 1):
        row = add(row, Table(Counts(n, bad), Counts(others, others_bad)), weighed)
        if log_worse(row, weighed) >= limit:
            return place
    return None


def fixed_rule(tables, most=0.01, failure_limit=0, looks=12):
    """Do as Argo Rollouts does by default: every minute, is more than 1 % of the candidate bad?"""
    failures = 0
    for place in range(looks, len(tables) + 1, looks):
        n = sum(each[0] for each in tables[place - looks : place])
        bad = sum(each[1] for each in tables[place - looks : place])
        failures += bool(n) and bad / n > most
        if failures > failure_limit:
            return place
    return None


def peeking_rule(tables):
    """Test at every look whether both have the same proportion, one-sided, at 1 %: as if it were the only look."""
    n = bad = others = others_bad = 0
    for place, table in enumerate(tables, 1):
        n, bad, others, others_bad = map(sum, zip((n, bad, others, others_bad), table, strict=True))
        if not n or not others or not 0 < bad + others_bad < n + others:
            continue
        both = (bad + others_bad) / (n + others)
        if (bad / n - others_bad / others) / sqrt(both * (1 - both) * (1 / n + 1 / others)) > 2.326:
            return place
    return None


LATENCY = Latency(
    Name("latency"),
    Bounds(Number("0.01"), Number("0.05"), Number("1"), Number("2")),
    Unit.REQUEST,
    tuple(map(Number, ("0.5", "0.75", "0.9", "0.99", "0.999"))),
    consecutive_missing=60,
    dry_run=False,
)
ERRORS = Sequential(
    Name("errors"),
    Bounds(Number("0.01"), Number("0.05"), Number("1"), Number("2")),
    Unit.REQUEST,
    consecutive_missing=60,
    dry_run=False,
)


def histogram(dice, count, slower=1.0, bounds=FINE):
    """Draw how long so many requests take."""
    taken = dice.lognormal(np.log(400_000 * slower), 0.6, count)
    found = np.bincount(np.searchsorted(bounds, taken), minlength=len(bounds) + 1)
    return Histogram(bounds, tuple(found.tolist()))


def latency_rule(dice, slower, *, rate=2.0, looks=LOOKS, bounds=FINE, shock=()):
    """Look at the latency of a candidate that is so many times slower; stable was watched for ten minutes before.

    In a shock both are three times slower than else.
    """
    stable = rate * 9
    tally = learn(nothing_timed(LATENCY), histogram(dice, int(stable * 600), bounds=bounds))
    for place in range(1, looks + 1):
        candidate, others = dice.poisson(rate * EVERY), dice.poisson(stable * EVERY)
        both = 3.0 if place in shock else 1.0
        spread = Spread(histogram(dice, candidate, both * slower, bounds), histogram(dice, others, both, bounds))
        tally = time(LATENCY, tally, (spread,))
        if tally.peak >= -np.log(ALPHA):
            return place
    return None


def sticky(dice, *, users=400, weight=0.1, looks=LOOKS, a_look=100):
    """Keep users with one arm, a few of whom fail often; give tables by request, and by user counted once."""
    arm = dice.random(users) < weight
    fails = np.where(dice.random(users) < 0.05, 0.5, 0.002)
    requests, once, seen = [], [], np.zeros(users, dtype=bool)
    for _ in range(looks):
        who = dice.integers(0, users, a_look)
        bad = dice.random(a_look) < fails[who]
        requests.append(_split(arm[who], bad))
        _, first = np.unique(who, return_index=True)
        first = first[~seen[who[first]]]
        seen[who] = True
        once.append(_split(arm[who[first]], bad[first]))
    return requests, once


def _split(arm, bad):
    return int(arm.sum()), int((arm & bad).sum()), int((~arm).sum()), int((~arm & bad).sum())


def delays(found):
    """Give the median and the 95th percentile in seconds; what was never found took for ever."""
    taken = sorted(float("inf") if look is None else look * EVERY for look in found)
    return taken[len(taken) // 2], taken[-(-len(taken) * 95 // 100) - 1]


def share(found):
    """Give the share that went back."""
    return sum(look is not None for look in found) / len(found)
