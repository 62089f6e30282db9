"""How does the server learn which releases run on a host that has no gateway? The agent says so, for all of its runs.

A run counts from when its model server was started until it is gone: one that was stopped, and takes its time to end,
runs. It is ready once its model server was seen to answer, and this agent has judged it by the rules that it has: until
then it is only said to run.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lockgate.agent.holdings import Holding
from lockgate.agent.node import Node
from lockgate.core.presence import MAX_RUNS, Run
from lockgate.errors import LockgateError
from lockgate.loader.attendance import LOOK_SECONDS, PATIENCE_SECONDS, Attendance, answers


class Roll:
    """All runs that were seen to serve, until they are gone."""

    def __init__(self) -> None:
        self._seen: list[Holding] = []

    def call(self, holdings: Iterable[Holding]) -> tuple[Run, ...]:
        """List what runs, whoever holds a lease by now; what is there twice is ready if one of both is."""
        held = [holding for holding in holdings if holding.serving]
        known = [*self._seen, *(holding for holding in held if holding not in self._seen)]
        self._seen = [holding for holding in known if _runs(holding)]
        found: dict[Run, bool] = {}
        for holding in self._seen:
            run = Run(holding.claim.endpoint, holding.claim.release, holding.claim.epoch, ready=False)
            found[run] = found.get(run, False) or (holding in held and _is_ready(holding))
        return tuple(replace(run, ready=ready) for run, ready in found.items())[:MAX_RUNS]


def tell_presence_until_the_end(node: Node) -> None:
    """Tell it until the agent ends; where there is a gateway, its reports say more."""
    roll, attendance = Roll(), Attendance(replace(node.connection, patience=PATIENCE_SECONDS), alone=False)
    while not node.ending.wait(LOOK_SECONDS):
        if node.routing is not None:
            continue
        try:
            attendance.tell(node.host, roll.call(node.holdings.all()))
        except LockgateError as e:
            node.worry("presence", f"the server does not learn what runs here: {e}")
        else:
            node.fine("presence")


def _runs(holding: Holding) -> bool:
    return not holding.ended.is_set() and Path(f"/proc/{holding.channel.pid}").exists()


def _is_ready(holding: Holding) -> bool:
    holding.answers = answers(holding.channel.pid, holding.port, holding.answers)
    return holding.answers and holding.edition is not None
