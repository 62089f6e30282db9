"""Which release answers the requests to an endpoint, and where does it run?

    request ──▶ endpoint ──┬─ names a release in `x-release` ──▶ that one, or none
                           └─ names none ──▶ one of them, by weight; by a header of its own, if it is to stay there;
                                             nobody, by what the weights leave over

A value says all of it for one endpoint. What cannot be obeyed cannot be written: weights of more than everything, a
release twice, an address of two releases or of another machine. Each route carries the end of the lease that it rests
on, so whoever obeys can stop by itself.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Self

from lockgate.core.report import Counted
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag

RELEASE_HEADER = "x-release"  # names a release: in a request the one that is wanted, in an answer the one that gave it
WHOLE = 100

_HEADER = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NOT_THE_CALLERS = {
    RELEASE_HEADER,
    "host",
    "connection",
    "content-length",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a model server listens. On this machine: what goes there is not encrypted."""

    host: str
    port: int

    def __post_init__(self) -> None:
        try:
            is_here = ip_address(self.host).is_loopback
        except ValueError as e:
            raise VerificationError(f"not an IP address: {self.host[:80]!a}") from e
        if not is_here or "%" in self.host:
            raise VerificationError(f"not an address of this machine: {self.host}")
        if not 0 < self.port < 1 << 16:
            raise VerificationError(f"not a port: {self.port}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `127.0.0.1:8500` or `[::1]:8500`."""
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[1-9][0-9]{0,4}", port):
            raise VerificationError(f"not an address like 127.0.0.1:8500: {text[:80]!a}")
        return cls(host[1:-1] if host.startswith("[") and host.endswith("]") else host, int(port))

    def __str__(self) -> str:
        """Write it as a URL has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """One release at one address, with its share of what names none, until its lease is over (CLOCK_BOOTTIME).

    One that is `finishing` gets no new request, not even one that names it; what is under way goes on.
    """

    release: Digest
    tag: Tag
    address: Address
    weight: int
    until_ns: int
    finishing: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= WHOLE or (self.finishing and self.weight):
            finishing = "that is finishing " if self.finishing else ""
            raise VerificationError(f"{self.tag} {finishing}cannot have {self.weight} % of the traffic")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What answers at one endpoint; without routes nothing does.

    `stable` takes the traffic of any other release that fails again and again, until that one is given another chance.
    Callers with the same value of the header `sticky_by` stay with one release while its weight grows. `rollout` tells
    one rollout from the next: the entry that lets the candidate serve.
    """

    endpoint: Endpoint
    routes: tuple[Route, ...]
    stable: Digest | None = None
    sticky_by: str | None = None
    rollout: int | None = None

    def __post_init__(self) -> None:
        wrong = [*_wrong_routes(self.routes)]
        if self.stable is not None and self.stable not in {each.release for each in self.routes if not each.finishing}:
            wrong.append("its stable release has no route")
        if self.sticky_by is not None and not tells_callers_apart(self.sticky_by):
            wrong.append(f"callers cannot be told apart by the header {self.sticky_by[:80]!a}")
        if wrong:
            raise VerificationError(f"no traffic for {self.endpoint}: {'; '.join(wrong)}")


@dataclass(frozen=True, slots=True)
class Cut:
    """What was under way at an endpoint is cut off, and nothing new begins, since this instant."""

    endpoint: Endpoint
    cut_at: datetime


@dataclass(frozen=True, slots=True)
class Counting:
    """What a gateway has counted since it began: totals, which go down only with another incarnation.

    While the stable release stands in for one that fails, its latencies are counted for the one that was asked;
    requests and failures are always those of the release that answered. Where callers are told apart, users are counted
    too, by rounds (`core.report.round_name`); `unjudged` says why some are not.
    """

    incarnation: str
    counted: tuple[Counted, ...]
    unjudged: str | None = None


def check_whole(traffic: Sequence[Traffic]) -> None:
    """Raise `VerificationError` if an endpoint is there twice, or one address stands for two runs."""
    endpoints = [str(one.endpoint) for one in traffic]
    addresses = [str(route.address) for one in traffic for route in one.routes]
    wrong = [f"{name} is there twice" for name in _doubled(endpoints)]
    wrong += [f"{address} is there twice: one address is one run" for address in _doubled(addresses)]
    if wrong:
        raise VerificationError("; ".join(wrong))


def tells_callers_apart(header: str) -> bool:
    """Ask whether callers may be told apart by this header: one of their own, in lower case."""
    return bool(_HEADER.fullmatch(header)) and header not in _NOT_THE_CALLERS and not header.startswith("x-envoy-")


def check_sticky(header: str | None) -> None:
    """Raise `VerificationError` for a header by which callers cannot be told apart."""
    if header is not None and not tells_callers_apart(header):
        raise VerificationError(f"callers cannot be told apart by the header {header[:80]!a}")


def _wrong_routes(routes: tuple[Route, ...]) -> list[str]:
    wrong = [f"{release} is there twice" for release in _doubled([str(route.release) for route in routes])]
    wrong += [f"two releases at {address}" for address in _doubled([str(route.address) for route in routes])]
    total = sum(route.weight for route in routes)
    if total > WHOLE:
        wrong.append(f"the weights add up to {total}, which is more than {WHOLE}")
    return wrong


def _doubled(names: list[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)
