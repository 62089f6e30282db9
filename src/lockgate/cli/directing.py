"""How does an order reach the hosts when the server is away? Straight to the agent of each, all at once.

    sign once ──▶ every agent in the fleet file, each with its time limit ──▶ receipts, verified against trust
             └──▶ the server too, again and again if somebody waits for it

Whoever did not answer is named. What an agent keeps it also relays, so the log learns of the order either way.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from lockgate.cli.speaking import now
from lockgate.core.fleet import Fleet, Member
from lockgate.core.order import ACT, Order, Receipt, open_receipt, open_recorded, reason_digest
from lockgate.core.proved import Logged
from lockgate.core.trust import Trust
from lockgate.errors import ConflictError, LockgateError, UnavailableError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection

LASTS = timedelta(days=7)
AGENT_SECONDS = 6.0
SERVER_SECONDS = 6.0

_AT_ONCE = 64
_AGAIN_SECONDS = 2.0

Reach = Callable[[str], "Connection"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order at one host: a receipt that was verified, or why there is none."""

    node: Name
    receipt: Receipt | None
    why: str | None
    seconds: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an order: at each host, and in the log."""

    endpoint: Endpoint
    order: Digest
    answers: tuple[Answer, ...]
    recorded: int | None
    why: str | None


@dataclass(frozen=True, slots=True)
class Direct:
    """An order that is on its way."""

    order: Order
    endpoint: Endpoint
    fleet: Fleet
    trust: Trust
    connection: "Connection"
    reach: Reach

    def send(self, shown: Callable[[Sequence[Answer]], None], *, wait: bool) -> Outcome:
        """Send it to everybody at once and show what the hosts answer; with `wait`, go on until it is recorded."""
        self.connection.patience = SERVER_SECONDS
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            recording = pool.submit(self._record, wait=wait)
            answers = tuple(pool.map(self._ask, self.fleet.members))
            shown(answers)
            recorded, why = None, None
            try:
                recorded = recording.result()
            except LockgateError as e:
                why = str(e)
        return Outcome(self.endpoint, self.order.intent.intent.digest, answers, recorded, why)

    def _ask(self, member: Member) -> Answer:
        began = time.monotonic()
        receipt, why = None, None
        try:
            if member.control is None:
                raise UnavailableError("it has no control address")
            agent = self.reach(member.control)
            agent.patience = AGENT_SECONDS
            answered = agent.bring("/orders", plain.encode(self.order))
            receipt = open_receipt(answered, member.node, self.order, self.trust, now())
        except LockgateError as e:
            why = str(e)
        return Answer(member.node, receipt, why, f"{time.monotonic() - began:.3f}")

    def _record(self, *, wait: bool) -> int:
        path = f"/api/v1/endpoints/{self.endpoint}/shutdown"
        while True:
            try:
                self.connection.submit(path, self.order.intent, reason=self.order.reason)
                logged = self.connection.fetch(f"/api/v1/orders/{self.order.intent.intent.digest}")
                return open_recorded(plain.decode(Logged, logged), self.order, self.trust, now())
            except (UnavailableError, ConflictError):
                if not wait:
                    raise
            time.sleep(_AGAIN_SECONDS)


def write_order(endpoint: Endpoint, reason: str | None, connection: "Connection") -> Order:
    """Sign an order that lasts for a week: the server may be away for long."""
    intent = connection.intend(ACT, endpoint, after=reason_digest(reason), lasts=LASTS)
    return Order(connection.sign(intent), reason)
