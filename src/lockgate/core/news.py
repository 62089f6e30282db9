"""What should hosts hear at once? A word that sends them to ask; it proves nothing, and is believed by nobody.

    suspended ENDPOINT     it was shut down                              ─┐
    replaced ENDPOINT      another release, or share, is to serve there   ├─▶ ask for leases
    revoked DIGEST         a release, or a key, counts no more           ─┘
    rules SOMETHING        what hosts follow is another than before      ───▶ learn it
    look ENVIRONMENT       something was missed                          ───▶ both

`rules` is said when it can be learnt, all others when they are in the log. Who hears no word is no worse off than its
lease.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from lockgate.core import endpoint, revocation, rollout
from lockgate.core.journal import Event
from lockgate.core.policy import PolicyAdopted
from lockgate.core.trust import TrustAdopted
from lockgate.errors import VerificationError

Word: TypeAlias = Literal["suspended", "replaced", "revoked", "rules", "look"]

WORDS: tuple[Word, ...] = get_args(Word)
MAX_ABOUT = 256


@dataclass(frozen=True, slots=True)
class News:
    """A word, what it is about, and the index of the entry that it is about."""

    word: Word
    about: str
    index: int

    def encode(self) -> bytes:
        """Write it as a server-sent event (WHATWG HTML §9.2)."""
        return f"id: {self.index}\nevent: {self.word}\ndata: {self.about}\n\n".encode()


def news_of(event: Event, index: int) -> tuple[News, ...]:
    """Say what hosts should hear of an event; nothing of what does not concern them."""
    match event:
        case endpoint.Suspended() | endpoint.Tripped():
            return (News("suspended", str(event.endpoint), index),)
        case rollout.Aborted(suspends=True):
            return (News("suspended", str(event.endpoint), index),)
        case (
            endpoint.Activated() | endpoint.RolledBack()
            | rollout.Stepped() | rollout.Promoted() | rollout.Aborted()
        ):  # fmt: skip
            return (News("replaced", str(event.endpoint), index),)
        case revocation.ReleaseRevoked():
            return _twice(str(event.release), index)
        case revocation.KeyRevoked():
            return _twice(str(event.key), index)
        case TrustAdopted() | PolicyAdopted() | revocation.Offboarded():
            return (News("rules", str(event.environment), index),)
        case _:
            return ()


def read_news(fields: dict[str, str]) -> News | None:
    """Read the fields of a server-sent event; None for a word that we do not know."""
    word, about, index = fields.get("event", ""), fields.get("data", ""), fields.get("id", "")
    if len(about) > MAX_ABOUT or not (index.isascii() and index.isdecimal() and len(index) < 20):
        raise VerificationError(f"what the server says is no news: {word[:40]!a} {about[:80]!a}")
    return next((News(known, about, int(index)) for known in WORDS if word == known), None)


def _twice(revoked: str, index: int) -> tuple[News, ...]:
    """Say that leases are refused from now on, and that the deny-list names it as soon as it does."""
    return News("revoked", revoked, index), News("rules", revoked, index)
