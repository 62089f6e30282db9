"""What is asked of a change in an emergency? Less evidence, and more of everything else.

    risk assessment in writing ──▶ opened ──▶ approved by the security authority, carried out by a stricter rollout
                                     └────── within the minutes of the policy ──────┘        └──▶ reviewed, by a date

Without a block in the policy there is no emergency. It always comes by a rollout beside what serves, so neither a first
activation nor a resumption is one. Suites that the policy does not name for emergencies may be missing or old; a result
that is there and does not reach what is demanded is in the way all the same (spec/emergency.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.change import Content
from lockgate.core.policy import Emergencies, Rules
from lockgate.core.writing import open_writing
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest

EMERGENCY = "emergency.approve"

Judgement: TypeAlias = Literal["accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody finds afterwards who took no part in it; `report` is their text, by digest."""

    type: ClassVar[str] = "review/v1"
    change: int
    content: Digest
    verdict: Judgement
    report: Digest

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical document: what its author signs."""
        return Digest.of(plain.encode(self))


def asked_of(content: Content, rules: Rules) -> Rules:
    """Return the rules that a change is judged by: in an emergency its authority approves, and its rollout counts."""
    block = rules.emergencies
    if content.kind != "emergency" or block is None:
        return rules
    return replace(rules, approvals=block.authority, rollout=block.rollout)


def wrong_emergency(
    content: Content, risk: bytes | None, rules: Rules, opened_at: datetime | None, at: datetime
) -> Iterator[str]:
    """Say what is wrong with a change as an emergency; a normal one has nothing of it.

    Enforces: emergency_change
    """
    if content.kind == "normal":
        if content.risk is not None:
            yield "only an emergency has a risk assessment"
        return
    block = rules.emergencies
    if block is None:
        yield f"the policy knows no emergency at {content.endpoint}"
        return
    try:
        open_writing(risk, content.risk, "risk assessment")
    except VerificationError as e:
        yield str(e)
    if content.strategy is None:
        yield "an emergency comes by a rollout beside what serves: it needs a strategy"
    yield from _late(block, opened_at, at)


def spared(content: Content, rules: Rules) -> frozenset[str]:
    """Name the suites that may be missing, old or unfinished: in an emergency, those not named for it."""
    block = rules.emergencies
    if content.kind != "emergency" or block is None:
        return frozenset()
    return frozenset(wanted.suite for wanted in rules.evaluations) - set(block.evaluations)


def decides_by(block: Emergencies, opened_at: datetime) -> datetime:
    """Say until when an emergency is decided."""
    return opened_at + timedelta(minutes=block.decide_minutes)


def _late(block: Emergencies, opened_at: datetime | None, at: datetime) -> Iterator[str]:
    if opened_at is None:
        yield "nobody proves when the emergency was opened"
    elif not opened_at <= at <= decides_by(block, opened_at):
        yield f"an emergency of {opened_at} is decided within {block.decide_minutes} minutes, not at {at}: open another"
