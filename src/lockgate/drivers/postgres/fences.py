"""Who looks after a subject now? Whoever claimed it last in time; a fence that grows tells everybody before from them.

Time is that of the database alone: holders whose clocks differ agree on who holds what. A fence is checked in the
statement that writes, under a lock on the row of the lease, so nobody who lost it writes between check and write.
"""

from lockgate.app.ports import Memo
from lockgate.drivers.postgres.connections import Connections
from lockgate.errors import ConflictError

_CLAIM = """
    INSERT INTO controller_lease AS held (subject, holder, fence, until)
    VALUES (%(subject)s, %(holder)s, 1, clock_timestamp() + make_interval(secs => %(seconds)s::float8))
    ON CONFLICT (subject) DO UPDATE SET
        holder = excluded.holder,
        fence = held.fence + CASE WHEN held.until > clock_timestamp() THEN 0 ELSE 1 END,
        until = clock_timestamp() + make_interval(secs => %(seconds)s::float8)
    WHERE held.until <= clock_timestamp() OR held.holder = excluded.holder
    RETURNING fence
"""
_RECALL = "SELECT fence, document FROM controller_state WHERE subject = %s"
_REMEMBER = """
    WITH held AS (
        SELECT subject, fence FROM controller_lease WHERE subject = %s AND fence = %s::bigint FOR SHARE
    )
    INSERT INTO controller_state (subject, fence, document) SELECT subject, fence, %b FROM held
    ON CONFLICT (subject) DO UPDATE SET fence = excluded.fence, document = excluded.document
    RETURNING fence
"""


class Fences:
    """Port `Controllers`, in two tables."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def claim(self, subject: str, holder: str, seconds: float) -> int | None:
        """Take a subject for so long, if nobody else has it."""
        asked = {"subject": subject, "holder": holder, "seconds": seconds}
        rows = self._connections.ask(_CLAIM, asked)
        return int(rows[0][0]) if rows else None

    def recall(self, subject: str) -> Memo | None:
        """Return what was remembered last."""
        rows = self._connections.ask(_RECALL, (subject,))
        return Memo(*rows[0]) if rows else None

    def remember(self, subject: str, fence: int, document: bytes) -> None:
        """Remember something, if the fence is that of now."""
        if not self._connections.ask(_REMEMBER, (subject, fence, document)):
            raise ConflictError(f"{subject} is looked after by somebody else by now: {fence} is not the fence")
