"""How may a change live? Opened once, decided once, over for good; any sequence of commands keeps the picture."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.core.change import (
    Approved,
    Authorized,
    Closed,
    Content,
    Opened,
    Rejected,
    Withdrawn,
    check_approval,
    check_open,
    check_policy,
    check_withdrawal,
    evolve,
)
from lockgate.errors import DeniedError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from tests.core.dossiers import content_of, release
from tests.world import NOW, PROD, policy

ALICE, BOB, CAROL = Name("alice"), Name("bob"), Name("carol")
DIGEST, OTHER = Digest.of(b"x"), Digest.of(b"y")
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
OPENED = Opened(PROD, DIGEST, DIGEST, ALICE)
APPROVED = Approved(7, DIGEST, BOB, NOW + HOUR)
OVER = [Rejected(7, BOB), Withdrawn(7, ALICE), Authorized(7, DIGEST, DIGEST, DIGEST), Closed(7, "succeeded")]


def after(*events):
    change = evolve(None, OPENED, 7, NOW)
    for index, event in enumerate(events, 8):
        change = evolve(change, event, index, NOW)
    return change


def denied(reason, check, *arguments):
    with pytest.raises(DeniedError, match=reason):
        check(*arguments)


def test_a_change_is_numbered_by_its_entry_and_open():
    change = after()

    assert (change.number, change.author, change.phase, change.approvals) == (7, ALICE, "opened", ())
    assert (change.endpoint, change.content, change.opening, change.opened_at) == (PROD, DIGEST, DIGEST, NOW)
    check_open(change)
    check_approval(change, BOB, NOW)
    check_withdrawal(change, ALICE)


@pytest.mark.parametrize("event", OVER)
def test_what_was_decided_cannot_be_decided_again(event):
    change = after(APPROVED, event)

    for check in (check_open, lambda it: check_approval(it, CAROL, NOW), lambda it: check_withdrawal(it, ALICE)):
        denied(f"change 7 is {change.phase}, not opened", check, change)
    assert change.phase == type(event).__name__.lower()


def test_nobody_approves_twice_while_their_approval_is_in_force():
    denied("bob has approved change 7 already", check_approval, after(APPROVED), BOB, NOW + HOUR - TICK)
    check_approval(after(APPROVED), BOB, NOW + HOUR)
    check_approval(after(APPROVED), CAROL, NOW)


def test_a_new_approval_takes_the_place_of_the_expired_one():
    later = replace(APPROVED, approval=OTHER, expires=NOW + 2 * HOUR)

    (only,) = after(APPROVED, later).approvals
    assert (only.by, only.approval, only.expires) == (BOB, OTHER, NOW + 2 * HOUR)
    assert [one.by for one in after(APPROVED, replace(APPROVED, by=CAROL)).approvals] == [BOB, CAROL]


@pytest.mark.parametrize("who", [BOB, CAROL])
def test_only_who_opened_a_change_takes_it_back(who):
    denied(f"change 7 was opened by alice, so {who} cannot withdraw it", check_withdrawal, after(), who)


def test_the_decision_is_kept():
    assert after(Authorized(7, OTHER, DIGEST, DIGEST), Closed(7, "succeeded")).decision == OTHER


def test_another_policy_than_the_one_in_the_content_is_refused():
    content = content_of(release())
    digest = Digest.of(plain.encode(policy()))

    check_policy(content, digest)
    denied("was opened under policy .* now sha256:", check_policy, content, OTHER)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"endpoint": Endpoint.parse("prod/other")},
        {"tag": Tag.parse("magika@1.0.1")},
        {"release": DIGEST},
        {"before": DIGEST},
        {"resumes": True},
        {"policy": DIGEST},
        {"reason": "another"},
    ],
)
def test_every_part_of_the_content_is_in_its_digest(spoilt):
    content = content_of(release())

    assert replace(content, **spoilt).digest != content.digest


@given(st.lists(st.sampled_from(["approve", "approve too", "reject", "withdraw", "withdraw another's", "carry out"])))
def test_any_sequence_of_commands_keeps_the_picture(commands):
    change, phase, approvers = after(), "opened", set()
    for index, command in enumerate(commands, 8):
        by = CAROL if command == "approve too" else BOB
        try:
            if command.startswith("approve"):
                check_approval(change, by, NOW)
                change = evolve(change, replace(APPROVED, by=by), index, NOW)
                assert by not in approvers
                approvers.add(by)
            elif command.startswith("withdraw"):
                check_withdrawal(change, BOB if command.endswith("s") else ALICE)
                change, phase = evolve(change, Withdrawn(7, ALICE), index, NOW), "withdrawn"
            elif command == "reject":
                check_open(change)
                change, phase = evolve(change, Rejected(7, BOB), index, NOW), "rejected"
            else:
                check_open(change)
                for event in (Authorized(7, DIGEST, DIGEST, DIGEST), Closed(7, "succeeded")):
                    change = evolve(change, event, index, NOW)
                phase = "closed"
            assert change.phase == phase
        except DeniedError:
            assert phase != "opened" or by in approvers or command == "withdraw another's"
        assert change.phase == phase and {one.by for one in change.approvals} == approvers


def test_a_content_without_a_strategy_has_the_digest_that_it_had_before_there_were_any():
    content = content_of(release())
    written = canonical.parse_object(plain.encode(content))
    del written["strategy"], written["risk"]

    assert content.digest == Digest.of(canonical.encode(written)) == Digest.of(content.document)
    assert plain.decode(Content, content.document) == content == plain.decode(Content, plain.encode(content))


def test_an_emergency_is_another_content_and_names_its_risk_assessment():
    content = content_of(release(), kind="emergency", strategy=OTHER, risk=DIGEST)
    others = [replace(content, kind="normal"), replace(content, risk=OTHER), replace(content, risk=None)]

    assert len({one.digest for one in (content, *others)}) == 4
    assert plain.decode(Content, content.document) == content and b'"risk":"sha256:' in content.document


def test_a_content_with_a_strategy_names_it():
    content, other = (content_of(release(), strategy=digest) for digest in (DIGEST, OTHER))

    assert len({content.digest, other.digest, content_of(release()).digest}) == 3
    assert plain.decode(Content, content.document) == content and str(DIGEST).encode() in content.document


@pytest.mark.parametrize("outcome", ["succeeded", "rolled-back", "failed"])
def test_a_closed_change_says_how_it_ended(outcome):
    assert after(Authorized(7, DIGEST, DIGEST, DIGEST), Closed(7, outcome)).outcome == outcome
