"""How does the server learn what went through the gateway of a host? By signed totals, again and again.

    gateway.counts() ──▶ Report{incarnation, sequence, counted} signed ──▶ POST /api/v1/reports

Totals, so that one that is lost is made good by the next. Nothing that goes wrong here touches what is served; it is
said in the status. What nobody hears of a candidate does not count for it: without data it is not promoted.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lockgate.agent.node import Node
from lockgate.core.report import MAX_COUNTED, Report, sign_report
from lockgate.core.traffic import Counting
from lockgate.errors import LockgateError

REPORTS = "/api/v1/reports"
PATIENCE_SECONDS = 3.0


@dataclass
class Numbering:
    """Which report of which incarnation came last."""

    incarnation: str = ""
    sequence: int = 0

    def next(self, incarnation: str) -> int:
        """Number the next report: counters that began anew begin anew here."""
        if incarnation != self.incarnation:
            self.incarnation, self.sequence = incarnation, 0
        self.sequence += 1
        return self.sequence


def report_until_the_end(node: Node, seconds: float) -> None:
    """Report every so many seconds, until the agent ends."""
    numbering = Numbering()
    line = replace(node.connection, patience=PATIENCE_SECONDS)
    while not node.ending.wait(seconds):
        routing = node.routing
        if routing is None or routing.gateway is None:
            continue
        try:
            counting = routing.count(routing.gateway)
            line.post(REPORTS, written_report(node, counting, numbering))
        except LockgateError as e:
            node.worry("reports", f"the server does not learn what is counted here: {e}")
        else:
            node.fine("reports")
            node.worry("users", counting.unjudged) if counting.unjudged else node.fine("users")


def written_report(node: Node, counting: Counting, numbering: Numbering) -> bytes:
    """Sign what was counted."""
    counted, now = counting.counted[:MAX_COUNTED], datetime.now(UTC)
    sequence = numbering.next(counting.incarnation)
    return sign_report(Report(node.host.node, counting.incarnation, sequence, now, counted), node.host.key)
