"""How often does analysis roll back for nothing, how soon for something, and what does a look cost?

Simulated rollouts with known truth (`tests/simulated.py`), the same ones for every rule, all in one run: ours at alpha
1 %, a fixed threshold of 1 % each minute with `failureLimit: 0` (what Argo Rollouts does by default), and a z-test of
both proportions at every look as if it were the only one.
"""

import os
import time
from dataclasses import replace

import numpy as np

from lockgate.core.analysis import Plan, analyse, begin, take, teach
from lockgate.core.analysis.metric import Threshold
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.table import Counts, Spread, Table
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.simulated import (
    COARSE,
    ERRORS,
    EVERY,
    FINE,
    LATENCY,
    delays,
    fixed_rule,
    healthy,
    histogram,
    latency_rule,
    peeking_rule,
    sequential_rule,
    share,
    steady,
    sticky,
)
from tests.world import NOW

COMMAND = "python -m bench analysis"
NULLS = int(os.environ.get("LOCKGATE_BENCH_ROLLOUTS", "1000"))
FEWER = 200
RULES = (("ours", sequential_rule), ("fixed 1 %", fixed_rule), ("peeking", peeking_rule))


def rows():
    """Simulate; each row says what was found, what it must be, and how to find it again."""
    dice = np.random.default_rng(20261125)
    whole = [*_for_nothing(dice), *_for_something(dice), *_latency(dice), _outage(dice), _users(dice)]
    return whole + [_cost(dice, rate) for rate in (20, 500, 5000)]


def _row(what, figure, must="", *, ok=True):
    return {"what": what, "figure": figure, "must": must, "ok": ok, "command": COMMAND}


def _for_nothing(dice):
    found = [sequential_rule(healthy(dice).tables(dice)) for _ in range(NULLS)]
    what = f"false rollbacks of {NULLS:,} rollouts: ramps, shocks, 0.05 to 30 % bad, 5 to 500 requests/s, 360 looks"
    yield _row(what, f"{share(found):.2%}", "at most 1 %", ok=share(found) <= 0.01)
    rollouts = [steady(0.005).tables(dice) for _ in range(FEWER)]
    shares = [share(list(map(rule, rollouts))) for _, rule in RULES]
    figure = ", ".join(f"{name} {part:.1%}" for (name, _), part in zip(RULES, shares, strict=True))
    yield _row(
        "the same at 0.5 % bad, 10 candidate requests/s, no shocks", figure, "ours at most 1 %", ok=shares[0] <= 0.01
    )


def _for_something(dice):
    for times, must in ((2, None), (4, (60, 180)), (10, (15, 40)), (40, None)):
        rollouts = [steady(0.005, times=times).tables(dice) for _ in range(FEWER)]
        taken = [delays(list(map(rule, rollouts))) for _, rule in RULES]
        figure = ", ".join(f"{name} {a:.0f} / {b:.0f} s" for (name, _), (a, b) in zip(RULES, taken, strict=True))
        ok = must is None or (taken[0][0] <= must[0] and taken[0][1] <= must[1])
        what = f"errors 0.5 % to {0.5 * times:g} %, 10 candidate requests/s: found after, median / p95"
        yield _row(what, figure, f"ours at most {must[0]} / {must[1]} s" if must else "", ok=ok)


def _latency(dice):
    for slower, must in ((1.25, None), (1.5, None), (2, (15, 30))):
        median, late = delays([latency_rule(dice, slower) for _ in range(FEWER)])
        ok = must is None or (median <= must[0] and late <= must[1])
        what = f"latency times {slower:g}, 2 candidate requests/s: found after, median / p95"
        yield _row(what, f"{median:.0f} / {late:.0f} s", f"at most {must[0]} / {must[1]} s" if must else "", ok=ok)
    median, late = delays([latency_rule(dice, 2, bounds=COARSE) for _ in range(FEWER)])
    yield _row("the same, times 2, in 14 coarse buckets", f"{median:.0f} / {late:.0f} s")
    found = [latency_rule(dice, 1, shock=range(100, 112)) for _ in range(NULLS // 10)]
    what = f"false rollbacks of {len(found)} rollouts by latency, with a shock that makes both three times slower"
    yield _row(what, f"{share(found):.2%}", "at most 1 %", ok=share(found) <= 0.01)


def _outage(dice):
    truth = steady(0.005)
    truth.candidate[100:160] = truth.stable[100:160] = 0.9
    rollouts = [truth.tables(dice) for _ in range(FEWER)]
    shares = [share(list(map(rule, rollouts))) for _, rule in RULES]
    figure = ", ".join(f"{name} {part:.1%}" for (name, _), part in zip(RULES, shares, strict=True))
    return _row("five minutes in which 90 % of both fail", figure, "ours at most 1 %", ok=shares[0] <= 0.01)


def _users(dice):
    rollouts = [sticky(dice) for _ in range(FEWER)]
    requests, once = (share([sequential_rule(each[unit]) for each in rollouts]) for unit in (0, 1))
    figure = f"requests counted {requests:.1%}, users counted once {once:.1%}"
    return _row("users who stay with an arm, healthy", figure, "users at most 1 %", ok=once <= 0.01)


def _cost(dice, rate):
    """Time whole looks: three metrics, taking and analysing and writing the state down."""
    alpha = replace(LATENCY.bounds, alpha=Number("0.005"))
    limit = Threshold(Name("limit"), ">", Number("0.05"), 100, 2, 4, 60, dry_run=False)
    plan = Plan((replace(ERRORS, bounds=alpha), replace(LATENCY, bounds=alpha), limit))
    state = teach(plan, begin(plan), {LATENCY.name: histogram(dice, 10_000, bounds=FINE)})
    looks = [_look(dice, rate * EVERY // 2) for _ in range(40)]
    began = time.process_time()
    for look in looks:
        state = take(plan, state, look)
        analyse(plan, state, NOW)
        size = len(plain.encode(state))
    cost = (time.process_time() - began) / len(looks) * 1000
    what = f"a look at errors, latency and a threshold, {rate} requests/s, half of them the candidate's"
    return _row(what, f"{cost:.2f} ms CPU; the state has {size:,} bytes", "at most 50 ms", ok=cost <= 50)


def _look(dice, n):
    candidate, stable = histogram(dice, n), histogram(dice, n)
    table = (Table(Counts(n, int(dice.binomial(n, 0.01))), Counts(n, int(dice.binomial(n, 0.01)))),)
    return {ERRORS.name: table, LATENCY.name: (Spread(candidate, stable),), Name("limit"): table}


if __name__ == "__main__":
    for found in rows():
        print(f"{'ok  ' if found['ok'] else 'MISS'} {found['what']}: {found['figure']} ({found['must']})", flush=True)
