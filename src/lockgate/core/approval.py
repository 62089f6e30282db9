"""Who has approved? Each voice is somebody's own, or that of a delegate in somebody's place; nobody counts twice.

What is counted is the most voices of which no two share a person: a delegate and the person in whose place they speak
are one voice, however often either of them approves. So no further approval ever makes the count smaller.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lockgate.core.delegation import IN_PLACE, find_order, open_delegation
from lockgate.core.intent import Said, SignedIntent, check_intent, open_intent
from lockgate.core.rights import Role, check_right
from lockgate.core.trust import Trust
from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name

APPROVE = "change.approve"


@dataclass(frozen=True, slots=True)
class Voice:
    """An approval that stands: by whom, and in whose place; in nobody else's if both are the same."""

    by: Name
    of: Name

    @property
    def people(self) -> frozenset[Name]:
        """Everybody who is counted with it."""
        return frozenset({self.by, self.of})

    def __str__(self) -> str:
        """Name who approved, and in whose place."""
        return str(self.by) if self.by == self.of else f"{self.by} in the place of {self.of}"


@dataclass(frozen=True, slots=True)
class Ballot:
    """What is to be approved, by which act and role, and by whom not. `orders` are delegations, unchecked.

    `overriders` set something aside that was in the way.
    """

    number: int
    content: Digest
    act: str
    role: Role
    authors: frozenset[Name]
    orders: tuple[SignedIntent, ...] = ()
    overriders: frozenset[Name] = frozenset()


def open_approval(signed: SignedIntent, ballot: Ballot, trust: Trust, at: datetime) -> Voice:
    """Verify one approval, and the delegation that it rests on if it is in somebody's place; raise if it is none."""
    said = open_intent(signed, trust, at)
    voice = _in_place(said, ballot, trust, at) if said.intent.act == IN_PLACE else _own(said, ballot)
    for name in sorted(voice.people):
        if name in ballot.authors:
            raise DeniedError(f"{name} is an author of this change and cannot approve it")
        if name in ballot.overriders:
            raise DeniedError(f"{name} overrode what is against this change, so somebody else approves it")
    return voice


def counted(voices: Iterable[Voice]) -> tuple[Voice, ...]:
    """Choose the most voices of which no two share a person, people's own first."""
    found = sorted(set(voices), key=lambda voice: (voice.by, voice.of))
    own = [voice for voice in found if voice.by == voice.of]
    spoken = frozenset(voice.by for voice in own)
    return (*own, *_most([voice for voice in found if not voice.people & spoken]))


def in_place(voices: Iterable[Voice]) -> Mapping[Name, Name]:
    """Say who approved in whose place."""
    return {voice.by: voice.of for voice in voices if voice.by != voice.of}


def _own(said: Said, ballot: Ballot) -> Voice:
    name = said.actor.name
    check_intent(said, ballot.act, f"change/{ballot.number}", before=None, after=ballot.content)
    if ballot.role not in said.actor.roles:
        raise DeniedError(f"{name} approved without the role {ballot.role}")
    return Voice(name, name)


def _in_place(said: Said, ballot: Ballot, trust: Trust, at: datetime) -> Voice:
    name, cited = said.actor.name, said.intent.before
    check_intent(said, IN_PLACE, f"change/{ballot.number}", before=cited, after=ballot.content)
    check_right(IN_PLACE, said.actor.roles, name)
    if ballot.act != APPROVE:
        raise DeniedError(f"{name} approved in somebody's place what is approved in person")
    delegated = open_delegation(find_order(ballot.orders, cited), ballot.role, trust, at)
    if delegated.to != name:
        raise DeniedError(f"{delegated.principal} named {delegated.to}, not {name}")
    return Voice(name, delegated.principal)


def _most(voices: Sequence[Voice]) -> tuple[Voice, ...]:
    """Choose the most of them without a person in common: with the first one, or without it where others touch it."""
    if not voices:
        return ()
    first, *rest = voices
    apart = [voice for voice in rest if not voice.people & first.people]
    taken = (first, *_most(apart))
    return taken if len(apart) == len(rest) else max(taken, _most(rest), key=len)
