"""Do rollouts go on by themselves, and only for reasons that the log can show?"""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.watch_rollout import grounds_at, in_flight, name_of_watch
from lockgate.controllers.rollouts import LEASE, Rollouts, tend
from lockgate.core.journal import read_fact
from lockgate.core.observation import Grounds, signals_of
from lockgate.core.rollout import Aborted, Paused, Promoted, Stepped
from lockgate.errors import ConflictError, DeniedError, UnavailableError
from lockgate.formats import plain
from tests.rolling import order, step
from tests.traffic import ALERT, BROKEN, ERRORS, LATENCY, Flying, counts, judged_by
from tests.warning import warn
from tests.world import PROD, World

GOOD, GOOD_STABLE = counts(30), counts(270)


@pytest.fixture
def world():
    found = World()
    yield found
    found.check()


@pytest.fixture
def flying(world):
    return Flying(world)


def happened(world):
    facts = [read_fact(entry) for entry in world.memory.entries(0, world.memory.size())]
    return [event for _, event in facts if isinstance(event, Stepped | Paused | Promoted | Aborted)]


def grounds(world, event):
    return plain.decode(Grounds, world.memory.document(event.why))


def test_a_good_candidate_climbs_all_steps_and_becomes_the_stable_release(world, flying):
    flying.pass_by(400, GOOD, GOOD_STABLE)

    assert [(event.type, getattr(event, "weight", 100)) for event in happened(world)] == [
        ("rollout.stepped/v1", 10),
        ("rollout.stepped/v1", 10),
        ("rollout.stepped/v1", 50),
        ("rollout.stepped/v1", 50),
        ("rollout.stepped/v1", 100),
        ("rollout.promoted/v1", 100),
    ]
    assert world.endpoint().stable.release == flying.candidate
    (finding,) = grounds(world, happened(world)[-1]).analysis.findings
    assert finding.candidate.n > 600 and finding.conclusion == "healthy"


def test_a_candidate_with_errors_is_rolled_back_with_its_numbers(world, flying):
    flying.pass_by(30, GOOD, GOOD_STABLE)
    flying.pass_by(120, counts(30, 10), GOOD_STABLE)

    (ended,) = [event for event in happened(world) if isinstance(event, Aborted)]
    assert (ended.trigger, ended.by) == ("metric:errors", None)
    shown = grounds(world, ended)
    assert shown.analysis.findings[0].conclusion == "failed" and shown.analysis.findings[0].candidate.bad >= 10
    assert world.endpoint().stable.release == flying.stable and world.endpoint().rollout is None
    assert world.change(flying.change).outcome == "rolled-back"


def test_a_slow_candidate_is_rolled_back(world):
    flying = Flying(world, judged_by(ERRORS, LATENCY))
    flying.pass_by(300, counts(30, bucket=8), counts(270, bucket=3))

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["metric:latency"]


def test_an_absolute_bound_is_kept_whatever_the_stable_release_does(world):
    flying = Flying(world, judged_by(ERRORS, BROKEN))
    flying.pass_by(300, counts(30, 20), counts(270, 180))

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["metric:broken"]


def test_an_outage_of_both_says_nothing_about_the_candidate(world, flying):
    flying.pass_by(60, GOOD, GOOD_STABLE)
    flying.pass_by(60, counts(30, 15), counts(270, 135))

    assert not [event for event in happened(world) if isinstance(event, Aborted)]


def test_without_data_nothing_is_given_to_the_candidate_and_at_last_all_is_taken(world, flying):
    flying.pass_by(840)
    assert [(event.type, getattr(event, "cause", None)) for event in happened(world)] == [
        ("rollout.stepped/v1", None),
        ("rollout.stepped/v1", None),
        ("rollout.paused/v1", "inconclusive"),
    ]
    assert flying.rollout.weight == 10

    flying.pass_by(900)
    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["no-data"]


def test_data_of_the_stable_release_alone_is_no_data(world, flying):
    flying.pass_by(1800, None, GOOD_STABLE)

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["no-data"]


def test_errors_end_a_rollout_that_a_person_has_paused(world, flying):
    flying.pass_by(20, GOOD, GOOD_STABLE)
    order(world, "pause")
    flying.pass_by(200, GOOD, GOOD_STABLE)
    assert flying.rollout.paused == "person"

    flying.pass_by(200, counts(30, 10), GOOD_STABLE)
    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["metric:errors"]


@pytest.mark.parametrize("of", ["candidate", "endpoint"])
def test_an_alert_about_the_candidate_or_the_endpoint_ends_it_at_once(world, flying, of):
    flying.pass_by(20, GOOD, GOOD_STABLE)
    warn(world, severity="critical", release=flying.candidate if of == "candidate" else None)

    flying.tend()

    (ended,) = [event for event in happened(world) if isinstance(event, Aborted)]
    assert ended.trigger == "alert:jailbreak"
    assert [str(one.by) for one in grounds(world, ended).alerts] == ["guard"]


@pytest.mark.parametrize(
    ("kind", "severity", "about"),
    [("jailbreak", "medium", None), ("tool", "critical", None), ("jailbreak", "critical", "stable")],
)
def test_another_alert_ends_nothing(world, flying, kind, severity, about):
    warn(world, kind, severity, flying.stable if about else None)

    flying.tend()
    assert flying.rollout is not None


def test_an_alert_from_before_the_rollout_ends_nothing(world):
    world.serve("1.0.0")
    warn(world)
    flying = Flying(world)

    flying.tend()
    assert flying.rollout is not None


def test_a_revoked_candidate_is_gone_before_anybody_looks(world, flying):
    world.revoke("magika@1.1.0")
    assert [event.trigger for event in happened(world)] == ["revoked"]

    assert flying.tend() is None


@pytest.mark.parametrize("key", ["bob", "components", "results"])
def test_a_candidate_that_was_let_in_by_a_revoked_key_gets_no_more(world, flying, key):
    flying.pass_by(20, GOOD, GOOD_STABLE)
    assert flying.rollout.weight == 10
    world.revoke(key)
    with pytest.raises(DeniedError):
        order(world, "promote")
    with pytest.raises(DeniedError):
        step(world, flying.rollout.step)
    flying.pass_by(400, GOOD, GOOD_STABLE)

    assert [event.trigger for event in happened(world) if isinstance(event, Aborted)] == ["revoked"]
    assert max(event.weight for event in happened(world) if isinstance(event, Stepped)) == 10


def test_a_stable_release_that_is_revoked_makes_it_the_case_of_a_person(world, flying):
    flying.pass_by(20, GOOD, GOOD_STABLE)
    before = len(happened(world))
    world.revoke("magika@1.0.0")

    flying.pass_by(400, GOOD)
    (paused,) = happened(world)[before:]
    assert paused.cause == "inconclusive" and grounds(world, paused).stable_revoked is True
    assert signals_of(grounds(world, paused)).stable_revoked


def test_a_rollout_that_cannot_be_judged_is_paused_once_and_what_happened_meanwhile_is_found_later(world, flying):
    """The strategy is not one that this program can read, as after a step back to an older version."""
    flying.pass_by(10, GOOD, GOOD_STABLE)
    before, digest = len(happened(world)), flying.rollout.strategy
    kept = world.memory.documents[digest]
    world.memory.documents[digest] = kept.replace(b"strategy/v1", b"strategy/v2")

    flying.pass_by(400, counts(30, 30), GOOD_STABLE)
    (paused,) = happened(world)[before:]
    assert paused.cause == "inconclusive" and flying.rollout.weight == 10
    assert b"it cannot be judged by this version" in world.memory.document(paused.why)

    world.memory.documents[digest] = kept
    flying.tend()
    assert happened(world)[-1].trigger == "metric:errors"


def test_what_was_counted_before_the_first_look_and_across_a_step_counts_for_nothing(world, flying):
    flying.host.count(flying.candidate, counts(1000, 500))
    flying.host.count(flying.stable, counts(1000))
    flying.host.send()
    flying.tend()
    flying.tend()

    assert grounds_at(world.installation, PROD, world.now).analysis.findings[0].candidate.n == 0


def test_counters_that_begin_anew_do_not_count_twice(world, flying):
    flying.pass_by(30, GOOD, GOOD_STABLE)
    before = grounds_at(world.installation, PROD, world.now).analysis.findings[0].candidate.n
    flying.host.begin_anew()
    flying.pass_by(10, GOOD, GOOD_STABLE)

    after = grounds_at(world.installation, PROD, world.now).analysis.findings[0].candidate.n
    assert after - before == 60


def test_a_node_that_is_silent_begins_anew_when_it_is_heard_again(world, flying):
    flying.pass_by(10, GOOD, GOOD_STABLE)
    before = grounds_at(world.installation, PROD, world.now).analysis.findings[0].candidate.n
    flying.host.count(flying.candidate, counts(5000, 5000))
    flying.pass_by(40)
    flying.host.send()
    flying.pass_by(10, GOOD, GOOD_STABLE)

    finding = grounds_at(world.installation, PROD, world.now).analysis.findings[0]
    assert finding.candidate.n - before <= 60 and finding.candidate.bad == 0


def test_while_another_controller_looks_after_it_nothing_is_done(world, flying):
    world.memory.claim(name_of_watch(PROD), "other", 60)

    flying.pass_by(50, GOOD, GOOD_STABLE)

    assert happened(world) == [] and world.memory.recall(name_of_watch(PROD)) is None


def test_another_controller_goes_on_where_the_first_one_was_when_its_claim_is_over(world, flying):
    flying.pass_by(30, GOOD, GOOD_STABLE, holder="one")
    seen = grounds_at(world.installation, PROD, world.now).analysis.findings[0].candidate.n
    assert flying.tend("two") is None

    world.now += timedelta(seconds=LEASE + 0.1)
    flying.pass_by(400, GOOD, GOOD_STABLE, holder="two")

    assert isinstance(happened(world)[-1], Promoted)
    assert grounds(world, happened(world)[-1]).analysis.findings[0].candidate.n > seen
    assert len({event.step for event in happened(world) if isinstance(event, Stepped)}) == 5


def test_one_that_was_asleep_writes_nothing_down_and_takes_no_step_twice(world, flying, monkeypatch):
    """It is stopped between what it read and what it does; meanwhile another one does it."""
    flying.pass_by(65, GOOD, GOOD_STABLE)
    steps = len(happened(world))
    remember = world.memory.remember

    def asleep(subject, fence, document):
        monkeypatch.setattr(world.memory, "remember", remember)
        world.now += timedelta(seconds=60)
        flying.pass_by(10, GOOD, GOOD_STABLE, holder="two")
        remember(subject, fence, document)

    monkeypatch.setattr(world.memory, "remember", asleep)
    world.now += timedelta(seconds=5)
    with pytest.raises(ConflictError, match="is looked after by somebody else"):
        flying.tend("one")

    taken = [event.step for event in happened(world) if isinstance(event, Stepped)]
    assert len(taken) > steps and sorted(set(taken)) == taken


@pytest.mark.parametrize("spoilt", [b"", b"{}", b'{"type":"rollout-watch/v2"}', b"\xff"])
def test_what_another_version_wrote_down_is_begun_anew_and_that_is_said(world, flying, spoilt):
    flying.pass_by(30, GOOD, GOOD_STABLE)
    fence = world.memory.claim(name_of_watch(PROD), "one", 60)
    world.memory.remember(name_of_watch(PROD), fence, spoilt)

    flying.tend()

    found = grounds_at(world.installation, PROD, world.now)
    assert "what was known could not be read" in found.begun_anew
    assert found.analysis.findings[0].candidate.n == 0 and signals_of(found).metrics[ERRORS.name] == "missing"
    flying.pass_by(400, GOOD, GOOD_STABLE)
    assert isinstance(happened(world)[-1], Promoted)


def test_what_was_known_of_another_change_is_not_taken_over(world, flying):
    flying.pass_by(60, counts(30, 3), GOOD_STABLE)
    if flying.rollout is not None:
        order(world, "abort")
    Flying(world, version="1.2.0")

    assert grounds_at(world.installation, PROD, world.now).analysis.findings[0].candidate.n == 0


def failing(error):
    def fail(_at):
        raise error

    return fail


def test_a_failed_look_promotes_nothing_and_the_next_one_goes_on(world, flying, logged):
    controller = Rollouts(world.installation, lambda: world.now, holder="one")
    measured = world.memory.measured
    world.memory.measured = failing(UnavailableError("the database does not answer"))
    for _ in range(5):
        controller.look()
    assert happened(world) == []
    assert logged() == ["prod/magika: no rollout goes on: the database does not answer"]

    world.memory.measured = failing(ZeroDivisionError())
    controller.look()
    assert happened(world) == []
    world.memory.measured = measured
    controller.look()
    assert [event.weight for event in happened(world)] == [10]


def test_what_cannot_be_watched_is_not_begun(world):
    absurd = replace(ERRORS, test=replace(ERRORS.test, margin="1.0000000000001"))

    with pytest.raises(DeniedError, match=r"metric errors: not a number like 0\.004"):
        Flying(world, judged_by(absurd))


def test_where_nothing_is_rolled_out_nothing_is_claimed(world):
    world.serve("1.0.0")

    assert list(in_flight(world.installation)) == []
    assert tend(world.installation, PROD, "one", None, world.now) is None
    Rollouts(world.installation, lambda: world.now).look()
    assert world.memory.recall(name_of_watch(PROD)) is None


def test_a_controller_follows_until_it_is_told_to_end(world, flying):
    controller, ended = Rollouts(world.installation, lambda: world.now), threading.Event()
    thread = threading.Thread(target=controller.follow, args=(ended,))
    thread.start()
    patience = threading.Event()
    for _ in range(600):
        controller.wake()
        if happened(world) or patience.wait(0.05):
            break
    ended.set()
    controller.wake()
    thread.join(60)

    assert not thread.is_alive() and [event.weight for event in happened(world)][:1] == [10]


def test_two_metrics_are_looked_at_as_often_as_each_of_them_says(world):
    slow = judged_by(ERRORS, replace(BROKEN, interval_seconds=20), ALERT)
    flying = Flying(world, slow)
    flying.pass_by(45, GOOD, GOOD_STABLE)

    errors, broken = grounds_at(world.installation, PROD, world.now).analysis.findings
    assert errors.candidate.n > broken.candidate.n > 0
