"""How does an order come in? By POST /orders at the control address, at most 64 KiB; nothing else is answered.

The intent in the order proves who gave it.
"""

import json
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar

from lockgate.core.order import Order
from lockgate.errors import ConflictError, DeniedError, LockgateError, UnavailableError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.loader.narrow_door import NarrowCall, NarrowDoor

MAX_ORDER = 64 << 10

_STATUS = {DeniedError: 409, VerificationError: 422, ConflictError: 412, UnavailableError: 503}

Obey = Callable[[Order], bytes]


class OrderDoor(NarrowDoor):
    """The control address of an agent."""

    def __init__(self, at: tuple[str, int], obey: Obey, tls: ssl.SSLContext | None) -> None:
        """Listen at an address; raise `UnavailableError` if that is not possible."""
        self.obey = obey
        super().__init__(at, _Call, tls)


class _Call(NarrowCall):
    server: OrderDoor
    largest = MAX_ORDER
    titles: ClassVar[dict[int, str]] = {status.value: status.phrase for status in HTTPStatus}

    def do_POST(self) -> None:
        """Take an order, and answer with the receipt."""
        if self.path != "/orders":
            self.send_error(404)
            return
        try:
            order = plain.from_plain(Order, canonical.parse(self.body("an order"), limit=MAX_ORDER), "order")
            with self.server.answering(self.connection):
                self.say(200, "application/json", self.server.obey(order))
        except LockgateError as e:
            reasons = e.reasons if isinstance(e, DeniedError) else (str(e),)
            self._refuse(_STATUS[type(e)], reasons)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say no as the server says it (RFC 9457)."""
        del message, explain
        self._refuse(code, ())

    def _refuse(self, status: int, reasons: tuple[str, ...]) -> None:
        title = self.titles.get(status, "Error")
        problem = {"type": "about:blank", "title": title, "status": status, "reasons": reasons}
        if reasons:
            problem["detail"] = "; ".join(reasons)
        self.say(status, "application/problem+json", json.dumps(problem).encode())
