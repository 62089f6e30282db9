"""How does a rollout go on, and how does it end? By a controller that looks again and again, or by an authorised hand.

    controller: signals ──▶ state and strategy, as they are now ──▶ decide ──▶ append, or nothing is to be done
    person:     signed intent ──▶ right, state ──▶ append

Both append on what they read: if anything happened to the endpoint meanwhile, nothing is done. What a controller
appends has a key of its own for each change and step, so that two of them do it once. The change closes with it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.find_revoked import check_candidate_stands
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.publish_checkpoint import anchored
from lockgate.core import change
from lockgate.core.endpoint import State, check_rollout
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import Event
from lockgate.core.rollout import (
    PERSON,
    Abort,
    Aborted,
    Advance,
    Decision,
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
    next_step,
)
from lockgate.core.strategy import Strategy, open_strategy
from lockgate.errors import ConflictError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

CONTROLLER = "controller"

Why: TypeAlias = tuple[Digest, Name | None]
Act: TypeAlias = Callable[[State, Rollout, Why, Transaction], Sequence[Event]]


def go_on(
    installation: Installation, endpoint: Endpoint, signals: Signals, evidence: bytes, now: datetime
) -> Receipt | None:
    """Do what follows from `signals`, once; None if there is nothing to do. `evidence` says on which numbers.

    Raises `DeniedError` if no rollout is in flight, `ConflictError` if somebody else was faster: look again.

    Enforces: gradual_rollout
    """
    with installation.ledger.transaction() as tx:
        state = loaded_endpoint(tx, endpoint)
        rollout = check_rollout(state)
        installation.watch.known(to_act=True)
        decision = decide(_strategy(rollout, tx), rollout, signals, now)
        if isinstance(decision, Stay):
            return None
        events = _events(installation, state, decision, (tx.keep(evidence), None), tx)
        receipt = tx.append(events, actor=CONTROLLER, key=_key(rollout, decision), at=now)
    return anchored(installation, receipt) if isinstance(decision, Abort) and decision.suspends else receipt


def hold_unread(installation: Installation, endpoint: Endpoint, because: str, now: datetime) -> Receipt | None:
    """Ask a person what is to become of a rollout that this version cannot judge; None if one is asked already.

    Nothing is guessed: not what another version wrote, nor what it would do.
    """
    with installation.ledger.transaction() as tx:
        state = loaded_endpoint(tx, endpoint)
        rollout = check_rollout(state)
        if rollout.paused not in (None, "step"):
            return None
        decision = Hold("inconclusive")
        events = _events(installation, state, decision, (tx.keep(because.encode()), None), tx)
        return tx.append(events, actor=CONTROLLER, key=_key(rollout, decision), at=now)


def pause(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    """Keep a rollout where it is until somebody resumes it; what fails is aborted all the same."""

    def act(state: State, rollout: Rollout, why: Why, _tx: Transaction) -> Sequence[Event]:
        check_pause(rollout)
        return [Paused(state.endpoint, rollout.change, "person", *why)]

    return _ordered(installation, endpoint, "rollout.pause", signed, now, act)


def resume(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    """Let a rollout go on from where it is."""

    def act(state: State, rollout: Rollout, why: Why, _tx: Transaction) -> Sequence[Event]:
        check_resume(rollout)
        return [Resumed(state.endpoint, rollout.change, *why)]

    return _ordered(installation, endpoint, "rollout.resume", signed, now, act)


def step(installation: Installation, endpoint: Endpoint, seen: int, signed: SignedIntent, now: datetime) -> Receipt:
    """Go one step on from the step that was `seen`, on the word of a person instead of evidence."""
    if not installation.done(signed, "rollout.step"):
        check_candidate_stands(installation, endpoint)

    def act(state: State, rollout: Rollout, why: Why, tx: Transaction) -> Sequence[Event]:
        if rollout.step != seen:
            raise ConflictError(f"the rollout is at step {rollout.step + 1} by now, not at step {seen + 1}")
        return _events(installation, state, next_step(_strategy(rollout, tx), rollout), why, tx)

    return _ordered(installation, endpoint, "rollout.step", signed, now, act)


def promote(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    """Make the candidate the stable release at once, on the word of a person."""
    if not installation.done(signed, "rollout.promote"):
        check_candidate_stands(installation, endpoint)
    return _ordered(installation, endpoint, "rollout.promote", signed, now, _decided(installation, Promote()))


def abort(installation: Installation, endpoint: Endpoint, signed: SignedIntent, now: datetime) -> Receipt:
    """Take everything from the candidate: the stable release has all traffic, as before.

    Enforces: gradual_rollout, complete_rollback
    """
    return _ordered(installation, endpoint, "rollout.abort", signed, now, _decided(installation, Abort(PERSON)))


def closed(rollout: Rollout | None, outcome: change.Outcome) -> Sequence[Event]:
    """Close the change of a rollout, if there is one."""
    return [] if rollout is None else [change.Closed(rollout.change, outcome)]


def aborted(state: State, decision: Abort, why: Why) -> Sequence[Event]:
    """Say what an abort means for the log: the candidate is gone, and its change is closed."""
    rollout = check_rollout(state)
    slot = rollout.candidate
    outcome: change.Outcome = "failed" if decision.suspends else "rolled-back"
    end = Aborted(state.endpoint, slot.tag, slot.release, slot.change, decision.trigger, decision.suspends, *why)
    return [end, *closed(rollout, outcome)]


def _ordered(
    installation: Installation, endpoint: Endpoint, act: str, signed: SignedIntent, now: datetime, do: Act
) -> Receipt:
    if done := installation.done(signed, act):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, act, now, tx)
        state = loaded_endpoint(tx, endpoint)
        rollout = check_rollout(state)
        assert state.stable is not None, "a rollout begins beside a stable release"
        check_intent(said, act, endpoint, before=state.stable.release, after=rollout.candidate.release)
        events = do(state, rollout, (tx.keep(plain.encode(signed)), said.actor.name), tx)
        return tx.append(events, actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _decided(installation: Installation, decision: Decision) -> Act:
    return lambda state, _rollout, why, tx: _events(installation, state, decision, why, tx)


def _events(installation: Installation, state: State, decision: Decision, why: Why, tx: Transaction) -> Sequence[Event]:
    """Say what a decision means for the log."""
    rollout, endpoint = check_rollout(state), state.endpoint
    slot, number = rollout.candidate, rollout.change
    match decision:
        case Advance():
            stepped = Stepped(endpoint, number, decision.step, decision.weight, *why)
            return [stepped, Paused(endpoint, number, "step", *why)] if decision.holds else [stepped]
        case Hold():
            return [Paused(endpoint, number, decision.cause, *why)]
        case Promote():
            installation.revocations([slot.release], tx).check_release(slot.release)
            assert state.stable is not None, "a rollout begins beside a stable release"
            promoted = Promoted(endpoint, slot.tag, slot.release, state.stable.release, number, *why)
            return [promoted, *closed(rollout, "succeeded")]
        case Abort():
            return aborted(state, decision, why)
        case Stay():
            return []


def _strategy(rollout: Rollout, tx: Transaction) -> Strategy:
    return open_strategy(tx.document(rollout.strategy), rollout.strategy)


def _key(rollout: Rollout, decision: Decision) -> Digest:
    """Name what a controller does, so that it is done once: a step of a change, a pause there, the end of a change."""
    place = {Advance: rollout.step + 1, Hold: plain.to_plain(rollout.since)}.get(type(decision), "end")
    return Digest.of(canonical.encode({"act": "rollout/v1", "change": rollout.change, "place": place}))
