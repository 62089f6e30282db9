"""What did the log hold of the provider models of a release, up to a head? Entries, proved, and a word that it is all.

    each entry proved under the head of the passport ─┐
    the word of the server: these, and no others ─────┴──▶ appearances ──▶ as the policy says: shown, or heeded

A log can prove that it holds something, not that it holds nothing more. So the server signs which entries there are up
to exactly this head: who has the log can show that it lied (spec/passport.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.core.appearance import Appearance, Observed, Told, held_to, wrong_appearances
from lockgate.core.change import Content
from lockgate.core.gate import Permit
from lockgate.core.proved import Logged, open_entry
from lockgate.core.requirement import show
from lockgate.core.trust import Purpose, Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint
from lockgate.tlog.checkpoint import Checkpoint

SIGHT = "application/vnd.lockgate.sight+json"
MOST = 1024  # entries


@dataclass(frozen=True, slots=True)
class Sight:
    """The word of a server: up to this head, these entries say what is known of the provider models of a release."""

    type: ClassVar[str] = "sight/v1"
    endpoint: Endpoint
    release: Digest
    entries: tuple[int, ...]
    origin: str
    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class Seen:
    """What a passport shows of provider models, as it was received: entries with their proofs, and the signed word."""

    entries: tuple[Logged, ...]
    word: str


def sight_of(endpoint: Endpoint, release: Digest, entries: Sequence[int], head: Checkpoint) -> Sight:
    """Say which entries there are up to a head."""
    return Sight(endpoint, release, tuple(entries), head.origin, head.size, Digest(head.root.hex()))


def sign_sight(sight: Sight, signer: Signer) -> str:
    """Sign it, with the key that signs decisions."""
    return dsse.sign(plain.encode(sight), SIGHT, [signer]).encode().decode()


def open_seen(seen: Seen | None, content: Content, trust: Trust, now: datetime, head: Checkpoint) -> tuple[Told, ...]:
    """Prove each entry, and that a trusted server says of exactly this head that there are no others."""
    if seen is None:
        return ()
    told = tuple(_proved(seen.entries, content, trust, now, head))
    places = [index for _, index, _ in told]
    if places != sorted(set(places)):
        raise VerificationError("what was seen of provider models is not in the order of the log")
    opened = dsse.open_envelope(dsse.parse(seen.word.encode()), SIGHT, trust.keys_for(Purpose.VSA, now))
    found = plain.decode(Sight, opened.payload)
    if found != sight_of(content.endpoint, content.release, places, head):
        raise VerificationError("the server's word on what was seen is about another release, head, or other entries")
    return told


def heed(
    permit: Permit, seen: Seen | None, before: Sequence[Appearance], now: Sequence[Appearance], log: str
) -> tuple[Appearance, ...]:
    """Return what is known of the provider models now; raise if the policy wants it shown and it is not, or heeded.

    Before it was let in, its gate has judged it; what was seen since is held against it where the policy wants that.

    Enforces: provider_change_reevaluation
    """
    wanted, models = permit.rules.appearances, permit.providers
    if strange := sorted(str(one.component) for one in now if str(one.component) not in models):
        raise VerificationError(f"the passport shows what was seen of {strange[0]}, which is no provider model of it")
    if wanted is None or not models:
        return held_to(now, models)
    if seen is None:
        raise VerificationError("the policy wants shown what was seen of provider models, and the passport does not")
    if wanted == "heeded":
        shown = show(permit.evidence, permit.trials, log, permit.at)
        then = {*wrong_appearances(permit.rules, held_to(before, models), shown)}
        found = [one.text for one in wrong_appearances(permit.rules, held_to(now, models), shown) if one not in then]
        if found:
            raise DeniedError(*found)
    return held_to(now, models)


def _proved(
    entries: Sequence[Logged], content: Content, trust: Trust, now: datetime, head: Checkpoint
) -> Iterator[Told]:
    if len(entries) > MOST:
        raise VerificationError(f"the passport shows {len(entries)} entries about provider models, more than {MOST}")
    for logged in entries:
        proved = open_entry(Observed, logged, trust, now)
        if (proved.event.endpoint, proved.event.release) != (content.endpoint, content.release):
            raise VerificationError(f"entry {proved.index} is about another release or endpoint")
        if proved.checkpoint != head:
            raise VerificationError("the log entries of the passport are proved by different log heads")
        yield proved.event, proved.index, proved.at
