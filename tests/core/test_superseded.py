"""Which release may finish what it began? The one that another replaced, and nothing that was stopped for any cause."""

from dataclasses import replace
from itertools import product

import pytest

from lockgate.core.endpoint import (
    Activated,
    RolledBack,
    State,
    Suspended,
    Tripped,
    check_share,
    check_superseded,
    evolve,
)
from lockgate.core.lease import Grant, Refused, Request, Superseded, Want, answer, open_grant, sign_grant
from lockgate.core.revocation import Revocations
from lockgate.core.rollout import Aborted, Promoted, Stepped
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.formats import canonical, dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.world import NOTHING_REVOKED, NOW, PROD, key, rules, trust

A, B, C = (Digest.of(bytes([number])) for number in range(3))
HOST, DAVE, ORDER, TAG = Name("host-1"), Name("dave"), Digest.of(b"order"), Tag.parse("magika@1.0.0")
OTHER = Endpoint.parse("prod/other")
RULES = {PROD: rules(), OTHER: rules()}


def activate(release, strategy=None):
    return Activated(PROD, TAG, release, None, 1, ORDER, strategy)


def promote(release):
    return Promoted(PROD, TAG, release, A, 1, ORDER)


def abort(release, *, suspends=False):
    return Aborted(PROD, TAG, release, 1, "errors", suspends, ORDER)


BACK = RolledBack(PROD, TAG, A, B, DAVE, ORDER)
SUSPEND = Suspended(PROD, DAVE, ORDER)
TRIP = Tripped(PROD, Name("storm"), ORDER, ORDER)
STEP = Stepped(PROD, 1, 0, 20, ORDER)
CANDIDATE = activate(B, ORDER)


def after(*events):
    state = None
    for index, event in enumerate(events, 10):
        state = evolve(state, event, index, NOW)
    assert state is not None
    return state


def answered(state, release=A, *, endpoint=PROD, ruled=RULES, revoked=NOTHING_REVOKED):
    request = Request(HOST, "n" * 16, (Want(endpoint, release),), "sealed")
    grant = answer(request, {PROD: state}, ruled, revoked)
    assert len(grant.granted) + len(grant.refused) + len(grant.superseded or ()) == 1
    return (grant.superseded or grant.granted or grant.refused)[0]


@pytest.mark.parametrize(
    ("events", "release", "epoch", "by"),
    [
        ((activate(A), activate(B)), A, 10, B),
        ((activate(A), CANDIDATE, STEP, promote(B)), A, 10, B),
        ((activate(A), activate(B), BACK), B, 11, A),
        ((activate(A), activate(B), activate(C)), A, 10, C),
        ((activate(A), activate(B), activate(C, ORDER)), A, 10, B),
        ((SUSPEND, activate(A), activate(B)), A, 11, B),
        ((activate(A), activate(B), activate(A), activate(B)), A, 12, B),
    ],
)
def test_what_another_release_replaced_is_superseded_with_the_epoch_that_it_had(events, release, epoch, by):
    assert answered(after(*events), release) == Superseded(PROD, release, epoch, by)


@pytest.mark.parametrize(
    ("events", "release", "more"),
    [
        ((activate(A), activate(B), SUSPEND), A, {}),
        ((activate(A), activate(B), SUSPEND, activate(C)), A, {}),
        ((activate(A), activate(B), SUSPEND, activate(C)), B, {}),
        ((activate(A), SUSPEND, activate(B)), A, {}),
        ((activate(A), activate(B), TRIP), A, {}),
        ((activate(A), activate(B), TRIP, activate(C)), A, {}),
        ((activate(A), CANDIDATE, abort(B)), B, {}),
        ((activate(A), CANDIDATE, STEP, abort(B, suspends=True)), A, {}),
        ((activate(A), CANDIDATE, SUSPEND, activate(C)), A, {}),
        ((activate(A), CANDIDATE, SUSPEND, activate(C)), B, {}),
        ((activate(A), activate(C), CANDIDATE, abort(B, suspends=True), activate(B)), A, {}),
        ((activate(A), activate(B)), C, {}),
        ((activate(A), activate(B)), A, {"endpoint": OTHER}),
        ((activate(A), activate(B)), A, {"ruled": {}}),
        ((activate(A), activate(B)), A, {"revoked": "it is"}),
    ],
)
def test_what_was_stopped_or_never_served_is_refused(events, release, more, deny_list):
    if "revoked" in more:
        more = {"revoked": deny_list(release)}

    assert isinstance(answered(after(*events), release, **more), Refused)


@pytest.fixture
def deny_list():
    class Listed(Revocations):
        def check_release(self, release):
            raise DeniedError(f"{release} is revoked")

    return lambda _release: Listed(PROD.environment, ())


def test_what_serves_is_never_superseded_also_if_it_was_before():
    assert answered(after(activate(A), activate(B), activate(A))).epoch == 12
    assert answered(after(activate(A), activate(B), activate(A, ORDER))).candidate is True
    with pytest.raises(DeniedError, match="has not superseded"):
        check_superseded(after(activate(A), activate(B), activate(A)), A)


EVENTS = (
    activate(A),
    activate(B),
    activate(C, ORDER),
    STEP,
    promote(C),
    abort(C),
    abort(C, suspends=True),
    BACK,
    TRIP,
    SUSPEND,
)


def states(most):
    """Walk every sequence of events that a log can hold."""
    for events in product(EVENTS, repeat=most):
        state = None
        try:
            for index, event in enumerate(events, 10):
                state = evolve(state, event, index, NOW)
                if event is BACK and not state.slots:
                    break
                yield events[: index - 9], state
        except (LockgateError, AssertionError, IndexError):
            continue


def test_over_all_ways_only_what_served_since_the_last_shutdown_and_serves_no_more_is_superseded():
    seen = 0
    for events, state in states(4):
        last = max(
            (i for i, each in enumerate(events) if each in (SUSPEND, TRIP) or getattr(each, "suspends", False)),
            default=-1,
        )
        since = {event.release for event in events[last + 1 :] if isinstance(event, Activated)}
        for release in (A, B, C):
            try:
                slot = check_superseded(state, release)
            except DeniedError:
                continue
            seen += 1
            assert release in since and slot.release == release and not state.suspended
            assert state.stable is not None and state.stable.release != release
            with pytest.raises(DeniedError):
                check_share(state, release)
    assert seen > 100


def test_a_state_of_before_there_was_such_a_thing_supersedes_nothing():
    state = plain.to_plain(after(activate(A), activate(B)))
    old = plain.from_plain(State, {name: value for name, value in state.items() if name != "superseded"})

    assert isinstance(answered(old), Refused)


REQUESTED = Request(HOST, "n" * 16, (Want(PROD, A),), "sealed")
SAID = Superseded(PROD, A, 10, B)
GIVEN = Grant(HOST, "n" * 16, (), (), (SAID,))


def test_what_is_superseded_is_signed_for_who_asked_as_any_answer():
    assert open_grant(sign_grant(GIVEN, key("prod-lease")), REQUESTED, trust(), NOW) == GIVEN


@pytest.mark.parametrize(
    ("spoilt", "signer", "reason"),
    [
        ({}, "mallory", "no key that is trusted"),
        ({}, "prod-vsa", "no key that is trusted"),
        ({"nonce": "m" * 16}, "prod-lease", "answers another request"),
        ({"superseded": (Superseded(OTHER, A, 10, B),)}, "prod-lease", "not asked for"),
        ({"superseded": (Superseded(PROD, B, 10, A),)}, "prod-lease", "not asked for"),
        ({"superseded": (SAID, SAID)}, "prod-lease", "something twice"),
        ({"granted": (answered(after(activate(A))),)}, "prod-lease", "something twice"),
    ],
)
def test_what_is_said_by_another_or_of_another_or_beside_a_grant_is_worth_nothing(spoilt, signer, reason):
    with pytest.raises(VerificationError, match=reason):
        open_grant(sign_grant(replace(GIVEN, **spoilt), key(signer)), REQUESTED, trust(), NOW)


def test_an_answer_of_before_there_was_such_a_thing_counts():
    old = {name: value for name, value in plain.to_plain(GIVEN).items() if name != "superseded"}
    document = dsse.sign(canonical.encode(old), "application/vnd.lockgate.lease+json", [key("prod-lease")]).encode()

    assert open_grant(document, REQUESTED, trust(), NOW).superseded is None
