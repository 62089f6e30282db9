"""What does a node say when the permission of everything that it served at an endpoint has ended?

    lease refused, order, revoked ──▶ the node stops, and cuts ──▶ Halt{stopped, gateway, cut_at} signed ──▶ server

A receipt answers an order that somebody sent to the node itself; a halt is for whoever went by way of the server. It is
measurement, not history: the log holds who ordered what, not who obeyed when.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.core.binding import Severed, check_severed
from lockgate.core.order import CutOff, Stopped
from lockgate.core.trust import Actor
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name

HALT = "application/vnd.lockgate.halt+json"
MAX_STOPPED = 64


@dataclass(frozen=True, slots=True)
class Halt:
    """What a node stopped at an endpoint, and since when nothing runs through its gateway. Its own clock says when.

    Of each binding that the endpoint may hold, `bindings` says whether somebody still gets in.
    """

    type: ClassVar[str] = "halt/v1"
    node: Name
    endpoint: Endpoint
    stopped: tuple[Stopped, ...]
    gateway: CutOff
    cut_at: datetime | None
    at: datetime
    bindings: tuple[Severed, ...] | None = None


def sign_halt(halt: Halt, signer: Signer) -> bytes:
    """Sign a halt with the key of the node."""
    return dsse.sign(plain.encode(halt), HALT, [signer]).encode()


def open_halt(document: bytes, find: Callable[[Name], Actor]) -> tuple[Halt, Actor]:
    """Verify that the node which the halt names has signed it; `find` says whose keys those are."""
    envelope = dsse.parse(document)
    if envelope.payload_type != HALT:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {HALT}")
    halt = plain.decode(Halt, envelope.payload)
    node = find(halt.node)
    dsse.open_envelope(envelope, HALT, node.keys)
    if len(halt.stopped) > MAX_STOPPED:
        raise VerificationError(f"a halt tells of at most {MAX_STOPPED} releases")
    if (halt.gateway == "cut") != (halt.cut_at is not None):
        raise VerificationError("a halt says when its gateway was cut, if it was, and only then")
    check_severed(halt.bindings or ())
    return halt, node
