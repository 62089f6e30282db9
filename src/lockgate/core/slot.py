"""Which release, by which change and decision, since which entry? What serves at an endpoint is a slot or two.

Its `epoch` is the entry that lets it serve here, and stays the same as long as it does: whatever happens to the other
release at the endpoint, a lease for this one cites the same (`core.lease.Granted.epoch`).
"""

from dataclasses import dataclass
from datetime import datetime

from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag


@dataclass(frozen=True, slots=True)
class Slot:
    """A release as it was activated: by which change and decision, at which entry of the log, when.

    `epoch` is that entry too, or that of the rollback which brought it back. `promoted` is the entry by which it became
    the stable release, if it was a candidate before.
    """

    tag: Tag
    release: Digest
    change: int
    decision: Digest
    index: int
    at: datetime
    epoch: int
    promoted: int | None = None
