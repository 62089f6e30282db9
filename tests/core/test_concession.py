"""What is due for what was let through, who may review it, and what must be known of it?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.concession import Lapsed, Made, Missed, Reviewed, check_review, evolve, flags, overdue
from lockgate.core.override import Aside, SetAside
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from tests.world import NOW, PROD

ALICE, BOB, OLIVIA = Name("alice"), Name("bob"), Name("olivia")
A, TAG = Digest.of(b"a"), Tag.parse("magika@1.0.0")
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
ASIDE = SetAside(Aside("evaluation", "baseline"), OLIVIA, NOW + HOUR, A)
LATER = replace(ASIDE, what=Aside("scan", "scan"), until=NOW + 2 * HOUR)
MADE = Made(7, PROD, TAG, A, (ASIDE, LATER), NOW + 3 * HOUR, (ALICE, OLIVIA))


def after(*events, made=MADE):
    state = evolve(None, made, NOW)
    for event in events:
        state = evolve(state, event, NOW + HOUR)
    return state


REVIEWED = Reviewed(7, "rejected", BOB, A, A, A)


def due(state, at, *, serves=True):
    return [type(event) for event in overdue(state, at, serves=serves)]


@pytest.mark.parametrize(
    ("at", "serves", "expected"),
    [
        (NOW + HOUR - TICK, True, []),
        (NOW + HOUR, True, [Lapsed]),
        (NOW + HOUR, False, []),
        (NOW + 3 * HOUR - TICK, False, []),
        (NOW + 3 * HOUR, False, [Missed]),
        (NOW + 3 * HOUR, True, [Lapsed, Missed]),
    ],
)
def test_what_is_over_is_due_from_that_instant_on(at, serves, expected):
    assert due(after(), at, serves=serves) == expected


def test_what_was_told_is_not_due_again():
    lapsed, missed = Lapsed(7, PROD, TAG, LATER.until), Missed(7, PROD, TAG, NOW)

    assert due(after(lapsed), NOW + 3 * HOUR) == [Missed]
    assert due(after(lapsed, missed), NOW + 9 * HOUR) == []
    assert due(after(lapsed, REVIEWED), NOW + 9 * HOUR) == []


def test_each_override_that_is_over_is_told_once():
    first = after(Lapsed(7, PROD, TAG, ASIDE.until))

    assert due(first, LATER.until - TICK) == []
    assert due(first, LATER.until) == [Lapsed]
    assert [event.until for event in overdue(after(), LATER.until, serves=True)] == [LATER.until]
    assert due(replace(first, lapsed_until=None), LATER.until) == [Lapsed]  # as it was written down before


def test_without_an_override_or_an_emergency_nothing_is_due():
    assert due(after(made=replace(MADE, aside=())), NOW + 2 * HOUR) == []
    assert due(after(made=replace(MADE, due=None, aside=())), NOW + 99 * HOUR) == []
    assert after(made=replace(MADE, aside=())).until is None


@pytest.mark.parametrize(
    ("state", "by", "reason"),
    [
        (None, BOB, "change 7 was not carried out as an emergency"),
        (after(made=replace(MADE, due=None)), BOB, "change 7 was not carried out as an emergency"),
        (after(), ALICE, "alice took part in change 7"),
        (after(), OLIVIA, "olivia took part in change 7"),
        (after(REVIEWED), BOB, "was reviewed by bob already: rejected"),
    ],
)
def test_only_who_took_no_part_reviews_once(state, by, reason):
    with pytest.raises(DeniedError, match=reason):
        check_review(state, 7, by)
    assert check_review(after(), 7, BOB) == after()


@pytest.mark.parametrize(
    ("state", "at", "serves", "says"),
    [
        (after(), NOW, True, ["baseline, overridden by olivia: until", "scan:scan", "a review is due by"]),
        (after(), NOW + HOUR, True, ["baseline, overridden by olivia: the override has expired", "scan", "due by"]),
        (after(), NOW + HOUR, False, ["a review is due by"]),
        (after(), NOW + 3 * HOUR, False, ["the review is overdue since"]),
        (after(replace(REVIEWED, verdict="accepted")), NOW + 3 * HOUR, False, []),
        (after(REVIEWED), NOW + 3 * HOUR, False, ["bob rejected it in review"]),
        (after(made=replace(MADE, due=None)), NOW, False, []),
    ],
)
def test_who_looks_is_told(state, at, serves, says):
    found = list(flags(state, at, serves=serves))

    assert len(found) == len(says), found
    assert all(part in line for part, line in zip(says, found, strict=True)), found


def test_a_log_that_goes_on_with_what_never_began_is_refused():
    with pytest.raises(VerificationError, match="which needed no concession"):
        evolve(None, REVIEWED, NOW)
