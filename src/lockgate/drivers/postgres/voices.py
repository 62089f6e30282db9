"""What did hosts without a gateway say last? One row for each speaker, in a table that forgets after two days.

One transaction for each word, and one word of a node at a time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from lockgate.core.presence import Presence, Voice, hear
from lockgate.drivers.postgres.connections import Connections
from lockgate.formats import plain
from lockgate.formats.names import Endpoint

_KEPT = timedelta(days=2)
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('presence/' || %s, 0))"
_HELD = "SELECT voice FROM presence WHERE node = %s AND speaker = %s"
_KEEP = """
    INSERT INTO presence (node, speaker, endpoints, heard, voice) VALUES (%s, %s, %s, %s, %b)
    ON CONFLICT (node, speaker) DO UPDATE
        SET endpoints = excluded.endpoints, heard = excluded.heard, voice = excluded.voice
"""
_FORGET = "DELETE FROM presence WHERE node = %s AND heard < %s"
_VOICES = "SELECT voice FROM presence WHERE endpoints @> ARRAY[%s] ORDER BY node, speaker"


class Voices:
    """Port `Presences`, in a table."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def attend(self, presence: Presence, at: datetime) -> bool:
        """Keep what a host says that runs there, if it is news."""
        place = (str(presence.node), presence.speaker)
        with self._connections.connection() as connection, connection.transaction():
            connection.execute(_ONE_AT_A_TIME, place[:1])
            rows = connection.execute(_HELD, place, binary=True).fetchall()
            found = hear(plain.decode(Voice, rows[0][0]) if rows else None, presence, at)
            if found is None:
                return False
            endpoints = sorted(map(str, found.endpoints))
            connection.execute(_KEEP, (*place, endpoints, at, plain.encode(found)))
            connection.execute(_FORGET, (place[0], at - _KEPT))
            return True

    def voices(self, endpoint: Endpoint) -> Sequence[Voice]:
        """List who spoke of an endpoint."""
        rows = self._connections.ask(_VOICES, (str(endpoint),))
        return [plain.decode(Voice, voice) for (voice,) in rows]
