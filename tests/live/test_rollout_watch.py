"""Does a server let rollouts go on by itself, and does who watches see how and why?"""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lockgate.core.strategy import Pause, SetWeight
from tests.live.spoken import Spoken
from tests.traffic import ALERT, ERRORS, Flying, counts, judged_by
from tests.warning import warn
from tests.world import PROD

STEPS = (SetWeight(10), Pause(1), SetWeight(50), Pause(1), SetWeight(100))
STRATEGY = replace(judged_by(replace(ERRORS, interval_seconds=1), ALERT), steps=STEPS)
WATCH = ("rollout", "watch", PROD, "--every", "0.2")


class Watched(Spoken):
    """A server whose clock goes on, and a rollout under traffic."""

    def __enter__(self):
        super().__enter__()
        self.ended, self.bad = threading.Event(), 0
        self.flying = Flying(self.world, STRATEGY)
        self.flowing = threading.Thread(target=self._flow, daemon=True)
        self.flowing.start()
        return self

    def __exit__(self, *more):
        self.ended.set()
        self.flowing.join(30)
        super().__exit__(*more)

    def _flow(self):
        while not self.ended.wait(0.2):
            self.world.now = datetime.now(UTC)
            self.flying.host.count(self.flying.candidate, counts(60, self.bad))
            self.flying.host.count(self.flying.stable, counts(240))
            self.flying.host.send()


@pytest.fixture
def watched(tmp_path):
    with Watched(tmp_path) as found:
        yield found
    found.world.check()


def test_a_good_candidate_is_seen_to_climb_with_its_numbers(watched):
    code, said = watched.type("dave", *WATCH, "--json")

    lines = [json.loads(line) for line in said.splitlines()]
    weights = [line["rollout"]["weight"] for line in lines if line["rollout"]]
    assert code == 0 and weights == sorted(weights) and weights[-1] >= 50
    assert lines[-1]["ended"]["outcome"] == "promoted"
    (finding,) = lines[-2]["grounds"]["analysis"]["findings"]
    assert finding["name"] == "errors" and finding["candidate"]["n"] > 0
    assert watched.world.endpoint().stable.release == watched.flying.candidate


def test_a_bad_candidate_is_seen_to_go_and_why(watched):
    watched.bad = 20

    code, said = watched.type("dave", *WATCH)

    assert code == 3 and "magika@1.1.0 (change" in said and "was aborted, because of metric:errors" in said
    assert "METRIC  CANDIDATE" in said and "stable     magika@1.0.0" in said


def test_an_alert_ends_what_is_watched(watched):
    threading.Timer(1, warn, [watched.world]).start()

    code, said = watched.type("dave", *WATCH)

    assert code == 3 and "because of alert:jailbreak" in said


def test_where_nothing_is_rolled_out_there_is_nothing_to_watch(watched):
    watched.bad = 60
    watched.type("dave", *WATCH)

    code, said = watched.type("dave", *WATCH)
    assert code == 3 and "no rollout is in flight at prod/magika" in said
