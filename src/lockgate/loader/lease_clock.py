"""Until when may a holder go on serving, given when it asked and what it was granted?

    sent ────── renew (1/3) ──────────────────────────── deadline (99 %) ── ttl
      └ counted from here, never from the receipt: a grant that was held back on its way is worth less, never more

Every reading is CLOCK_BOOTTIME in nanoseconds, and an argument: CLOCK_MONOTONIC stands still while the machine is
suspended, and the wall clock can be set. Each rule is one of those in the lease protocol that was model checked;
without any of them the model checker finds a holder that serves for ever.
"""

from dataclasses import dataclass
from typing import Self

NANOSECONDS = 1_000_000_000
DRIFT_PER_CENT = 1
RENEWALS_PER_LIFE = 3
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Held:
    """A lease in hand: asked for at `sent_at_ns`, to be renewed from `renew_at_ns`, over at `deadline_ns`.

    With it goes a `weight`, in percent of new traffic, for the stable release or for a `candidate`, and the header by
    which callers stay with one of them, if they do.
    """

    sent_at_ns: int
    renew_at_ns: int
    deadline_ns: int
    weight: int = 100
    candidate: bool = False
    sticky_by: str | None = None

    @classmethod
    def since(cls, sent_at_ns: int, ttl_seconds: int) -> Self:
        """Count a grant of `ttl_seconds` from the instant its request was sent, less 1 % for a slow clock."""
        assert ttl_seconds > 0, "a grant without a lifetime is a denial"
        ttl_ns = ttl_seconds * NANOSECONDS
        usable_ns = ttl_ns * (100 - DRIFT_PER_CENT) // 100
        return cls(sent_at_ns, sent_at_ns + ttl_ns // RENEWALS_PER_LIFE, sent_at_ns + usable_ns)

    def is_over(self, now_ns: int) -> bool:
        """Ask whether serving must have stopped; a clock that reads earlier than the request also ends the lease.

        CLOCK_BOOTTIME never runs backwards, so such a reading means another boot, or a memory image put back.
        """
        return not self.sent_at_ns <= now_ns < self.deadline_ns

    def is_due(self, now_ns: int) -> bool:
        """Ask whether it is time to renew."""
        return not self.sent_at_ns <= now_ns < self.renew_at_ns

    def remaining_ns(self, now_ns: int) -> int:
        """Say how long serving may go on, nothing if the lease is over."""
        return 0 if self.is_over(now_ns) else self.deadline_ns - now_ns


def held(sent_at_ns: int, ttl_seconds: int) -> Held:
    """Take a grant in hand: see `Held.since`."""
    return Held.since(sent_at_ns, ttl_seconds)


def latest(current: Held, answered: Held) -> Held:
    """Keep the answer to the later request, so that an answer that was overtaken changes nothing."""
    return answered if answered.sent_at_ns > current.sent_at_ns else current


def pause_seconds(lease: Held, now_ns: int) -> float:
    """Say how long to wait before the lease is asked for again: until it is due, or a moment if that was in vain."""
    third = (lease.renew_at_ns - lease.sent_at_ns) / NANOSECONDS
    return max(min(RETRY_SECONDS, third / 2), (lease.renew_at_ns - now_ns) / NANOSECONDS)
