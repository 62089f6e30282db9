"""What did nodes count? Their newest reports, in a table that forgets: two incarnations of each node.

    take     lock the rows of this node and incarnation; newer? nothing went back? then write and forget
    measured read all rows of an endpoint

One transaction each. Two first reports of one incarnation at once do not see each other; the larger sequence stays.
"""

from collections.abc import Sequence

from lockgate.app.ports import Measured
from lockgate.core.report import Counted, Counts, Report, check_counted
from lockgate.drivers.postgres.connections import Connection, Connections
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

_HELD = """
    SELECT endpoint, release, sequence, counts FROM traffic_report
    WHERE node = %s AND incarnation = %s ORDER BY endpoint, release FOR UPDATE
"""
_TAKE = """
    INSERT INTO traffic_report AS held
        (node, incarnation, endpoint, release, sequence, received, first_received, counts, weight)
    SELECT %(node)s, %(incarnation)s, endpoint, release, %(sequence)s::bigint, clock_timestamp(), clock_timestamp(),
        counts, weight
    FROM unnest(%(endpoints)s::text[], %(releases)s::text[], %(counts)b::bytea[], %(weights)s::smallint[])
        AS t (endpoint, release, counts, weight)
    ON CONFLICT (node, incarnation, endpoint, release) DO UPDATE
        SET sequence = excluded.sequence, received = excluded.received, counts = excluded.counts,
            weight = excluded.weight
        WHERE held.sequence < excluded.sequence
"""
_FORGET = """
    DELETE FROM traffic_report WHERE node = %s AND incarnation NOT IN (
        SELECT incarnation FROM traffic_report WHERE node = %s
        GROUP BY incarnation ORDER BY min(first_received) DESC LIMIT 2
    )
"""
_MEASURED = """
    SELECT node, incarnation, sequence, release, counts, weight, clock_timestamp() - received FROM traffic_report
    WHERE endpoint = %s
    ORDER BY node, min(first_received) OVER (PARTITION BY node, incarnation), incarnation, release
"""


class Gauges:
    """Port `Reports`, in a table."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def take(self, report: Report, counted: Sequence[Counted]) -> int:
        """Keep what a node counted, if it is news."""
        with self._connections.connection() as connection, connection.transaction():
            if not _is_news(connection, report, counted):
                return 0
            rows = sorted(
                (str(one.endpoint), str(one.release), plain.encode(one.counts), one.weight) for one in counted
            )
            columns = (
                zip(("endpoints", "releases", "counts", "weights"), zip(*rows, strict=True), strict=True)
                if rows
                else ()
            )
            asked = {name: list(values) for name, values in columns}
            named = {"node": str(report.node), "incarnation": report.incarnation, "sequence": report.sequence}
            if asked:
                connection.execute(_TAKE, {**asked, **named})
            connection.execute(_FORGET, (str(report.node), str(report.node)))
            return len(rows)

    def measured(self, endpoint: Endpoint) -> Sequence[Measured]:
        """List what is kept about an endpoint."""
        rows = self._connections.ask(_MEASURED, (str(endpoint),))
        return [
            Measured(
                Name(node),
                incarnation,
                sequence,
                Counted(endpoint, Digest.parse(release), plain.decode(Counts, counts), weight),
                age,
            )
            for node, incarnation, sequence, release, counts, weight, age in rows
        ]


def _is_news(connection: Connection, report: Report, counted: Sequence[Counted]) -> bool:
    """Tell whether the report is newer than what is held; raise `VerificationError` if its counters went back."""
    rows = connection.execute(_HELD, (str(report.node), report.incarnation), binary=True).fetchall()
    if any(sequence >= report.sequence for _, _, sequence, _ in rows):
        return False
    held = {(where, release): plain.decode(Counts, counts) for where, release, _, counts in rows}
    for one in counted:
        before = held.get((str(one.endpoint), str(one.release)))
        if before is not None:
            check_counted(before, one.counts)
    return True
