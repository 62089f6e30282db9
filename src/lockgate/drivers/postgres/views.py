"""What is true in one instant? The head of the log, and states that belong to it.

Every change moves the head. So as long as it has not moved, what was read under it is true, and only what was never
asked for is read: most of the time a look costs one row.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import TupleRow

from lockgate.app.ports import View
from lockgate.core.journal import State, Subject
from lockgate.drivers.postgres.act import only, read_state
from lockgate.drivers.postgres.connections import Connections
from lockgate.tlog.merkle import CompactRange

States = Mapping[Subject, State | None]

_MOST = 20_000
_HEAD = "SELECT size, peaks FROM head"
_WITH_STATES = """
    SELECT size, peaks, now.kind, now.key, now.state
    FROM head LEFT JOIN (
        SELECT kind, key, state FROM unnest(%s::text[], %s::text[]) AS asked (kind, key) JOIN object USING (kind, key)
    ) AS now ON true
"""


@dataclass(frozen=True, slots=True)
class _Seen:
    stored: tuple[int, bytes]
    view: View


class Views:
    """Views of the database, the last one of which is kept. Safe to use from many threads."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self._seen: _Seen | None = None

    def view(self, subjects: Collection[Subject]) -> View:
        """Return the states of `subjects`, and of what was asked for before, in an instant after the call."""
        with self._lock:
            seen = self._seen
        wanted = set(subjects)
        kept = seen.view.states if seen else {}
        found = self._read(wanted - kept.keys())
        if seen is not None and found.stored == seen.stored:
            states = _together(kept, found.view.states, wanted)
            found = _Seen(seen.stored, View(seen.view.size, seen.view.root, states))
        elif kept.keys() & wanted:
            found = self._read(wanted)
        with self._lock:
            self._seen = found
        return found.view

    def _read(self, subjects: Collection[Subject]) -> _Seen:
        if subjects:
            kinds, keys = [each.kind for each in subjects], [each.key for each in subjects]
            rows = self._connections.ask(_WITH_STATES, (kinds, keys))
        else:
            rows = self._connections.ask(_HEAD)
        size, peaks = only(rows[:1])[:2]
        head = CompactRange.decode(size.to_bytes(8, "big") + peaks)
        return _Seen((size, bytes(peaks)), View(size, head.root(), _states(subjects, rows)))


def _together(kept: States, found: States, wanted: Collection[Subject]) -> States:
    """Keep what was read under this head; who asks for ever new things does not fill the memory."""
    if not found:
        return kept
    both = {**kept, **found}
    return both if len(both) <= _MOST else {subject: both[subject] for subject in wanted}


def _states(subjects: Collection[Subject], rows: Sequence[TupleRow]) -> States:
    states: dict[Subject, State | None] = dict.fromkeys(subjects)
    for _, _, *more in rows:
        if more and more[0] is not None:
            kind, key, state = more
            states[Subject(kind, key)] = read_state(kind, state)
    return states
