"""What becomes of a candidate? A table of what is known at each place, and that nothing leads out of its rules."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.danger import Danger, Severity
from lockgate.core.rollout import (
    Abort,
    Aborted,
    Advance,
    Alarm,
    Hold,
    Paused,
    Promote,
    Promoted,
    Resumed,
    Rollout,
    Signals,
    Stay,
    Stepped,
    check_pause,
    check_resume,
    decide,
    evolve,
    next_step,
)
from lockgate.core.slot import Slot
from lockgate.core.strategy import Analysis, Pause, SetWeight
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.core.strategies import BLUE_GREEN, CANARY, canary
from tests.world import NOW, PROD

TAG, DIGEST = Tag.parse("magika@1.1.0"), Digest.of(b"x")
SLOT = Slot(TAG, DIGEST, 7, DIGEST, 20, NOW, epoch=20)
BEGUN = Rollout(SLOT, CANARY.digest, NOW)
ERRORS, SLOW, MCP, JAILBREAK = (Name(name) for name in ("errors", "slow", "mcp", "jailbreak"))
PASSED = dict.fromkeys((ERRORS, SLOW, MCP), "passed")
OPEN = dict.fromkeys((ERRORS, SLOW, MCP), "open")
SHUTS, WAITS = canary(on_failure="shutdown"), canary(on_failure="pause")
STEPS = CANARY.steps  # 5 %, 300 s, errors passed, 50 %, until a person goes on, 100 %, 60 s


def at(step, weight, paused=None, lasted=0):
    """Stand at a step for so many seconds; the rollout began an hour before."""
    since = NOW + timedelta(hours=1) - timedelta(seconds=lasted)
    return replace(BEGUN, step=step, weight=weight, paused=paused, since=since)


def said(strategy=CANARY, rollout=BEGUN, found=PASSED, later=3600, quiet=0, **known):
    now = NOW + timedelta(seconds=later)
    data_at = None if quiet is None else now - timedelta(seconds=quiet)
    return decide(strategy, rollout, Signals(found, data_at, **known), now)


@pytest.mark.parametrize(
    ("rollout", "found", "decision"),
    [
        (at(-1, 0), {}, Advance(0, 5, holds=False)),
        (at(0, 5), {}, Advance(1, 5, holds=False)),
        (at(1, 5, lasted=299), PASSED, Stay()),
        (at(1, 5, lasted=300), {}, Advance(2, 5, holds=False)),
        (at(2, 5), PASSED, Advance(3, 50, holds=False)),
        (at(2, 5, lasted=599), OPEN, Stay()),
        (at(2, 5, lasted=600), OPEN, Hold("inconclusive")),
        (at(2, 5), OPEN | {ERRORS: "passed"}, Advance(3, 50, holds=False)),
        (at(2, 5), PASSED | {MCP: "missing"}, Stay()),
        (at(2, 5), {ERRORS: "passed"}, Stay()),
        (at(2, 5, lasted=600), {ERRORS: "passed"}, Hold("inconclusive")),
        (at(3, 50), {}, Advance(4, 50, holds=True)),
        (at(4, 50, "step", lasted=599), PASSED, Stay()),
        (at(4, 50, "step", lasted=3000), PASSED, Stay()),
        (at(4, 50), PASSED, Advance(5, 100, holds=False)),
        (at(4, 50), OPEN, Stay()),
        (at(4, 50), PASSED | {SLOW: "open"}, Stay()),
        (at(4, 50), PASSED | {SLOW: "missing"}, Stay()),
        (at(4, 50, lasted=600), PASSED | {SLOW: "open"}, Hold("inconclusive")),
        (at(5, 100), {}, Advance(6, 100, holds=False)),
        (at(6, 100, lasted=59), PASSED, Stay()),
        (at(6, 100, lasted=60), PASSED, Promote()),
        (at(6, 100, lasted=60), OPEN, Stay()),
        (at(6, 100, lasted=60), {}, Stay()),
        (at(6, 100, lasted=600), PASSED | {MCP: "open"}, Hold("inconclusive")),
        (at(6, 100, "person", lasted=600), PASSED, Stay()),
        (at(6, 100, "inconclusive", lasted=600), PASSED, Stay()),
    ],
)
def test_a_rollout_goes_on_when_its_step_is_over_and_evidence_backs_the_next(rollout, found, decision):
    assert said(rollout=rollout, found=found) == decision


@pytest.mark.parametrize("paused", [None, "step", "person", "inconclusive", "failed"])
@pytest.mark.parametrize("place", [(0, 5), (1, 5), (2, 5), (4, 50), (6, 100)])
@pytest.mark.parametrize(
    ("strategy", "known", "decision"),
    [
        (CANARY, {"revoked": True}, Abort("revoked")),
        (SHUTS, {"revoked": True}, Abort("revoked")),
        (WAITS, {"revoked": True}, Abort("revoked")),
        (CANARY, {"alerts": (Alarm(Danger.JAILBREAK, Severity.HIGH),)}, Abort("alert:jailbreak")),
        (CANARY, {"alerts": (Alarm(Danger.JAILBREAK, Severity.CRITICAL),)}, Abort("alert:jailbreak")),
        (WAITS, {"alerts": (Alarm(Danger.JAILBREAK, Severity.HIGH),)}, Abort("alert:jailbreak")),
        (SHUTS, {"alerts": (Alarm(Danger.JAILBREAK, Severity.HIGH),)}, Abort("alert:jailbreak", suspends=True)),
        (CANARY, {"found": PASSED | {ERRORS: "failed"}}, Abort("metric:errors")),
        (CANARY, {"found": {MCP: "failed"}}, Abort("metric:mcp")),
        (SHUTS, {"found": {SLOW: "failed"}}, Abort("metric:slow", suspends=True)),
        (CANARY, {"later": 86_400 + 3600}, Abort("undecided")),
        (WAITS, {"later": 86_400 + 3600, "found": {SLOW: "failed"}}, Abort("undecided")),
    ],
)
def test_what_takes_a_candidate_away_does_so_in_every_step_and_every_pause(strategy, known, decision, place, paused):
    assert said(strategy, at(*place, paused), **known) == decision


@pytest.mark.parametrize(
    "known",
    [
        {"alerts": (Alarm(Danger.JAILBREAK, Severity.MEDIUM),)},
        {"alerts": (Alarm(Danger.SECURITY, Severity.CRITICAL),)},
        {"found": PASSED | {Name("tried"): "failed"}},
        {"found": PASSED | {Name("unheard-of"): "failed"}},
        {"found": PASSED | {JAILBREAK: "failed"}},
        {"later": 86_400 - 1},
        {"quiet": 3599},
    ],
)
def test_what_does_not_concern_the_strategy_takes_nothing_away(known):
    assert not isinstance(said(rollout=at(4, 50, "step"), **known), Abort)


@pytest.mark.parametrize(
    ("paused", "found", "decision"),
    [
        (None, PASSED, Hold("inconclusive")),
        ("step", PASSED, Hold("inconclusive")),
        ("inconclusive", PASSED, Stay()),
        ("person", PASSED, Stay()),
        (None, {SLOW: "failed"}, Abort("metric:slow")),
    ],
)
def test_without_a_stable_release_a_person_decides_unless_the_candidate_fails(paused, found, decision):
    assert said(rollout=at(4, 50, paused), found=found, stable_revoked=True) == decision


@pytest.mark.parametrize(
    ("paused", "decision"),
    [
        (None, Hold("failed")),
        ("step", Hold("failed")),
        ("inconclusive", Hold("failed")),
        ("person", Stay()),
        ("failed", Stay()),
    ],
)
def test_where_failure_is_a_pause_a_person_is_asked_once(paused, decision):
    assert said(WAITS, at(4, 50, paused), found={SLOW: "failed"}) == decision


@pytest.mark.parametrize(
    ("rollout", "quiet", "decision"),
    [
        (at(4, 50, "step", lasted=3599), None, Stay()),
        (at(4, 50, "step", lasted=3600), None, Abort("no-data")),
        (at(4, 50, "person", lasted=3600), None, Abort("no-data")),
        (at(4, 50, "inconclusive", lasted=3600), 3600, Abort("no-data")),
        (at(4, 50, "step", lasted=3600), 3599, Stay()),
        (at(4, 50, "step", lasted=10), 3600, Stay()),
        (at(-1, 0, "person", lasted=3600), None, Stay()),
    ],
)
def test_a_candidate_with_traffic_that_sends_nothing_goes_after_a_while(rollout, quiet, decision):
    assert said(rollout=rollout, found={}, quiet=quiet) == decision


@pytest.mark.parametrize(
    ("paused", "decision"),
    [
        (None, Hold("inconclusive")),
        ("step", Hold("inconclusive")),
        ("person", Stay()),
        ("failed", Stay()),
        ("inconclusive", Stay()),
    ],
)
def test_a_rollout_that_takes_too_long_is_for_a_person_to_decide(paused, decision):
    assert said(rollout=at(4, 50, paused), later=86_400) == decision


@pytest.mark.parametrize(
    ("step", "weight", "found", "decision"),
    [
        (-1, 0, {}, Advance(0, 0, holds=False)),
        (1, 0, OPEN, Stay()),
        (1, 0, PASSED, Advance(2, 100, holds=False)),
        (1, 0, {ERRORS: "passed"}, Stay()),
        (3, 100, PASSED, Promote()),
    ],
)
def test_blue_green_gives_nothing_before_previews_have_passed_and_everything_after(step, weight, found, decision):
    assert said(BLUE_GREEN, at(step, weight, lasted=30), found) == decision


def test_the_next_step_is_the_one_after_this_and_after_the_last_there_is_none():
    assert next_step(CANARY, at(3, 50)) == Advance(4, 50, holds=True)
    with pytest.raises(DeniedError, match="all 7 steps are done: what is left is to promote, or to abort"):
        next_step(CANARY, at(6, 100))


def test_only_what_is_not_paused_by_hand_is_paused_and_only_what_is_paused_is_resumed():
    for cause in (None, "step", "inconclusive", "failed"):
        check_pause(at(4, 50, cause))
    with pytest.raises(DeniedError, match=r"the rollout of magika@1\.1\.0 is paused already"):
        check_pause(at(4, 50, "person"))
    for cause in ("step", "person", "inconclusive", "failed"):
        check_resume(at(4, 50, cause))
    with pytest.raises(DeniedError, match=r"the rollout of magika@1\.1\.0 is not paused"):
        check_resume(at(4, 50))


LATER = NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("event", "after"),
    [
        (Stepped(PROD, 7, 3, 50, DIGEST), replace(BEGUN, step=3, weight=50, since=LATER, why=DIGEST)),
        (Paused(PROD, 7, "person", DIGEST), replace(BEGUN, paused="person", since=LATER, why=DIGEST)),
        (Resumed(PROD, 7, DIGEST), replace(BEGUN, since=LATER, why=DIGEST)),
        (Promoted(PROD, TAG, DIGEST, DIGEST, 7, DIGEST), None),
        (Aborted(PROD, TAG, DIGEST, 7, "person", suspends=False, why=DIGEST), None),
    ],
)
def test_an_event_changes_what_it_says_and_no_more(event, after):
    assert evolve(BEGUN, event, LATER) == after
    for none in (None, replace(BEGUN, candidate=replace(SLOT, change=8))):
        with pytest.raises(VerificationError, match="of change 7, which is not in flight"):
            evolve(none, event, LATER)


@pytest.mark.parametrize(("step", "weight"), [(3, 50), (2, 50), (4, 49)])
def test_a_log_in_which_a_rollout_went_back_is_refused(step, weight):
    with pytest.raises(VerificationError, match="the log holds a rollout that went back"):
        evolve(at(3, 50), Stepped(PROD, 7, step, weight, DIGEST), LATER)


findings = st.dictionaries(
    st.sampled_from([ERRORS, SLOW, MCP, Name("tried")]), st.sampled_from(["passed", "passed", "open", "missing"])
)
moments = st.tuples(findings, st.integers(1, 4000), st.sampled_from([0, 0, 0, None]))
written = st.lists(
    st.sampled_from([Pause(), Pause(60), Pause(600), Analysis((ERRORS,))]) | st.integers(1, 99), max_size=6
)


def strategy_of(steps):
    """Make a good strategy of steps and rising weights."""
    weights = iter(sorted({one for one in steps if isinstance(one, int)}))
    found = []
    for one in steps:
        if not isinstance(one, int):
            found.append(one)
        elif (weight := next(weights, None)) is not None:
            found.append(SetWeight(weight))
    return canary(steps=(*found, SetWeight(100)))


def followed(strategy, rollout, decision, now):
    """Do to a rollout what was decided."""
    match decision:
        case Advance():
            stepped = evolve(rollout, Stepped(PROD, 7, decision.step, decision.weight, DIGEST), now)
            return evolve(stepped, Paused(PROD, 7, "step", DIGEST), now) if decision.holds else stepped
        case Hold():
            return evolve(rollout, Paused(PROD, 7, decision.cause, DIGEST), now)
        case _:
            return rollout


@given(written, st.lists(moments, max_size=60), st.lists(st.booleans(), min_size=60, max_size=60))
def test_the_weight_only_rises_and_nothing_is_promoted_without_data(steps, seen, resumes):
    strategy, rollout, now, passed = strategy_of(steps), BEGUN, NOW, False
    for (found, seconds, data), resumed in zip(seen, resumes, strict=False):
        now += timedelta(seconds=seconds)
        decision = decide(strategy, rollout, Signals(found, now if data == 0 else None), now)
        passed = all(found.get(metric.name) == "passed" for metric in strategy.needed)
        if isinstance(decision, Promote | Abort):
            assert isinstance(decision, Abort) or (passed and rollout.weight == 100)
            return
        before, rollout = rollout, followed(strategy, rollout, decision, now)
        assert rollout.weight >= before.weight and rollout.step in (before.step, before.step + 1)
        assert rollout.weight < 100 or before.weight == 100 or passed
        if rollout.paused and resumed:
            rollout = evolve(rollout, Resumed(PROD, 7, DIGEST), now)


@given(written, st.sampled_from([PASSED, OPEN, {}]), st.sampled_from(["rollback", "pause", "shutdown"]), st.booleans())
def test_every_rollout_ends_whether_or_not_anybody_decides(steps, found, on_failure, sends):
    strategy, rollout, now = replace(strategy_of(steps), on_failure=on_failure), BEGUN, NOW
    longest = NOW + timedelta(seconds=strategy.max_seconds + strategy.no_data_seconds)
    while True:
        decision = decide(strategy, rollout, Signals(found, now if sends else None), now)
        if isinstance(decision, Promote | Abort):
            break
        rollout = followed(strategy, rollout, decision, now)
        now += timedelta(seconds=1 if isinstance(decision, Advance) else 60)
        assert now <= longest + timedelta(seconds=60)
    assert isinstance(decision, Abort) or found == PASSED


def test_every_combination_of_findings_is_decided_and_only_all_passed_promotes():
    values = ("passed", "open", "missing", "failed", None)
    for combination in product(values, repeat=3):
        found = {name: value for name, value in zip((ERRORS, SLOW, MCP), combination, strict=True) if value}
        decision = said(rollout=at(6, 100, lasted=60), found=found)
        assert (decision == Promote()) == (combination == ("passed",) * 3)
        assert isinstance(decision, Abort) == ("failed" in combination)


def test_deciding_twice_says_the_same():
    for step, weight in enumerate((5, 5, 5, 50, 50, 100, 100)):
        assert said(rollout=at(step, weight)) == said(rollout=at(step, weight))
    assert len(STEPS) == 7
