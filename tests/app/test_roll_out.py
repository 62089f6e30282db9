"""Does a rollout go on by evidence, end by any hand that may, and leave the log and the hosts with one story?"""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from lockgate.app import roll_out
from lockgate.app.roll_back import roll_back
from lockgate.core.journal import read_fact
from lockgate.core.rollout import Aborted, Signals
from lockgate.errors import ConflictError, DeniedError, VerificationError
from lockgate.formats.digest import Digest
from tests.core.strategies import BLUE_GREEN, STICKY, canary
from tests.rolling import (
    EVIDENCE,
    FAILED,
    NOTHING,
    PASSED,
    asked,
    begin,
    go_on,
    open_rollout,
    order,
    rollout,
    said,
    step,
    weights,
)
from tests.world import PROD, World


def outcome(world: World, number: int):
    return world.change(number).phase, world.change(number).outcome


def through(world: World):
    """Let controllers take a candidate all the way, with the person whom the strategy asks for."""
    found = []
    for after in (0, 0, 300, 0, 0):
        go_on(world, after=after)
        found.append(rollout(world).weight)
    order(world, "resume")
    for after in (0, 0, 60):
        go_on(world, after=after)
        found.append(rollout(world).weight if world.endpoint().rollout else 100)
    return found


def test_a_healthy_candidate_climbs_step_by_step_and_becomes_stable(world):
    number = begin(world)
    assert outcome(world, number) == ("authorized", None) and weights(world) == {"magika@1.0.0": 100, "magika@1.1.0": 0}

    assert through(world) == [5, 5, 5, 50, 50, 100, 100, 100]
    assert outcome(world, number) == ("closed", "succeeded")
    assert str(world.endpoint().stable.tag) == "magika@1.1.0" and weights(world) == {"magika@1.1.0": 100}


def test_blue_green_gives_nothing_to_previews_and_then_everything_at_once_beside_the_former_release(world):
    number = begin(world, strategy=BLUE_GREEN)
    preview, switched = {"magika@1.0.0": 100, "magika@1.1.0": 0}, {"magika@1.0.0": 0, "magika@1.1.0": 100}
    for after, signals in ((0, PASSED), (599, PASSED), (1, PASSED), (1, NOTHING), (1, Signals({}))):
        go_on(world, signals, after=after)
        assert weights(world) == preview

    go_on(world)
    assert weights(world) == switched and str(world.endpoint().stable.tag) == "magika@1.0.0"
    for after in (0, 29):
        go_on(world, after=after)
        assert weights(world) == switched
    go_on(world, after=1)
    assert weights(world) == {"magika@1.1.0": 100} and outcome(world, number) == ("closed", "succeeded")


def test_blue_green_goes_back_at_once_while_the_former_release_is_ready(world):
    begin(world, strategy=BLUE_GREEN)
    for after in (0, 600, 0):
        go_on(world, after=after)
    assert weights(world)["magika@1.1.0"] == 100

    go_on(world, FAILED)
    assert weights(world) == {"magika@1.0.0": 100}


def test_who_serves_the_candidate_keeps_its_lease_when_it_is_promoted(world):
    begin(world, strategy=STICKY)
    before = asked(world, "magika@1.1.0")["magika@1.1.0"]
    stable = asked(world, "magika@1.0.0")["magika@1.0.0"]
    go_on(world)
    assert asked(world, "magika@1.0.0")["magika@1.0.0"] == replace(stable, weight=95)
    assert (before.sticky_by, stable.sticky_by) == ("x-user", "x-user")

    order(world, "promote")
    assert asked(world, "magika@1.1.0")["magika@1.1.0"] == replace(before, weight=100, candidate=False, sticky_by=None)


def test_a_bad_candidate_loses_everything_and_the_log_says_why(world):
    number = begin(world)
    go_on(world)

    receipt = go_on(world, FAILED)
    _, event = read_fact(next(world.memory.entries(receipt.first, receipt.stop)))
    assert isinstance(event, Aborted) and (event.trigger, event.by) == ("metric:errors", None)
    assert world.memory.document(event.why) == EVIDENCE
    assert outcome(world, number) == ("closed", "rolled-back") and weights(world) == {"magika@1.0.0": 100}


def test_a_bad_candidate_shuts_the_endpoint_where_its_strategy_says_so(world):
    number = begin(world, strategy=canary(on_failure="shutdown"))
    go_on(world)

    receipt = go_on(world, FAILED)
    assert receipt is not None and receipt.anchored and world.endpoint().suspended and weights(world) == {}
    assert outcome(world, number) == ("closed", "failed")


def test_a_candidate_that_sends_nothing_is_never_promoted(world):
    begin(world)
    while world.endpoint().rollout is not None:
        go_on(world, NOTHING, after=300, fresh=False)
        assert world.endpoint().rollout is None or rollout(world).weight <= 5

    assert world.endpoint().rollout is None and str(world.endpoint().stable.tag) == "magika@1.0.0"


class Overtaken:
    """A ledger behind whose back somebody else is faster, once: between what is read and what is appended."""

    def __init__(self, memory, meanwhile):
        self.memory, self.meanwhile = memory, [meanwhile]

    @contextmanager
    def transaction(self):
        with self.memory.transaction() as tx:
            append = tx.append

            def overtaken(*arguments, **named):
                while self.meanwhile:
                    self.meanwhile.pop()()
                return append(*arguments, **named)

            tx.append = overtaken
            yield tx

    def __getattr__(self, name):
        return getattr(self.memory, name)


def test_of_two_controllers_one_takes_the_step_and_the_other_learns_that_it_was_taken(world):
    begin(world)
    ours = replace(world.installation, ledger=Overtaken(world.memory, lambda: go_on(world)))

    receipt = roll_out.go_on(ours, PROD, replace(PASSED, data_at=world.now), EVIDENCE, world.now)
    assert receipt is not None and rollout(world).step == 0 and world.memory.size() == receipt.stop


@pytest.mark.parametrize("act", ["pause", "abort", "promote"])
def test_a_controller_that_was_overtaken_by_a_person_appends_nothing(world, act):
    begin(world)
    ours = replace(world.installation, ledger=Overtaken(world.memory, lambda: order(world, act)))

    with pytest.raises(ConflictError, match="endpoint/prod/magika changed since it was read"):
        roll_out.go_on(ours, PROD, replace(PASSED, data_at=world.now), EVIDENCE, world.now)
    assert world.endpoint().rollout is None or rollout(world).step == -1


@pytest.mark.parametrize("act", ["pause", "resume", "promote", "abort"])
@pytest.mark.parametrize("who", ["alice", "bob", "ann", "ci", "host-1", "olivia"])
def test_who_has_no_right_changes_nothing(world, act, who):
    begin(world)
    if (act, who) == ("abort", "olivia"):
        order(world, act, who)
        assert world.endpoint().rollout is None
        return

    size = world.memory.size()
    with pytest.raises(DeniedError, match=f"{who} has no right to rollout.{act}"):
        order(world, act, who)
    assert world.memory.size() == size


@pytest.mark.parametrize("act", ["pause", "resume", "promote", "abort"])
def test_without_a_rollout_there_is_nothing_to_do(world, act):
    world.serve("1.0.0")

    with pytest.raises(DeniedError, match="no rollout is in flight at prod/magika"):
        order(world, act)
    with pytest.raises(DeniedError, match="no rollout is in flight at prod/magika"):
        go_on(world)


@pytest.mark.parametrize("changes", [{"before": None}, {"after": None}, {"after": Digest.of(b"x")}])
def test_an_order_for_another_rollout_is_none_for_this(world, changes: dict[str, Digest | None]):
    begin(world)
    good = said(world, "rollout.abort").intent
    wrong = {"before": good.before, "after": good.after} | changes

    with pytest.raises(DeniedError, match=r"the intent says (before|after)"):
        roll_out.abort(world.installation, PROD, world.say("dave", "rollout.abort", PROD, **wrong), world.now)
    with pytest.raises(VerificationError, match=r"the intent says 'rollout\.pause', this is rollout\.abort"):
        roll_out.abort(world.installation, PROD, said(world, "rollout.pause"), world.now)


def test_an_order_is_carried_out_once(world):
    begin(world)
    signed = said(world, "rollout.pause")

    once = roll_out.pause(world.installation, PROD, signed, world.now)
    assert roll_out.pause(world.installation, PROD, signed, world.now) == once


def test_what_fails_is_taken_away_from_a_paused_rollout_too(world):
    begin(world)
    go_on(world)
    order(world, "pause")
    assert go_on(world, PASSED, after=3600) is None

    assert go_on(world, FAILED) is not None and world.endpoint().rollout is None


def test_a_person_goes_on_one_step_at_a_time_from_the_step_that_they_saw(world):
    begin(world)
    step(world, -1)
    assert rollout(world).weight == 5

    with pytest.raises(ConflictError, match="the rollout is at step 1 by now, not at step 0"):
        step(world, -1)
    for seen in range(6):
        step(world, seen)
    with pytest.raises(DeniedError, match="all 7 steps are done"):
        step(world, 6)
    assert rollout(world).weight == 100


def test_an_inconclusive_rollout_waits_for_a_person_who_may_promote_it(world):
    number = begin(world)
    for after in (0, 0, 300, 600):
        go_on(world, Signals({}), after=after)
    assert rollout(world).paused == "inconclusive"
    assert go_on(world, after=1) is None

    order(world, "promote")
    assert outcome(world, number) == ("closed", "succeeded")


def test_a_revocation_ends_the_rollout_of_its_release_in_the_same_append(world):
    number = begin(world)
    go_on(world)

    receipt = world.revoke("magika@1.1.0")
    facts = [read_fact(entry)[1] for entry in world.memory.entries(receipt.first, receipt.stop)]
    assert [fact.type for fact in facts] == ["release.revoked/v1", "rollout.aborted/v1", "change.closed/v1"]
    assert (facts[1].trigger, str(facts[1].by), facts[1].why) == ("revoked", "olivia", facts[0].order)
    assert weights(world) == {"magika@1.0.0": 100} and outcome(world, number) == ("closed", "rolled-back")


@pytest.mark.parametrize("meanwhile", ["step", "promote", "abort"])
def test_a_revocation_that_was_overtaken_ends_what_the_rollout_has_become(world, meanwhile):
    begin(world)
    faster = {"step": lambda: go_on(world)}.get(meanwhile, lambda: order(world, meanwhile))
    world.installation = replace(world.installation, ledger=Overtaken(world.memory, faster))

    world.revoke("magika@1.1.0")
    assert world.endpoint().rollout is None
    assert weights(world) == ({} if meanwhile == "promote" else {"magika@1.0.0": 100})


def test_the_revocation_of_another_release_ends_no_rollout(world):
    begin(world)
    go_on(world)
    world.register("1.2.0")

    world.revoke("magika@1.2.0")
    assert weights(world) == {"magika@1.0.0": 95, "magika@1.1.0": 5}


def test_a_rollout_that_begins_while_its_release_is_revoked_gets_no_lease_and_is_ended(world):
    world.serve("1.0.0")
    release = world.register("1.1.0")
    world.attest(release)
    number = open_rollout(world, release)
    world.approve(number)
    plain_ = world.installation
    world.installation = replace(plain_, ledger=Overtaken(world.memory, lambda: world.activate(number)))
    world.revoke("magika@1.1.0")
    world.installation = plain_
    assert rollout(world) and "magika@1.1.0" not in weights(world)

    with pytest.raises(DeniedError, match="revoked"):
        order(world, "promote")
    go_on(world, Signals({}, revoked=True))
    assert world.endpoint().rollout is None


def test_without_a_stable_release_to_go_back_to_a_person_decides(world):
    number = begin(world)
    go_on(world)
    world.revoke("magika@1.0.0")
    assert weights(world) == {"magika@1.1.0": 5}

    lonely = replace(PASSED, stable_revoked=True)
    go_on(world, lonely)
    assert rollout(world).paused == "inconclusive" and go_on(world, lonely, after=300) is None
    order(world, "promote")
    assert weights(world) == {"magika@1.1.0": 100} and outcome(world, number) == ("closed", "succeeded")


def test_where_both_are_revoked_nothing_serves(world):
    begin(world)
    go_on(world)
    world.revoke("magika@1.0.0")

    world.revoke("magika@1.1.0")
    assert weights(world) == {} and world.endpoint().rollout is None


def test_a_shutdown_ends_a_rollout_in_the_same_append(world):
    number = begin(world)
    go_on(world)

    receipt = world.shut_down()
    assert receipt.stop == receipt.first + 2 and outcome(world, number) == ("closed", "failed")
    assert world.endpoint().rollout is None and weights(world) == {}


def test_while_a_rollout_is_in_flight_nothing_else_begins(world):
    begin(world)
    other = world.register("1.2.0")
    reason = r"rolls magika@1\.1\.0 out at prod/magika: promote it or abort it first"

    with pytest.raises(DeniedError, match=reason):
        open_rollout(world, other)
    with pytest.raises(DeniedError, match=reason):
        open_rollout(world, other, None)
    with pytest.raises(DeniedError, match=reason):
        back = world.say("dave", "endpoint.roll-back", PROD, before=world.endpoint().stable.release)
        roll_back(world.installation, PROD, back, world.now)


def test_a_change_from_before_a_rollout_is_not_carried_out_after_it(world):
    world.serve("1.0.0")
    other = world.register("1.2.0")
    world.attest(other)
    earlier = world.open(other)
    world.approve(earlier)
    begin(world)
    with pytest.raises(DeniedError, match="promote it or abort it first"):
        world.activate(earlier)
    order(world, "abort")

    with pytest.raises(DeniedError, match="has changed"):
        world.activate(earlier)
