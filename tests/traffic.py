"""What does a host count in tests? As many requests as a test says, of either release, in totals that it signs."""

from dataclasses import replace
from datetime import timedelta

from lockgate.app.take_report import take_report
from lockgate.controllers.rollouts import tend
from lockgate.core.danger import Danger, Severity
from lockgate.core.report import BUCKETS, NOTHING, Counted, Counts, Report, Tally, sign_report
from lockgate.core.strategy import Envoy, Metric, OnAlert, Pause, Sequential, SetWeight, Strategy, Threshold
from lockgate.formats.names import Name
from tests.rolling import begin
from tests.world import PROD, key

ERRORS = Metric(Name("errors"), Sequential("errors", "0.004", "1", Envoy()), 5, dry_run=False)
LATENCY = Metric(Name("latency"), Sequential("latency", "0.004", "1", Envoy()), 5, dry_run=False)
BROKEN = Metric(Name("broken"), Threshold(Envoy(), ">", "0.5", 20, 0, 4, 10, "errors"), 5, dry_run=False)
ALERT = Metric(Name("jailbreak"), OnAlert(Danger.JAILBREAK, Severity.HIGH), 5, dry_run=False)
STEPS = (SetWeight(10), Pause(60), SetWeight(50), Pause(60), SetWeight(100))
STRATEGY = Strategy("canary", STEPS, (ERRORS, ALERT), 3600, 600, 900, "rollback")


def counts(requests, failed=0, bucket=3, **other):
    """Count requests that all took as long as one bucket says; `other` are pairs of total and bad."""
    latency = tuple(requests if place == bucket else 0 for place in range(BUCKETS))
    return Counts(requests, failed, latency, {Name(name): Tally(*pair) for name, pair in other.items()})


class Host:
    """A node that lets traffic through; `send` brings its totals to the server."""

    def __init__(self, world, name="host-1"):
        self.world, self.name, self.node = world, name, Name(name)
        self.begin_anew()

    def begin_anew(self):
        self.world.nonces += 1
        self.incarnation = f"{self.world.nonces:016}"
        self.sequence, self.totals = 0, {}

    def count(self, release, counted):
        self.totals[release] = self.totals.get(release, NOTHING) + counted

    def counted(self):
        return tuple(Counted(PROD, release, total) for release, total in self.totals.items())

    def send(self):
        self.sequence += 1
        report = Report(self.node, self.incarnation, self.sequence, self.world.now, self.counted())
        document = sign_report(report, key(self.name))
        return take_report(self.world.installation, document, self.node, self.world.now)


class Flying:
    """A rollout in a world whose clock is also that of its database, a host, and a controller."""

    def __init__(self, world, strategy=STRATEGY, measurements=None, version="1.1.0"):
        self.world, self.measurements = world, measurements
        world.memory.clock = lambda: world.now
        self.change = begin(world, version, strategy)
        state = world.endpoint()
        self.stable, self.candidate = state.stable.release, state.rollout.candidate.release
        self.host = Host(world)

    @property
    def rollout(self):
        return self.world.endpoint().rollout

    def tend(self, holder="one"):
        return tend(self.world.installation, PROD, holder, self.measurements, self.world.now)

    def pass_by(self, seconds, candidate=None, stable=None, *, every=5, holder="one"):
        """Let time go by: every few seconds so much is counted, reported and looked at."""
        for _ in range(0, seconds, every):
            self.world.now += timedelta(seconds=every)
            for release, counted in ((self.candidate, candidate), (self.stable, stable)):
                if counted is not None:
                    self.host.count(release, counted)
            if candidate is not None or stable is not None:
                self.host.send()
            self.tend(holder)
            if self.rollout is None:
                return


def judged_by(*metrics, **changes):
    """Write a strategy with other metrics."""
    return replace(STRATEGY, metrics=metrics, **changes)
