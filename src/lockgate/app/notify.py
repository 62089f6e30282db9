"""Who is told what the log holds? Each channel everything that matters, in order, at least once."""

from collections.abc import Iterator
from itertools import count

from lockgate.app.installation import Installation
from lockgate.app.ports import Channel
from lockgate.core.change import RuleChange
from lockgate.core.notice import notice_of, quoted
from lockgate.errors import LockgateError
from lockgate.formats import plain
from lockgate.formats.digest import Digest

_BATCH = 256


def tell_from(installation: Installation, channel: Channel, position: int) -> Iterator[int]:
    """Tell `channel` of what the log holds from `position` on; yield where to go on, whenever that must be remembered.

    A log that is frozen tells nothing. One that was put back, and that its signer was made to accept, has news from its
    end on. Raises `UnavailableError` when the channel or the database does not answer; then nothing was left out.
    """
    known = installation.watch.known(to_act=True)
    size, root = installation.history.root()
    installation.watch.check(known, size, root)
    if position > size:
        yield size
    start = position = min(position, size)
    while position < size:
        batch = list(installation.history.entries(position, min(position + _BATCH, size)))
        for index, entry in zip(count(position), batch, strict=False):
            notice = notice_of(
                entry, index, str(installation.environment), lambda content: _reason(installation, content)
            )
            if notice is not None:
                channel.tell(notice)
                yield index + 1
        position += len(batch)
        if not batch:
            break
    if position != start:
        yield position


def _reason(installation: Installation, content: Digest) -> str:
    """Quote why somebody wants other rules. That it cannot be read is no reason to keep silent."""
    try:
        return quoted(plain.decode(RuleChange, installation.catalog.document(content)).reason)
    except LockgateError:
        return "a reason that cannot be read"
