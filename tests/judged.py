"""What would gateways judge of users who stay, if the truth were known? The real ledger and real books, out of dice.

Users differ in how much they ask and in how often they fail: a few ask for most, and one in twenty fails half the time.
"""

from dataclasses import dataclass, replace

import numpy as np

from lockgate.core.analysis.books import Judged, conclude_users, enter, nobody_judged
from lockgate.core.analysis.finding import Conclusion
from lockgate.core.analysis.metric import Bounds, Users
from lockgate.core.analysis.number import Number
from lockgate.core.analysis.table import Counts, Table
from lockgate.core.report import MAX_ROUNDS, Tally, round_name
from lockgate.core.traffic import Address, Route, Traffic
from lockgate.drivers.envoy.judged_users import Answer
from lockgate.drivers.envoy.judged_users import Users as Ledger
from lockgate.formats.names import Name
from tests.calling import CANDIDATE, ENDPOINT, STABLE
from tests.simulated import EVERY

USERS = Users(
    Name("users"), Bounds(Number("0.01"), Number("0.05"), Number("1"), Number("2")), 60, dry_run=False
)  # fmt: skip
SECOND = 1_000_000_000
WEIGHTS = (5, 25, 50)
TAG = "magika@1.0.0"
NOTHING = Tally(0, 0)
ROUNDS = {number: round_name(number) for number in range(1, MAX_ROUNDS + 1)}


@dataclass(frozen=True)
class Crowd:
    """Users of one endpoint, for half an hour, asked for so much each second in all."""

    users: int = 400
    rate: float = 8.0
    gateways: int = 1
    worse: float = 0.0  # how often the candidate fails besides
    looks: int = 360


def split(weight):
    places = (Address("127.0.0.1", 1), Address("127.0.0.1", 2))
    shares = ((CANDIDATE, weight), (STABLE, 100 - weight))
    routes = tuple(Route(each, TAG, at, share, 0) for (each, share), at in zip(shares, places, strict=True))
    return Traffic(ENDPOINT, routes, STABLE, "x-user", 7)


class Rolling:
    """Ledgers of some gateways, and whoever looks at them every few seconds."""

    def __init__(self, gateways=1, metric=USERS):
        self.ledgers = [Ledger() for _ in range(gateways)]
        self.metric, self.tally, self.before = metric, nobody_judged(), None

    def shift(self, weight, now):
        for ledger in self.ledgers:
            ledger.close([split(weight)])
            ledger.open([split(weight)], int(now * SECOND) - SECOND)
        self.before = None  # as controllers do: begin to count here

    def answer(self, gateway, user, release, failed, now):
        at = int(now * SECOND)
        self.ledgers[gateway].take([Answer(ENDPOINT, release, str(user).encode(), bool(failed), at)], at)

    def look(self, now):
        """Look; return what is concluded."""
        judged_by = [ledger.judge(int(now * SECOND)) for ledger in self.ledgers]
        totals = {
            (number, gateway, release): judged.get((ENDPOINT, release), {}).get(ROUNDS[number], NOTHING)
            for gateway, judged in enumerate(judged_by)
            for number in ROUNDS
            for release in (CANDIDATE, STABLE)
        }
        if self.before is not None:
            judged = [
                Judged(Name(f"{gateway}-{number}"), "one", Table(self._new(totals, place), self._new(totals, other)))
                for place in totals
                for number, gateway, release in [place]
                if release == CANDIDATE
                for other in [(number, gateway, STABLE)]
            ]
            self.tally = enter(self.metric, self.tally, judged)
        self.before = totals
        return conclude_users(self.metric, self.tally)

    def _new(self, totals, place):
        now, was = totals[place], self.before[place]
        return Counts(now.total - was.total, now.bad - was.bad)


def rollout(dice, crowd):
    """Play a rollout; say at which second it is rolled back, or None, and give the tables of requests."""
    places = dice.integers(0, 100, crowd.users)
    often = dice.lognormal(0, 1.5, crowd.users)
    fails = np.where(dice.random(crowd.users) < 0.05, 0.5, 0.002)
    rolling, requests, ended = Rolling(crowd.gateways), [], None
    for place in range(crowd.looks):
        if place % (crowd.looks // len(WEIGHTS)) == 0:
            weight = WEIGHTS[place * len(WEIGHTS) // crowd.looks]
            rolling.shift(weight, place * EVERY)
        count = dice.poisson(crowd.rate * EVERY)
        who = dice.choice(crowd.users, count, p=often / often.sum())
        tried = places[who] < weight
        bad = dice.random(count) < np.where(tried, fails[who] + crowd.worse, fails[who])
        requests.append((int(tried.sum()), int((tried & bad).sum()), int((~tried).sum()), int((~tried & bad).sum())))
        if ended is None:
            ended = _play(rolling, dice, (who, tried, bad), place)
    return ended, requests


def _play(rolling, dice, drawn, place):
    times = np.sort(dice.random(len(drawn[0]))) * EVERY + place * EVERY
    at = dice.integers(0, len(rolling.ledgers), len(times))
    for user, tried, failed, gateway, now in zip(*(each.tolist() for each in (*drawn, at, times)), strict=True):
        rolling.answer(gateway, user, CANDIDATE if tried else STABLE, failed, now)
    now = (place + 1) * EVERY
    return now if rolling.look(now).conclusion is Conclusion.FAILED else None


def with_margin(margin):
    return replace(USERS, bounds=replace(USERS.bounds, margin=Number(margin), tolerance=Number("3")))
