"""What was let through although the rule says otherwise, and what is still due for it?

    made ──▶ override lapsed, while the release still serves     told once, shown until another release serves
      └────▶ review due ──▶ reviewed: accepted or rejected
                 └── nobody did ──▶ overdue, told once ──▶ reviewed, late

A change that was carried out against an objection, or as an emergency, leaves a concession under its number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias, assert_never

from lockgate.core.emergency import Judgement
from lockgate.core.endpoint import State
from lockgate.core.gate import Permit
from lockgate.core.override import SetAside
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

REVIEW = "change.review"


@dataclass(frozen=True, slots=True)
class Made:
    """A change was carried out with objections set aside, or as an emergency whose review is `due`.

    `involved` made it, approved it or set something aside: none of them reviews it.
    """

    type: ClassVar[str] = "concession.made/v1"
    change: int
    endpoint: Endpoint
    tag: Tag
    release: Digest
    aside: tuple[SetAside, ...]
    due: datetime | None
    involved: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Lapsed:
    """An override is over since `until`, and what it let through still serves."""

    type: ClassVar[str] = "override.lapsed/v1"
    change: int
    endpoint: Endpoint
    tag: Tag
    until: datetime


@dataclass(frozen=True, slots=True)
class Missed:
    """The day on which an emergency was to be reviewed is over, and nobody did."""

    type: ClassVar[str] = "review.overdue/v1"
    change: int
    endpoint: Endpoint
    tag: Tag
    due: datetime


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Somebody who took no part in an emergency says what they find of it."""

    type: ClassVar[str] = "change.reviewed/v1"
    change: int
    verdict: Judgement
    by: Name
    review: Digest
    report: Digest
    order: Digest


Event: TypeAlias = Made | Lapsed | Missed | Reviewed


@dataclass(frozen=True, slots=True)
class Concession:
    """What the log says of a change that was let through although the rule says otherwise."""

    kind: ClassVar[str] = "concession"
    later: ClassVar[tuple[str, ...]] = ("lapsed_until",)
    change: int
    endpoint: Endpoint
    tag: Tag
    release: Digest
    made_at: datetime
    aside: tuple[SetAside, ...]
    due: datetime | None
    involved: tuple[Name, ...]
    lapsed: bool = False
    overdue: bool = False
    verdict: Judgement | None = None
    reviewed_by: Name | None = None
    reviewed_at: datetime | None = None
    report: Digest | None = None
    review: Digest | None = None
    order: Digest | None = None
    lapsed_until: datetime | None = None

    @property
    def until(self) -> datetime | None:
        """When the first override that it rests on is over."""
        return min((one.until for one in self.aside), default=None)


def conceded(permit: Permit, number: int, by: Name) -> tuple[Made, ...]:
    """Say what a permit concedes that `by` carries out: nothing if nothing was set aside and it is no emergency."""
    block = permit.rules.emergencies if permit.emergency else None
    if not permit.aside and block is None:
        return ()
    involved = {by, *permit.authors, *permit.approvers, *permit.in_place.values(), *(one.by for one in permit.aside)}
    due = permit.at + timedelta(days=block.review_days) if block else None
    tag, release = permit.release.manifest.tag, permit.release.digest
    return (Made(number, permit.endpoint, tag, release, permit.aside, due, tuple(sorted(involved))),)


def check_review(concession: Concession | None, number: int, by: Name) -> Concession:
    """Return the emergency that `by` may review; raise `DeniedError` if there is none, or they took part in it."""
    if concession is None or concession.due is None:
        raise DeniedError(f"change {number} was not carried out as an emergency: there is nothing to review")
    if concession.verdict is not None:
        raise DeniedError(f"change {number} was reviewed by {concession.reviewed_by} already: {concession.verdict}")
    if by in concession.involved:
        raise DeniedError(f"{by} took part in change {number} and cannot review it")
    return concession


def overdue(concession: Concession, now: datetime, *, serves: bool) -> Iterator[Lapsed | Missed]:
    """Say what is to be told of a concession now, and was not."""
    about = (concession.change, concession.endpoint, concession.tag)
    told = concession.lapsed_until or (concession.until if concession.lapsed else None)
    over = [one.until for one in concession.aside if one.until <= now and (told is None or one.until > told)]
    if over and serves:
        yield Lapsed(*about, max(over))
    if concession.due is not None and concession.due <= now and concession.verdict is None and not concession.overdue:
        yield Missed(*about, concession.due)


def is_serving(state: State, concession: Concession) -> bool:
    """Ask whether what was let through is the stable release or the candidate, by that change."""
    slots = [state.stable, state.rollout.candidate if state.rollout else None]
    return not state.suspended and any(slot is not None and slot.change == concession.change for slot in slots)


def flags(concession: Concession, now: datetime, *, serves: bool) -> Iterator[str]:
    """Say in words what somebody who looks at the release or the endpoint must know."""
    name = f"change {concession.change} ({concession.tag})"
    if serves:
        yield from expired(concession, now)
    for one in concession.aside if serves else ():
        if now < one.until:
            yield f"{_let(concession, one)}: until {one.until}; why: {one.because}"
    if concession.due is None:
        return
    if concession.verdict is None:
        late = "the review is overdue since" if concession.due <= now else "a review is due by"
        yield f"{name} was an emergency: {late} {concession.due}"
    elif concession.verdict == "rejected":
        yield f"{name} was an emergency, and {concession.reviewed_by} rejected it in review: {concession.report}"


def expired(concession: Concession, now: datetime) -> Iterator[str]:
    """Say which overrides are over that something was let through by."""
    for one in concession.aside:
        if one.until <= now:
            yield f"{_let(concession, one)}: the override has expired at {one.until}; why: {one.because}"


def _let(concession: Concession, one: SetAside) -> str:
    name = f"change {concession.change} ({concession.tag})"
    return f"{name} was let through against {one.what}, overridden by {one.by}"


def evolve(state: Concession | None, event: Event, at: datetime) -> Concession:
    """Say what the log knows of a concession after `event`."""
    if isinstance(event, Made):
        about = (event.change, event.endpoint, event.tag, event.release)
        return Concession(*about, at, event.aside, event.due, event.involved)
    if state is None:
        raise VerificationError(f"the log holds {event.type} about change {event.change}, which needed no concession")
    match event:
        case Lapsed():
            return replace(state, lapsed=True, lapsed_until=event.until)
        case Missed():
            return replace(state, overdue=True)
        case Reviewed():
            said = {"verdict": event.verdict, "reviewed_by": event.by, "reviewed_at": at, "report": event.report}
            said |= {"review": event.review, "order": event.order}
            return replace(state, **said)  # type: ignore[arg-type]  # each as its field
        case _:
            assert_never(event)
