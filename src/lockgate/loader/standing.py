"""What runs on this host, and by which permission? What an agent answers to `lockgate agent status`."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag


@dataclass(frozen=True, slots=True)
class Running:
    """One run: loading or serving, on a lease that lasts `seconds_left` more."""

    endpoint: Endpoint
    release: Digest
    tag: Tag
    epoch: int
    serving: bool
    since: datetime
    lease_seconds: int
    seconds_left: int
    pid: int


@dataclass(frozen=True, slots=True)
class Shut:
    """One order that this host keeps; `recorded` is the entry of the log that holds it, once that is proved.

    Of an order that cannot be read, all that is known is the name of its file.
    """

    order: str
    endpoint: Endpoint | None
    by: Name | None = None
    reason: str | None = None
    kept_at: datetime | None = None
    recorded: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Which version of trust or policy the host judges by, and until when it counts."""

    version: int
    expires: datetime


@dataclass(frozen=True, slots=True)
class Routed:
    """One release that the gateway lets requests through to, its share of what names none, and what it answered."""

    endpoint: Endpoint
    release: Digest
    tag: Tag
    weight: int
    requests: int
    failed: int


@dataclass(frozen=True, slots=True)
class AtGateway:
    """The gateway of a host: where it answers, and whether it was seen to end everything by itself."""

    address: str
    fail_closed: bool
    routes: tuple[Routed, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What an agent says of itself. `heard_at` is when the server last answered; `trouble` is what is wrong now."""

    type: ClassVar[str] = "standing/v1"
    node: Name
    environment: Name
    server: str
    control: str | None
    since: datetime
    now: datetime
    running: tuple[Running, ...]
    orders: tuple[Shut, ...]
    trust: Document
    policy: Document
    log_size: int
    heard_at: datetime | None
    trouble: tuple[str, ...]
    gateway: AtGateway | None = None
