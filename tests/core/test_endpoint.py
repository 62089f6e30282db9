"""What may become of an endpoint? Only what the picture shows, whatever the order of the commands."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.endpoint import (
    KEPT,
    Activated,
    RolledBack,
    Share,
    State,
    Suspended,
    check_activation,
    check_candidate,
    check_rollback,
    check_rollout,
    check_serving,
    check_share,
    evolve,
    nothing_at,
)
from lockgate.core.rollout import Aborted, Ended, Promoted, Rollout, Stepped
from lockgate.core.slot import Slot
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.world import NOW, PROD

DAVE, ORDER, DECISION = Name("dave"), Digest.of(b"order"), Digest.of(b"decision")
RELEASES = [Digest.of(bytes([number])) for number in range(20)]
A, B, C = RELEASES[:3]
TAG, STRATEGY = Tag.parse("magika@1.0.0"), Digest.of(b"strategy")


def activate(release, before=None, change=1):
    return Activated(PROD, Tag.parse("magika@1.0.0"), release, before, change, DECISION)


def roll_back(to, before):
    return RolledBack(PROD, Tag.parse("magika@1.0.0"), to, before, DAVE, ORDER)


SUSPEND = Suspended(PROD, DAVE, ORDER)


def after(*events):
    state = None
    for index, event in enumerate(events, 10):
        state = evolve(state, event, index, NOW)
    return state


def denied(reason, check, *arguments, **named):
    with pytest.raises(DeniedError, match=reason) as caught:
        check(*arguments, **named)
    return caught.value.reasons


def test_nothing_serves_at_an_endpoint_to_which_nothing_happened():
    state = nothing_at(PROD)

    assert state.stable is state.former is None and not state.suspended and state.epoch == -1
    denied("nothing was ever activated at prod/magika", check_serving, state)
    denied("prod/magika has no former release to roll back to", check_rollback, state)


def test_what_was_activated_last_should_serve_and_what_it_replaced_can_be_restored():
    state = after(activate(A), activate(B, A, 5))

    assert check_serving(state) == Slot(Tag.parse("magika@1.0.0"), B, 5, DECISION, 11, NOW, epoch=11)
    assert check_rollback(state).release == A and state.former == check_rollback(state)
    assert state.epoch == 11 and state.rolled_back_by is None


def test_the_first_release_has_none_to_return_to():
    denied("has no former release", check_rollback, after(activate(A)))


def test_a_rollback_restores_the_former_slot_and_remembers_its_order():
    state = after(activate(A), activate(B, A), roll_back(A, B))

    assert (check_serving(state).release, check_serving(state).index) == (A, 10)
    assert state.rolled_back_by == ORDER and state.epoch == 12
    denied("prod/magika was rolled back already", check_rollback, state)


def test_nobody_walks_back_through_history_one_rollback_at_a_time():
    state = after(activate(A), activate(B, A), activate(C, B), roll_back(B, C))

    denied("was rolled back already: going to any other release is a change", check_rollback, state)


def test_an_activation_forgets_the_rollback_before_it():
    state = after(activate(A), activate(B, A), roll_back(A, B), activate(C, A))

    assert state.rolled_back_by is None and check_rollback(state).release == A


def test_a_suspended_endpoint_serves_nothing_and_cannot_be_rolled_back():
    state = after(activate(A), activate(B, A), SUSPEND)

    denied("prod/magika is suspended since entry 12: nothing may serve", check_serving, state)
    denied("prod/magika is suspended: only a new approved change resumes it", check_rollback, state)
    assert state.stable is not None and state.stable.release == B


def test_an_endpoint_can_be_suspended_before_anything_served():
    denied("suspended since entry 10", check_serving, after(SUSPEND))


@pytest.mark.parametrize(
    ("epoch", "resumes"),
    [(12, False), (11, True), (13, True), (-1, True)],
    ids=["does not resume", "opened before the suspension", "opened for a later state", "opened for nothing"],
)
def test_only_a_change_that_was_opened_for_the_suspension_and_resumes_ends_it(epoch, resumes):
    state = after(activate(A), activate(B, A), SUSPEND)

    denied("suspended since entry 12|has changed", check_activation, state, epoch, resumes=resumes)
    check_activation(state, 12, resumes=True)


def test_all_reasons_against_an_activation_are_given_at_once():
    state = after(activate(A), activate(B, A), SUSPEND)

    assert len(denied("prod/magika", check_activation, state, 11, resumes=False)) == 2


@pytest.mark.parametrize(("state", "epoch"), [(nothing_at(PROD), -1), (after(activate(A)), 10)])
def test_a_change_is_carried_out_only_on_the_state_that_it_was_opened_for(state, epoch):
    check_activation(state, epoch, resumes=False)
    for other in (epoch - 1, epoch + 1):
        denied("prod/magika has changed", check_activation, state, other, resumes=False)


def test_a_state_that_only_looks_the_same_is_another_one():
    opened_for = after(activate(A))
    state = after(activate(A), activate(B, A), activate(A, B))

    assert state.stable.release == opened_for.stable.release
    denied("prod/magika has changed", check_activation, state, opened_for.epoch, resumes=False)


def test_a_resumption_serves_again():
    state = after(activate(A), SUSPEND, activate(A, A, 12))

    assert check_serving(state).release == A and not state.suspended


@given(st.lists(st.sampled_from(["activate", "roll back", "suspend", "resume"]), max_size=60), st.data())
def test_any_sequence_of_commands_keeps_the_picture(commands, data):
    stack: list[Digest] = []
    state, suspended, returned = nothing_at(PROD), False, False
    for index, command in enumerate(commands, 100):
        before = stack[-1] if stack else None
        try:
            if command == "suspend":
                state, suspended = evolve(state, SUSPEND, index, NOW), True
            elif command == "roll back":
                target = check_rollback(state)
                state = evolve(state, roll_back(target.release, before), index, NOW)
                stack.pop()
                returned = True
                assert not suspended and stack[-1] == target.release
            else:
                check_activation(state, state.epoch, resumes=command == "resume")
                release = data.draw(st.sampled_from(RELEASES))
                state = evolve(state, activate(release, before, index), index, NOW)
                assert not suspended or command == "resume"
                stack, suspended, returned = [*stack, release][-KEPT:], False, False
        except DeniedError:
            assert suspended or (command == "roll back" and (len(stack) < 2 or returned))
        assert [slot.release for slot in state.slots] == stack and state.suspended == suspended
        if suspended or not stack:
            denied("nothing", check_serving, state)
        else:
            assert check_serving(state).release == stack[-1]


def roll_out(release=B, before=A, change=5):
    return Activated(PROD, TAG, release, before, change, DECISION, STRATEGY)


def begun(*events):
    return after(activate(A), roll_out(), *events)


def stepped(step, weight):
    return Stepped(PROD, 5, step, weight, ORDER)


PROMOTED = Promoted(PROD, TAG, B, A, 5, ORDER)
ABORTED = Aborted(PROD, TAG, B, 5, "person", suspends=False, why=ORDER)


def test_what_is_activated_with_a_strategy_is_a_candidate_beside_what_is_stable():
    state = begun()

    assert check_serving(state).release == A and state.epoch == 11
    assert check_rollout(state) == Rollout(Slot(TAG, B, 5, DECISION, 11, NOW, epoch=11), STRATEGY, NOW)
    assert check_share(state, A) == Share(state.stable, 100) and check_share(state, B).weight == 0


def test_both_have_their_share_of_the_traffic_and_an_epoch_of_their_own():
    state = begun(stepped(0, 5), stepped(1, 30))

    assert (check_share(state, A).weight, check_share(state, B).weight) == (70, 30)
    assert (check_share(state, A).slot.epoch, check_share(state, B).slot.epoch) == (10, 11)
    denied("prod/magika serves magika@1.0.0, not", check_share, state, C)


def test_a_promotion_makes_the_candidate_stable_and_changes_nothing_for_who_serves_it():
    state = begun(stepped(0, 100), PROMOTED)

    assert check_share(state, B) == Share(Slot(TAG, B, 5, DECISION, 11, NOW, epoch=11, promoted=13), 100)
    assert state.rollout is None and state.epoch == 13 and check_rollback(state).release == A
    denied("serves magika@1.0.0, not", check_share, state, A)


def test_an_abort_leaves_what_was_stable_as_it_was():
    state = begun(stepped(0, 50), ABORTED)

    assert check_share(state, A) == Share(after(activate(A)).stable, 100)
    assert state.rollout is None and state.epoch == 13 and not state.suspended
    denied("serves magika@1.0.0, not", check_share, state, B)
    denied("no rollout is in flight at prod/magika", check_rollout, state)


@pytest.mark.parametrize("end", [SUSPEND, replace(ABORTED, suspends=True)], ids=["suspended", "aborted and suspended"])
def test_a_shutdown_leaves_neither_of_them(end):
    state = begun(stepped(0, 50), end)

    assert state.suspended and state.rollout is None and state.epoch == 13
    for release in (A, B):
        denied("is suspended since entry 13", check_share, state, release)


def test_while_a_rollout_is_in_flight_nothing_else_comes_and_nothing_goes_back():
    state = after(activate(C), activate(A, C), roll_out())

    reason = "change 5 rolls magika@1.0.0 out at prod/magika: promote it or abort it first"
    denied(reason, check_activation, state, state.epoch, resumes=False)
    denied(reason, check_activation, state, state.epoch, resumes=True)
    denied(reason, check_rollback, state)
    assert len(denied("has changed", check_activation, state, 3, resumes=False)) == 2


def test_a_candidate_needs_another_release_that_serves():
    assert check_candidate(after(activate(A)), B).release == A
    reason = "nothing serves at prod/magika that a candidate could be compared with"
    denied(reason, check_candidate, nothing_at(PROD), B)
    denied(reason, check_candidate, after(activate(A), SUSPEND), B)
    denied("prod/magika serves magika@1.0.0 already", check_candidate, after(activate(A)), A)


@pytest.mark.parametrize("state", [nothing_at(PROD), after(activate(A), SUSPEND), begun()])
def test_a_log_in_which_a_rollout_began_where_none_could_is_refused(state):
    with pytest.raises(VerificationError, match="the log holds a rollout at prod/magika that could not begin there"):
        evolve(state, roll_out(), 20, NOW)


@pytest.mark.parametrize("event", [PROMOTED, ABORTED, stepped(0, 5)])
def test_a_log_in_which_a_rollout_went_on_that_was_not_in_flight_is_refused(event):
    with pytest.raises(VerificationError, match="which is not in flight"):
        evolve(after(activate(A)), event, 20, NOW)


def test_after_a_rollback_the_slot_has_the_epoch_of_the_rollback_and_keeps_it_beside_a_candidate():
    returned = (activate(A), activate(B, A), roll_back(A, B))
    state = after(*returned, roll_out(C, A))

    assert check_share(state, A).slot.epoch == 12 and state.stable.index == 10 and state.epoch == 13
    aborted = evolve(state, replace(ABORTED, release=C), 14, NOW)
    assert check_share(aborted, A).slot.epoch == 12 and aborted.rolled_back_by == ORDER
    denied("was rolled back already", check_rollback, aborted)


@pytest.mark.parametrize(
    ("end", "outcome", "trigger"),
    [
        (PROMOTED, "promoted", None),
        (ABORTED, "aborted", "person"),
        (replace(ABORTED, trigger="metric:errors", suspends=True), "aborted", "metric:errors"),
        (SUSPEND, "suspended", None),
    ],
)
def test_how_the_last_rollout_ended_is_remembered(end, outcome, trigger):
    ended = begun(stepped(0, 50), end).ended

    assert ended == Ended(5, TAG, B, outcome, trigger, ORDER, NOW)
    assert after(activate(A), SUSPEND).ended is None


def test_a_rollout_in_flight_that_an_older_version_stored_is_read_and_what_a_newer_one_did_is_not_guessed():
    state = begun(stepped(0, 5))
    stored = canonical.parse_object(plain.encode(state))
    older = {name: found for name, found in stored.items() if found is not None}

    assert older.keys() < stored.keys() and plain.decode(State, canonical.encode(older)) == state
    with pytest.raises(VerificationError, match="unknown member 'shadow'"):
        plain.decode(State, canonical.encode({**stored, "shadow": 1}))


def test_a_rollout_that_is_promoted_forgets_a_rollback_and_the_next_one_the_end_of_this():
    assert begun(PROMOTED).rolled_back_by is None
    again = evolve(begun(ABORTED), roll_out(C, A, 6), 30, NOW)

    assert again.ended is not None and check_rollout(again).change == 6
