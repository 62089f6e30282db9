"""Does what others say, late or falsely, keep a rollout from being decided, or promote what fails?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.controllers.rollouts import tend
from lockgate.core.report import BUCKETS, Counts
from lockgate.core.rights import Role
from lockgate.core.rollout import Aborted, Promoted
from lockgate.errors import ConflictError
from tests.controllers.test_rollouts import GOOD, GOOD_STABLE, happened
from tests.traffic import BROKEN, Flying, Host, counts, judged_by
from tests.warning import warn
from tests.world import PEOPLE, PROD, World


@pytest.fixture
def world():
    found = World()
    yield found
    found.check()


@pytest.fixture
def flying(world):
    return Flying(world)


def test_what_a_node_cannot_have_counted_holds_up_no_alert(world, flying):
    flying.pass_by(30, GOOD, GOOD_STABLE)
    flying.host.count(flying.candidate, Counts(0, 20, (0,) * BUCKETS, {}))  # failures of nothing
    flying.pass_by(5, counts(0), counts(0))
    warn(world, severity="critical")
    flying.pass_by(5, counts(0), counts(0))

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["alert:jailbreak"]


@pytest.mark.parametrize(("others", "acts"), [(0, True), (1, False), (2, False)])
def test_a_look_that_takes_longer_than_its_claim_acts_if_nobody_else_looked_meanwhile(
    world, flying, monkeypatch, others, acts
):
    flying.pass_by(10, GOOD, GOOD_STABLE)
    monkeypatch.setattr("lockgate.controllers.rollouts.LEASE", 0)
    warn(world, severity="critical")
    remember = world.memory.remember

    def slowly(subject, fence, document):
        remember(subject, fence, document)
        for number in range(others):
            world.now += timedelta(seconds=30)
            assert world.memory.claim(subject, f"other-{number}", 20)
        world.now += timedelta(seconds=30 if others == 2 else 0)

    monkeypatch.setattr(world.memory, "remember", slowly)
    world.now += timedelta(seconds=5)
    if acts:
        assert flying.tend() is not None and flying.rollout is None
        return
    with pytest.raises(ConflictError, match="somebody else has it"):
        flying.tend()
    assert flying.rollout is not None


def test_failures_that_are_allowed_are_no_evidence_for_a_candidate(world):
    allowed = replace(BROKEN, test=replace(BROKEN.test, failure_limit=3))
    flying = Flying(world, judged_by(allowed))
    flying.pass_by(5, counts(1), counts(270))
    flying.pass_by(5, counts(25, 25), counts(270))
    flying.pass_by(600, counts(1, 1), counts(270))

    assert flying.rollout is None or flying.rollout.weight == 10
    assert not [event for event in happened(world) if isinstance(event, Promoted)]


def test_a_clock_that_was_ahead_holds_up_nobody_whose_clock_is_right(world, flying):
    flying.pass_by(20, GOOD, GOOD_STABLE)
    tend(world.installation, PROD, "one", None, world.now + timedelta(minutes=10))  # before its clock was put right
    flying.pass_by(60, counts(30, 10), GOOD_STABLE)

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["metric:errors"]


def test_a_node_that_lies_gets_no_bad_candidate_promoted(monkeypatch):
    monkeypatch.setitem(PEOPLE, "host-2", (Role.AGENT,))
    world = World()
    flying, liar = Flying(world), Host(world, "host-2")
    for _ in range(80):
        liar.count(flying.candidate, counts(50_000))
        liar.count(flying.stable, counts(50_000, 500))
        liar.send()
        flying.pass_by(5, counts(5, 3), counts(95))
        if flying.rollout is None:
            break

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["metric:errors"]
    world.check()
