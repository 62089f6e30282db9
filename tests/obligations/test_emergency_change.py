"""Is an emergency assessed in writing, authorised in time, rolled out with stricter guards, and reviewed by a date?"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.issue_passport import logged_at, passport_for
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.controllers.concessions import Concessions
from lockgate.core.concession import Missed, flags
from lockgate.core.evidence import Verdict
from lockgate.core.journal import read_fact
from lockgate.core.policy import Approvals
from lockgate.core.rights import Role
from lockgate.core.strategy import Pause, SetWeight
from lockgate.errors import LockgateError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.strategies import CANARY, DEMANDS, canary
from tests.exceptional import (
    HURRY,
    RISK,
    authorized,
    conceded,
    hurried,
    lenient,
    lenient_world,
    overridden,
    reviewed,
)
from tests.rolling import try_candidate
from tests.world import PROD, World

MINUTE, DAY, TICK = timedelta(minutes=1), timedelta(days=1), timedelta(microseconds=1)
HASTY = canary(steps=(SetWeight(5), Pause(60), SetWeight(100)))


@pytest.fixture
def world() -> Iterator[World]:
    made = lenient_world()
    made.serve()
    yield made
    made.check()


def denied(reason: str, act, *arguments, **more) -> None:
    with pytest.raises(LockgateError, match=reason):
        act(*arguments, **more)


def fixed(world: World, *runs: object):
    release = world.register("1.1.0", weights=b"fixed")
    world.attest(release, world.built(), *runs)  # type: ignore[arg-type]
    return release


def carried_out(world: World) -> int:
    number = hurried(world, fixed(world))
    authorized(world, number)
    world.activate(number)
    return number


def test_an_emergency_is_carried_out_without_the_suite_and_every_host_proves_it(world: World) -> None:
    number = carried_out(world)

    admission = try_candidate(world)
    assert admission.permit.approvers == (Name("olivia"),) and admission.candidate
    assert admission.decision.emergency == Digest.of(RISK) == admission.content.risk
    found = conceded(world, number)
    assert found is not None and found.due == world.now + 14 * DAY
    assert found.involved == (Name("alice"), Name("dave"), Name("olivia"))


def test_without_the_emergency_the_missing_suite_blocks_it(world: World) -> None:
    number = world.open(fixed(world))
    world.approve(number)

    denied("suite file-types has no result", world.activate, number)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"risk": None}, "there is no risk assessment"),
        ({"risk": b""}, "the risk assessment says nothing"),
        ({"risk": b" \n\t "}, "the risk assessment says nothing"),
        ({"risk": b"\xff"}, "the risk assessment is no text"),
        ({"risk": b"x" * 65537}, "more than 65536"),
        ({"strategy": None}, "an emergency comes by a rollout beside what serves: it needs a strategy"),
        ({"strategy": HASTY}, "the policy demands 300 s"),
        ({"resumes": True}, "is not suspended, so nothing is to be resumed"),
        ({"who": "bob"}, "bob has no right to change.open"),
        ({"kind": "normal"}, "only an emergency has a risk assessment"),
    ],
)
def test_a_near_miss_of_an_emergency_is_not_opened(world: World, changes: dict[str, object], reason: str) -> None:
    release = fixed(world)
    size = world.memory.size()

    denied(reason, hurried, world, release, **changes)
    assert world.memory.size() == size


def test_a_risk_assessment_is_the_one_that_the_content_names(world: World) -> None:
    from tests.rolling import content

    release = fixed(world)
    asked = content(world, release, CANARY, kind="emergency", risk=Digest.of(b"another"))
    said = world.say("alice", "change.open", PROD, before=asked.before, after=asked.digest)
    from lockgate.app.decide_change import open_change
    from lockgate.formats import plain

    denied("not sha256", open_change, world.installation, asked, said, world.now, plain.encode(CANARY), RISK)


def test_nothing_is_resumed_and_nothing_begins_by_an_emergency(world: World) -> None:
    release = fixed(world)
    world.shut_down()

    denied("no other release to compare|nothing serves", hurried, world, release)
    denied("it needs a strategy", hurried, world, release, strategy=None)
    empty = lenient_world()
    denied("no other release to compare|nothing serves", hurried, empty, fixed(empty))


def test_where_the_policy_knows_none_there_is_none() -> None:
    world = lenient_world(emergencies=None)
    world.serve()

    denied("the policy knows no emergency at prod/magika", hurried, world, fixed(world))


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("bob", "bob has no right to emergency.approve"),
        ("dave", "dave has no right to emergency.approve"),
        ("ann", "ann has no right to emergency.approve"),
        ("ci", "ci has no right to emergency.approve"),
    ],
)
def test_nobody_but_the_security_authority_approves_it(world: World, who: str, reason: str) -> None:
    number = hurried(world, fixed(world))

    denied(reason, authorized, world, number, who)
    denied("is approved by its security authority: it is emergency", world.approve, number)
    denied("0 of 1 approvals by somebody with the role security-authority", world.activate, number)


def test_the_authority_approves_nothing_else(world: World) -> None:
    release = fixed(world, world.ran())
    number = world.open(release)

    denied("is approved by ordinary approvers: it is normal", authorized, world, number)
    denied("olivia has no right to change.approve", world.approve, number, "olivia")


def test_the_authority_is_no_author_of_it() -> None:
    world = lenient_world()
    world.serve()
    release = world.register("1.1.0", weights=b"fixed", authors=(Name("alice"), Name("olivia")))
    world.attest(release, world.built())
    number = hurried(world, release)

    denied("olivia is an author of change", authorized, world, number)
    denied("0 of 1 approvals", world.activate, number)


def test_it_is_decided_within_its_minutes(world: World) -> None:
    number = hurried(world, fixed(world))
    world.now += 60 * MINUTE
    authorized(world, number)
    world.now += TICK

    denied("is decided within 60 minutes", world.activate, number)
    world.now -= TICK
    world.activate(number)


def test_an_approval_that_comes_too_late_is_not_taken(world: World) -> None:
    number = hurried(world, fixed(world))
    world.now += 60 * MINUTE + TICK

    denied("is decided within 60 minutes", authorized, world, number)


def test_a_suite_that_the_policy_names_for_it_holds_even_then() -> None:
    world = lenient_world(emergencies=replace(HURRY, evaluations=("file-types",)))
    world.serve()
    number = hurried(world, fixed(world))
    authorized(world, number)

    denied("suite file-types has no result", world.activate, number)


def test_a_result_that_failed_is_in_the_way_also_of_an_emergency(world: World) -> None:
    number = hurried(world, fixed(world, world.ran(Verdict.FAILED)))
    authorized(world, number)

    denied("suite file-types FAILED", world.activate, number)


@pytest.mark.parametrize("accuracy", ["0.02", "0.9499"])
def test_a_result_that_does_not_reach_what_is_demanded_is_in_the_way_whatever_it_calls_itself(
    world: World, accuracy: str
) -> None:
    number = hurried(world, fixed(world, world.ran(accuracy=accuracy)))
    authorized(world, number)

    denied(f"accuracy is '{accuracy}', at least 0.95 is wanted", world.activate, number)


def test_the_authority_does_not_override_and_approve(world: World) -> None:
    number = hurried(world, fixed(world, world.ran(Verdict.FAILED)))
    overridden(world, number)
    authorized(world, number)

    denied("olivia overrode what is against this change, so somebody else approves it", world.activate, number)


def test_a_result_that_is_old_is_as_good_as_none(world: World) -> None:
    release = fixed(world, world.ran())
    world.now += 31 * DAY
    number = hurried(world, release)
    authorized(world, number)

    world.activate(number)


def test_provenance_is_asked_for_even_then(world: World) -> None:
    release = world.register("1.1.0", weights=b"fixed")
    number = hurried(world, release)
    authorized(world, number)

    denied("no provenance", world.activate, number)


def test_two_authorities_are_two_people() -> None:
    world = lenient_world(emergencies=replace(HURRY, authority=Approvals(2, Role.SECURITY_AUTHORITY)))
    world.serve()
    number = hurried(world, fixed(world))
    authorized(world, number)

    denied("1 of 2 approvals by somebody with the role security-authority", world.activate, number)
    denied("olivia has approved change .* already", authorized, world, number)


def test_a_lying_server_cannot_make_it_later_or_lesser(world: World) -> None:
    number = hurried(world, fixed(world))
    authorized(world, number)
    world.activate(number)
    passport = passport_for(world.installation, PROD, candidate=True)
    case = passport.case
    assert case is not None and case.opened is not None

    def without(**changes: object) -> None:
        try_candidate(world, replace(passport, case=replace(case, **changes)))  # type: ignore[arg-type]

    denied("nobody proves when the emergency was opened", without, opened=None)
    denied("opens another change|is endpoint", without, opened=case.activated)
    denied("there is no risk assessment", without, risk=None)
    denied("the risk assessment is sha256", without, risk="another")
    denied("0 of 1 approvals", without, approvals=())


def test_the_opening_of_a_later_emergency_is_not_that_of_this_one(world: World) -> None:
    release = fixed(world)
    number, later = hurried(world, release), hurried(world, release)
    authorized(world, number)
    world.activate(number)
    passport = passport_for(world.installation, PROD, candidate=True)
    assert passport.case is not None
    opened = logged_at(world.installation, later, publish_checkpoint(world.installation))

    other = replace(passport, case=replace(passport.case, opened=opened))
    denied("the log entry of the passport opens another change", try_candidate, world, other)


def test_a_host_whose_policy_knows_no_emergency_refuses_it(world: World) -> None:
    carried_out(world)
    passport = passport_for(world.installation, PROD, candidate=True)
    world.policy = replace(lenient(emergencies=None), version=2)
    world.adopt(world.trust, world.policy)

    denied("the policy knows no emergency", try_candidate, world, passport)


def test_it_is_reviewed_by_somebody_who_took_no_part(world: World) -> None:
    number = carried_out(world)
    for who, reason in (
        ("olivia", "olivia took part in change"),
        ("alice", "alice has no right to change.review"),
        ("dave", "dave has no right to change.review"),
        ("ci", "ci has no right to change.review"),
    ):
        denied(reason, reviewed, world, number, who)
    denied("the report of the review says nothing", reviewed, world, number, report=b"\n")

    reviewed(world, number)
    found = conceded(world, number)
    assert found is not None and (found.verdict, found.reviewed_by) == ("accepted", Name("bob"))
    assert list(flags(found, world.now, serves=True)) == []
    denied("was reviewed by bob already: accepted", reviewed, world, number, "carol")


def test_only_an_emergency_that_was_carried_out_is_reviewed(world: World) -> None:
    number = hurried(world, fixed(world))
    denied("was not carried out as an emergency", reviewed, world, number)
    denied("was not carried out as an emergency", reviewed, world, world.change(5).number)


def test_a_review_is_of_that_content(world: World) -> None:
    number = carried_out(world)

    denied("the change contains", reviewed, world, number, content=Digest.of(b"other"))


def test_a_review_that_is_missed_is_told_once_and_flagged_until_it_comes(world: World) -> None:
    number = carried_out(world)
    controller = Concessions(world.installation, lambda: world.now)
    world.now += 14 * DAY - TICK
    controller.look()
    found = conceded(world, number)
    assert found is not None and not found.overdue
    assert "a review is due by" in next(flags(found, world.now, serves=False))

    world.now += TICK
    for _ in range(3):
        controller.look()

    entries = [read_fact(entry)[1] for entry in world.memory.entries(0, world.memory.size())]
    assert [type(event) for event in entries].count(Missed) == 1
    found = conceded(world, number)
    assert found is not None and found.overdue
    assert "the review is overdue since" in next(flags(found, world.now, serves=False))
    reviewed(world, number)
    assert list(flags(conceded(world, number) or found, world.now, serves=False)) == []


def test_a_review_in_time_is_never_overdue(world: World) -> None:
    number = carried_out(world)
    reviewed(world, number)
    world.now += 15 * DAY
    Concessions(world.installation, lambda: world.now).look()

    found = conceded(world, number)
    assert found is not None and not found.overdue


def test_a_rejected_review_stays_to_be_seen(world: World) -> None:
    number = carried_out(world)
    reviewed(world, number, verdict="rejected")
    found = conceded(world, number)

    assert found is not None
    assert "bob rejected it in review" in next(flags(found, world.now, serves=True))


def test_the_stricter_guards_are_those_of_the_policy() -> None:
    world = lenient_world(emergencies=replace(HURRY, rollout=replace(DEMANDS, first_weight=1)))
    world.serve()

    denied("the policy allows 1 %", hurried, world, fixed(world))
