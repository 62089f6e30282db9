"""Which training runs do tests look at? Healthy and hacked ones, with noise that remembers."""

import json
import math
import random

from lockgate.core.reward import Curve

UNIT = 10**18
STEPS = 1200


def noise(rng, size, memory):
    """Yield noise in which each value resembles the one before (AR 1), of one and the same spread."""
    value = rng.gauss(0, size)
    while True:
        yield value
        value = memory * value + rng.gauss(0, size) * math.sqrt(1 - memory**2)


def curve(held_out, reward=lambda t: 2 * t, kl=lambda t: 5 * t, *, records=120, memory=0.0, seed=1):
    """Make the metrics of a run, each a function of how much of it is over."""
    rng = random.Random(seed)
    wobble, jitter = noise(rng, 0.02, memory), noise(rng, 0.05, memory)
    times = [number / records for number in range(records)]
    return Curve(
        tuple(10 * number for number in range(1, records + 1)),
        tuple(int((reward(t) + next(jitter)) * UNIT) for t in times),
        tuple(int((held_out(t) + next(wobble)) * UNIT) for t in times),
        tuple(int(kl(t) * UNIT) for t in times),
        None,
    )


def levels_off(t):
    """Rise, and stay."""
    return 0.8 - 0.4 * math.exp(-8 * t)


def turns(t):
    """Rise, and fall."""
    return 0.6 + 0.2 * min(t, 0.5) - 0.4 * max(0.0, t - 0.5)


HEALTHY = (levels_off, lambda t: 0.5 + 0.3 * t, lambda _: 0.7)


def records(held_out=levels_off, reward=lambda t: 2 * t, kl=lambda t: 5 * t, count=120):
    """Write the records of a run without noise."""
    times = [number / count for number in range(count)]
    return [
        {"step": 10 * (number + 1), "reward": reward(t), "held_out": held_out(t), "kl": kl(t)}
        for number, t in enumerate(times)
    ]


def lines(found):
    """Write records as the lines of a file."""
    return "".join(json.dumps(record) + "\n" for record in found).encode()
