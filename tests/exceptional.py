"""How does somebody do what is not the rule in the world of the tests: approve in another's place, override, hurry?"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from lockgate.app.concede import review
from lockgate.app.decide_change import approve_emergency, approve_in_place, open_change
from lockgate.app.delegate import delegate
from lockgate.app.override_objection import override_objection
from lockgate.app.ports import Receipt
from lockgate.core.change import Content
from lockgate.core.concession import Concession
from lockgate.core.delegation import Delegation
from lockgate.core.emergency import Review
from lockgate.core.evidence import Verdict
from lockgate.core.journal import change_subject, concession_subject, delegation_subject
from lockgate.core.override import Aside, Override, seen_of
from lockgate.core.policy import Approvals, Emergencies, Overrides, Policy, Rules
from lockgate.core.release import Release
from lockgate.core.rights import Role
from lockgate.core.strategy import Strategy
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.strategies import CANARY, DEMANDS
from tests.rolling import content
from tests.world import PROD, World, policy, rules

WHY = b"only the test set is broken, see incident 7"
RISK = b"rollback takes a minute; the old release leaks, the new one was read by two people"
REPORT = b"it was right to hurry"
BLOCK = Overrides((Name("olivia"),), ("evaluation",), 48)
HURRY = Emergencies(Approvals(1, Role.SECURITY_AUTHORITY), 60, (), DEMANDS, 14)


def lenient(**changes: object) -> Policy:
    """Write a policy that knows overrides and emergencies."""
    ruled: Rules = replace(rules(), **{"overrides": BLOCK, "emergencies": HURRY, **changes})  # type: ignore[arg-type]
    return replace(policy(), endpoints={str(PROD): ruled})


def lenient_world(**changes: object) -> World:
    """Found an installation under such a policy."""
    world = World(ruled=False)
    world.policy = lenient(**changes)
    world.adopt(world.trust, world.policy, changes=())
    return world


def named(world: World, principal: str, to: str, lasts: timedelta = timedelta(days=7)) -> Digest:
    """Let somebody approve in the place of `principal`; return what their approvals cite."""
    delegate(world.installation, world.say(principal, "approval.delegate", to, lasts=lasts), world.now)
    found = world.memory.find(delegation_subject(Name(principal)))
    assert isinstance(found, Delegation)
    return found.order


def approved_for(
    world: World, number: int, who: str, principal: str, order: Digest, lasts: timedelta = timedelta(hours=1)
) -> Receipt:
    """Approve a change in the place of somebody."""
    object_, asked = change_subject(number), world.change(number).content
    said = world.say(who, "change.approve-in-place", object_, before=order, after=asked, lasts=lasts)
    return approve_in_place(world.installation, number, Name(principal), said, world.now)


def failed_change(world: World, version: str = "1.0.0") -> int:
    """Open a change whose suite failed."""
    release = world.register(version)
    world.attest(release, world.built(), world.ran(Verdict.FAILED))
    return world.open(release)


def overridden(
    world: World,
    number: int,
    who: str = "olivia",
    *,
    about: Sequence[str] = ("evaluation:file-types",),
    lasts: timedelta = timedelta(hours=24),
    why: bytes = WHY,
    **changes: object,
) -> Receipt:
    """Override what is against a change."""
    asked = world.change(number).content
    named = tuple(Aside.parse(one) for one in about)
    record = world.record(str(plain.decode(Content, world.memory.document(asked)).tag))
    seen = seen_of(named, [world.memory.document(digest) for digest in record.evidence], record.trials or ())
    document = Override(number, asked, named, seen, Digest.of(why), world.now, world.now + lasts)
    document = replace(document, **changes)  # type: ignore[arg-type]
    said = world.say(who, "change.override", change_subject(number), before=asked, after=document.digest)
    return override_objection(world.installation, document, why, said, world.now)


def hurried(
    world: World,
    release: Release,
    who: str = "alice",
    *,
    strategy: Strategy | None = CANARY,
    risk: bytes | None = RISK,
    **changes: object,
) -> int:
    """Open an emergency; return its number."""
    assessed = Digest.of(risk) if risk is not None else None
    asked = content(world, release, strategy, **{"kind": "emergency", "risk": assessed, **changes})
    said = world.say(who, "change.open", PROD, before=asked.before, after=asked.digest)
    document = plain.encode(strategy) if strategy else None
    return open_change(world.installation, asked, said, world.now, document, risk).first


def authorized(world: World, number: int, who: str = "olivia", lasts: timedelta = timedelta(hours=2)) -> Receipt:
    """Approve an emergency as its authority."""
    asked = world.change(number).content
    said = world.say(who, "emergency.approve", change_subject(number), after=asked, lasts=lasts)
    return approve_emergency(world.installation, number, said, world.now)


def reviewed(
    world: World, number: int, who: str = "bob", verdict: str = "accepted", report: bytes = REPORT, **changes: object
) -> Receipt:
    """Review an emergency."""
    asked = world.change(number).content
    document = replace(Review(number, asked, "accepted", Digest.of(report)), verdict=verdict, **changes)  # type: ignore[arg-type]
    said = world.say(who, "change.review", change_subject(number), before=asked, after=document.digest)
    return review(world.installation, document, report, said, world.now)


def conceded(world: World, number: int) -> Concession | None:
    """Return what the world says was conceded to a change."""
    found = world.memory.find(concession_subject(number))
    return found if isinstance(found, Concession) else None
