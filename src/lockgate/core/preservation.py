"""Is the release that an endpoint would go back to still whole in the store? What one look found, and what is news.

    look ──▶ whole                         nothing is written
         ├─▶ damaged: these files          written once, told ──▶ whole again: written, told
         └─▶ unknown: nobody could tell    looked again in a minute; still so: written once, told

Unknown is not whole, and not damaged either: a store or a vault did not answer. What was seen damaged stays so until it
is seen whole. Only what changes is written down, so that a log tells when something went wrong and not how often
somebody looked.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeAlias

from lockgate.core.endpoint import State
from lockgate.core.slot import Slot
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag

MAX_FLAWS = 16  # that are written down; how many there are is always said
SOON = timedelta(minutes=1)  # after a look that could not tell
AGAIN = timedelta(minutes=10)  # after one that found damage

Finding: TypeAlias = Literal["whole", "damaged", "unknown"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is not as it was signed, or that nobody could tell; of a file, which one.

    `wanted` is the digest that was signed, `found` that of what the file holds now, if it can be decrypted at all, and
    `stored` that of its encrypted bytes as they lie in the store.
    """

    what: Literal["revoked", "signature", "key", "gone", "bytes", "unknown"]
    says: str
    file: str | None = None
    wanted: Digest | None = None
    found: Digest | None = None
    stored: Digest | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """Somebody looked at what an endpoint would go back to, and it is not as it was known to be."""

    type: ClassVar[str] = "target.examined/v1"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    finding: Finding
    flaws: tuple[Flaw, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Preservation:
    """What the log says of the release that an endpoint would go back to, since entry `index`."""

    kind: ClassVar[str] = "preservation"
    endpoint: Endpoint
    tag: Tag
    release: Digest
    finding: Finding
    flaws: tuple[Flaw, ...]
    count: int
    index: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """The last look at what an endpoint would go back to: what it found, and how much was read. No history."""

    release: Digest
    finding: Finding
    flaws: tuple[Flaw, ...]
    files: int
    size: int
    looked_at: datetime

    def is_due(self, release: Digest, every: timedelta, now: datetime) -> bool:
        """Ask whether it is to be looked at again: another release at once, the same in its time."""
        waits = {"whole": every, "damaged": min(AGAIN, every), "unknown": min(SOON, every)}
        return release != self.release or now - self.looked_at >= waits[self.finding]


def look_of(release: Digest, flaws: tuple[Flaw, ...], files: int, size: int, at: datetime) -> Look:
    """Say what a look comes to: one flaw that is sure is damage, whatever else could not be told."""
    sure = tuple(flaw for flaw in flaws if flaw.what != "unknown")
    finding: Finding = "damaged" if sure else "unknown" if flaws else "whole"
    return Look(release, finding, sure or flaws, files, size, at)


def way_back(state: State) -> Slot | None:
    """Say what an endpoint would go back to: beside a candidate the stable release, else the former; None if nothing.

    Enforces: preserved_rollback_artifacts
    """
    if state.suspended:
        return None
    if state.rollout is not None:
        return state.stable
    return None if state.rolled_back_by is not None else state.former


def news(
    known: Preservation | None, endpoint: Endpoint, slot: Slot, look: Look, before: Look | None
) -> Examined | None:
    """Say what is to be written of a look, None if it is as it was known, or could not be told for the first time.

    Enforces: preserved_rollback_artifacts
    """
    of_this = known if known is not None and known.release == slot.release else None
    finding = of_this.finding if of_this else "whole"
    again = before is not None and before.release == slot.release and before.finding == "unknown"
    if look.finding == "unknown" and (finding != "whole" or not again):
        return None
    if look.finding == finding and (of_this is None or _seen(of_this.flaws) == _seen(look.flaws[:MAX_FLAWS])):
        return None
    about = endpoint, slot.tag, slot.release
    return Examined(*about, look.finding, look.flaws[:MAX_FLAWS], len(look.flaws))


def standing(state: State, known: Preservation | None) -> Preservation | None:
    """Return what is known to be wrong with what an endpoint would go back to now; None if nothing is."""
    slot = way_back(state)
    if slot is None or known is None or known.release != slot.release or known.finding == "whole":
        return None
    return known


def flags(known: Preservation) -> list[str]:
    """Say in words what somebody must know who counts on the way back."""
    which = "is DAMAGED" if known.finding == "damaged" else "could NOT BE PROVED whole"
    more = [f"and {known.count - len(known.flaws)} more"] if known.count > len(known.flaws) else []
    wrong = [flaw.says for flaw in known.flaws] + more
    return [f"the way back of {known.endpoint}, {known.tag}, {which} (entry {known.index}): {'; '.join(wrong)}"]


def evolve(event: Examined, index: int, at: datetime) -> Preservation:
    """Say what the log knows of it after `event`."""
    about = event.endpoint, event.tag, event.release
    return Preservation(*about, event.finding, event.flaws, event.count, index, at)


def _seen(flaws: tuple[Flaw, ...]) -> list[tuple[object, ...]]:
    """Compare what was seen, not how it was put in words."""
    return [(flaw.what, flaw.file, flaw.wanted, flaw.found, flaw.stored) for flaw in flaws]
