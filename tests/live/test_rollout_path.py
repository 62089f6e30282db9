"""Does a rollout go its whole way on real traffic, and back?

change ─▶ lease weights ─▶ agent ─▶ Envoy ─▶ counters ─▶ signed reports ─▶ controller ─▶ promoted, or back
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lockgate.cli.demo.crowd import Crowd
from lockgate.core.endpoint import Activated
from lockgate.core.journal import read_fact
from lockgate.core.observation import Grounds
from lockgate.core.release import Serve
from lockgate.core.rollout import Aborted, Promoted, Stepped
from lockgate.core.strategy import Analysis, Pause, SetWeight
from lockgate.formats import plain
from lockgate.formats.names import Name
from tests.live import drill
from tests.live import gated as gated_stage
from tests.live.drill import wait_for_text, wait_until
from tests.live.gated import TALKS
from tests.rolling import open_rollout
from tests.traffic import ALERT, ERRORS, judged_by
from tests.world import PROD

pytestmark = pytest.mark.slow
cluster, gated_theatre, gated = drill.cluster, gated_stage.gated_theatre, gated_stage.gated

STEPS = (SetWeight(20), Pause(1), SetWeight(60), Analysis((Name("errors"),)), SetWeight(100))
STRATEGY = replace(judged_by(replace(ERRORS, interval_seconds=1), ALERT), steps=STEPS)
BREAKS = TALKS.replace('500 if self.path == "/fail" else 200', "500 if time.monotonic_ns() // 1000 % 10 < 3 else 200")
PATIENCE = 120


class Rolling:
    """A candidate beside the stable release, each in a run of its own, and callers."""

    def __init__(self, stage, version, program):
        self.stage, world = stage, stage.world
        world.now = datetime.now(UTC)
        stage.agent()
        self.stable = stage.run("--follow")
        command = ("{python}", "-c", program, version, "{file:weights/model.onnx}", "{port}")
        release = world.register(version, serve=Serve(command, {}))
        world.attest(release)
        self.before, self.release = world.endpoint().stable.release, release.digest
        number = open_rollout(world, release, STRATEGY)
        world.approve(number)
        world.activate(number)
        self.change = number
        words = ("run", "--home", stage.home, "--endpoint", PROD, "--port", "0", "--candidate")
        self.candidate = stage.program(*words)
        wait_for_text(self.candidate, f"admitted magika@{version}")

    def is_over(self):
        """Ask whether the rollout has ended."""
        return self.stage.world.endpoint().rollout is None

    def events(self):
        """List what the log says of this rollout."""
        log = self.stage.world.memory
        facts = map(read_fact, log.entries(0, log.size()))
        kinds = Activated | Stepped | Promoted | Aborted
        return [event for _, event in facts if isinstance(event, kinds) and event.change == self.change]

    def grounds(self, event):
        """Read on which numbers something was done."""
        return plain.decode(Grounds, self.stage.world.memory.document(event.why))

    def counted(self, release):
        """Read what signed reports said of a release, as the server keeps it."""
        measured = self.stage.world.installation.reports.measured(PROD)
        return sum(one.counted.counts.requests for one in measured if one.counted.release == release)


def test_a_good_candidate_gets_its_traffic_and_is_promoted_by_its_numbers(gated):
    rolling = Rolling(gated, "1.1.0", TALKS)
    with Crowd(f"http://{gated.address}/{PROD}") as crowd:
        wait_until(rolling.is_over, PATIENCE, rolling.candidate)
        crowd.settle(str(rolling.release), 100)

    begun, *steps, promoted = rolling.events()
    assert begun.strategy == STRATEGY.digest and isinstance(promoted, Promoted)
    assert [(one.step, one.weight, one.by) for one in steps] == [
        (0, 20, None), (1, 20, None), (2, 60, None), (3, 60, None), (4, 100, None)
    ]  # fmt: skip
    (errors,) = rolling.grounds(promoted).analysis.findings
    by = [one.release for one in crowd.answers]
    tried = by[by.index(str(rolling.release)) : len(by) - by[::-1].index(str(rolling.before))]
    assert 0.1 < tried.count(str(rolling.release)) / len(tried) < 0.9, "it was tried beside the stable release"
    assert (
        100
        < errors.candidate.n
        <= rolling.counted(rolling.release)
        <= by.count(str(rolling.release)) + gated.caller.asked
    )
    assert promoted.by is None and errors.conclusion.value == "healthy"
    assert {one.status for one in crowd.answers} == {200}, "something was lost"
    assert rolling.candidate.poll() is None, "the candidate had to begin anew"


def test_a_candidate_that_errs_is_sent_back_and_the_log_says_on_which_numbers(gated):
    rolling = Rolling(gated, "1.2.0", BREAKS)
    with Crowd(f"http://{gated.address}/{PROD}") as crowd:
        wait_until(rolling.is_over, PATIENCE)
        crowd.settle(str(rolling.before), 100)

    aborted = rolling.events()[-1]
    assert isinstance(aborted, Aborted) and (aborted.trigger, aborted.by) == ("metric:errors", None)
    (errors,) = rolling.grounds(aborted).analysis.findings
    assert errors.conclusion.value == "failed" and errors.candidate.bad >= 4 and errors.stable.bad == 0
    assert float(errors.e_values.worse) >= float(errors.e_values.worse_needed) > 250
    assert gated.world.endpoint().stable.release == rolling.before
    assert rolling.candidate.wait(60) == 10 and rolling.stable.poll() is None
    assert gated.world.change(rolling.change).phase == "closed"
